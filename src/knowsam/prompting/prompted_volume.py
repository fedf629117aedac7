"""A volume whose slices a SAM segments by prompts."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from knowsam.config import PlaneConfig, PropagationConfig
from knowsam.data.intensity import unit_scale
from knowsam.data.window import Window, extent_mm_of, window_round
from knowsam.errors import InputError
from knowsam.inference.planes import resized
from knowsam.models.prompted_sam import STUDENT
from knowsam.models.sam_prompting import BOTTOM_RIGHT, INSIDE, MOST_LOGIT, NO_POINT, OUTSIDE, TOP_LEFT, Prompts
from knowsam.models.teachers import promptable_sam
from knowsam.prompting.slice_prompts import SlicePrompts, logits_of
from knowsam.propagation.registration import displaced, register

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from knowsam.data.volume import Volume
    from knowsam.prompting.slice_prompts import Logits, Mask

_COMPACT_SIDE_PX, _SIDE_PX = 96, 256
"""Of the square plane of the compact SAM, and of others, which see it enlarged to the 1024 px that SAM learnt from."""

_ROUND = 3.0
"""The compact SAM sees a square so many times as large as what was pointed at, see `benchmarks/prompts.py`."""

_KEPT_EMBEDDINGS = 32


@dataclass(frozen=True, eq=False)
class PromptedMask:
    """The answer of a SAM.

    Parameters
    ----------
    logits : (H, W), of the slice; above 0 is inside.
    quality : the overlap over union with the structure that SAM expects, about 0 to 1.
    """

    logits: Logits
    quality: float

    @property
    def mask(self) -> Mask:
        """(H, W), where the structure is."""
        return self.logits > 0


class PromptedVolume:
    """Prompts a SAM in the slices of one volume, and caches its embeddings.

    Parameters
    ----------
    volume : any image. axis : along which its slices lie.
    variant, weights : of the SAM, a name of the table of teachers and its weights.
    device : of the SAM.

    Raises
    ------
    CheckpointError
        If the weights are those of another variant.
    """

    def __init__(
        self,
        volume: Volume,
        axis: int,
        variant: str,
        weights: Mapping[str, Tensor],
        device: torch.device,
    ) -> None:
        self._is_compact = variant == STUDENT
        side = _COMPACT_SIDE_PX if self._is_compact else _SIDE_PX
        self._plane = side, side
        self._sam = promptable_sam(variant, weights, self._plane)
        self._sam.sam.to(device)
        self._device = device
        self._slices = np.moveaxis(volume.array, axis, 0)
        self._spacing_mm = volume.plane_spacing_mm(axis)
        height, width = self._slices.shape[1:]
        box = (0, 0), (height, width)
        self._side_mm = max(extent_mm_of(box, self._spacing_mm))
        self._whole = window_round(box, self._side_mm / side, self._spacing_mm, self._plane)
        self._scale = unit_scale(volume.array, PlaneConfig().clip_percent, volume.padding)
        self._embeddings: OrderedDict[tuple[int, Window], Tensor] = OrderedDict()

    @property
    def slice_count(self) -> int:
        """How many slices there are."""
        return len(self._slices)

    @property
    def sees_whole_slices(self) -> bool:
        """Whether it sees all of a slice; if not, it sees the region round the prompts."""
        return not self._is_compact

    @torch.inference_mode()
    def look_at(self, index: int) -> None:
        """Compute the embedding of a whole slice in advance, so that prompts are answered at once."""
        self._embedded(index, self._whole)

    @torch.inference_mode()
    def ask(self, index: int, prompts: SlicePrompts) -> PromptedMask:
        """Outline what is pointed at in a slice.

        Raises
        ------
        InputError
            If nothing is pointed at, or something outside of the slice.
        """
        self._check(index, prompts)
        window = self._window(prompts)
        masks, quality = self._sam.masks(self._embedded(index, window), self._on_plane(prompts, window))
        return PromptedMask(self._on_slice(masks, window), float(quality))

    @torch.inference_mode()
    def moved(self, logits: Logits, index: int, to: int) -> Logits:
        """Bring a mask, as logits (H, W), from one slice to another by registration of what is round it."""
        window = self._window(SlicePrompts(logits=logits))
        moved = displaced(self._logits_on_plane(logits, window), self._flow(index, to, window))
        return self._on_slice(moved, window)

    @torch.inference_mode()
    def registered(self, mask: Mask, index: int, direction: int) -> Iterator[Mask]:
        """Yield where a mask (H, W) of a slice lies in those beside it in one direction, by registration alone."""
        logits = logits_of(mask)
        window = self._window(SlicePrompts(logits=logits))
        on_plane = self._logits_on_plane(logits, window)
        flow = torch.zeros(1, 2, *self._plane, device=self._device)
        while 0 <= index + direction < self.slice_count:
            step = self._flow(index, index + direction, window)
            flow = step + displaced(flow, step)
            index += direction
            yield self._on_slice(displaced(on_plane, flow), window) > 0

    def grey_values(self, index: int, mask: Mask) -> npt.NDArray[np.float32]:
        """Return the grey values of a slice where a mask (H, W) is, in [0, 1]."""
        return self._scale(self._slices[index][mask])

    def _flow(self, index: int, to: int, window: Window) -> Tensor:
        """Return the displacements (1, 2, H, W), in px of the plane, that bring a slice to another one."""
        planes = self._planes([index, to], window)
        planes = (planes - planes.mean()) / planes.std().clamp_min(1e-6)
        return register(planes[1:], planes[:1], PropagationConfig().reach * self._plane[0])

    def _planes(self, indices: list[int], window: Window) -> Tensor:
        """Return the part of some slices that SAM sees, (N, H, W), in [0, 1]; beyond its ends the volume goes on."""
        slices = self._slices[np.clip(indices, 0, self.slice_count - 1)]
        return resized(torch.from_numpy(self._scale(window.crop(slices))), window.plane).to(self._device)

    def _window(self, prompts: SlicePrompts) -> Window:
        """Return the part of the slice that SAM sees for prompts; all of it while its size is unknown."""
        if self.sees_whole_slices or not prompts.has_size:
            return self._whole
        side_mm = min(_ROUND * max(extent_mm_of(prompts.extent, self._spacing_mm)), self._side_mm)
        return window_round(prompts.extent, side_mm / self._plane[0], self._spacing_mm, self._plane)

    def _check(self, index: int, prompts: SlicePrompts) -> None:
        if prompts.is_empty:
            raise InputError("Nothing is pointed at. Draw a box round the structure, or click into it.")
        (top, left), (bottom, right) = prompts.extent
        height, width = self._slices.shape[1:]
        is_inside = top >= 0 and left >= 0 and bottom <= height and right <= width
        if not (is_inside and 0 <= index < self.slice_count):
            raise InputError(
                f"Rows {top} to {bottom - 1}, columns {left} to {right - 1} of slice {index} are pointed at, but there "
                f"are {self.slice_count} slices of {height} rows and {width} columns, all counted from 0. Point inside."
            )

    def _embedded(self, index: int, window: Window) -> Tensor:
        """Return the embedding of a slice, the latest of which are kept."""
        key = index, window
        if key not in self._embeddings:
            self._embeddings[key] = self._embed(index, window)
            if len(self._embeddings) > _KEPT_EMBEDDINGS:
                self._embeddings.popitem(last=False)
        return self._embeddings[key]

    def _embed(self, index: int, window: Window) -> Tensor:
        # As in pretraining and training, where the slices below and above are channels; other SAMs learnt from colours.
        indices = [index - 1, index, index + 1] if self._is_compact else 3 * [index]
        return self._sam.embed(self._planes(indices, window)[None])

    def _on_plane(self, prompts: SlicePrompts, window: Window) -> Prompts:
        """Return prompts in pixels of the plane."""
        scale = [window.plane[i] / window.extent[i] for i in range(2)]
        pointed = _points(prompts)
        points = [
            ((column - window.start[1] + 0.5) * scale[1] - 0.5, (row - window.start[0] + 0.5) * scale[0] - 0.5)
            for row, column, _ in pointed
        ]
        kinds = [kind for *_, kind in pointed]
        logits = prompts.logits
        return Prompts(
            torch.tensor([points or [(0.0, 0.0)]], device=self._device),
            torch.tensor([kinds or [NO_POINT]], device=self._device),
            torch.zeros(1, 1, *window.plane, device=self._device)
            if logits is None
            else self._logits_on_plane(logits, window),
            torch.full((1, 1, 1, 1), float(prompts.logits is not None), device=self._device),
        )

    def _logits_on_plane(self, logits: Logits, window: Window) -> Tensor:
        """Return logits (1, 1, h, w) in pixels of the plane."""
        return resized(torch.from_numpy(window.crop(logits).copy())[None], window.plane)[None].to(self._device)

    def _on_slice(self, masks: Tensor, window: Window) -> Logits:
        """Return logits (1, 1, h, w) in voxels of the slice; what SAM does not see is outside."""
        logits = np.full(self._slices.shape[1:], -MOST_LOGIT, np.float32)
        finer = F.interpolate(masks.float(), size=window.extent, mode="bilinear", align_corners=False)
        window.paste(finer[0, 0].cpu().numpy(), logits)
        return logits


def _points(prompts: SlicePrompts) -> list[tuple[int, int, int]]:
    """Return (row, column, kind) of corners and clicks."""
    corners = []
    if prompts.box is not None:
        (top, left), (bottom, right) = prompts.box
        corners = [(top, left, TOP_LEFT), (bottom - 1, right - 1, BOTTOM_RIGHT)]
    clicks = [(row, column, INSIDE if is_inside else OUTSIDE) for row, column, is_inside in prompts.clicks]
    return [*corners, *clicks]
