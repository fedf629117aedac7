"""The slices of a volume and what is proposed for them, on the network plane round the proposal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from knowsam.data.proposed_mask import ProposedMask
from knowsam.data.window import box_of, common_plane, extent_mm_of, window_round, with_margin
from knowsam.inference.planes import network_labels, network_planes, network_probabilities, with_neighbours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from knowsam.config import PlaneConfig
    from knowsam.data.annotation import LabelArray
    from knowsam.data.volume import Volume
    from knowsam.data.window import Window

_BATCH_SLICES = 8
_LEAST_MARGIN_SLICES = 2


@dataclass(frozen=True, eq=False)
class ProposedSlices:
    """All slices of one volume along an axis.

    Parameters
    ----------
    planes : (N, H, W), in [0, 1], on the device.
    probabilities : (N, C, H, W), float16, what is proposed.
    window : the part of each slice that they show.
    axis : working axis the slices are stacked along.
    near : the slices in which something is proposed, with a margin; only these are corrected.
    """

    planes: Tensor
    probabilities: Tensor
    window: Window
    axis: int
    near: range

    @classmethod
    def of(
        cls,
        volume: Volume,
        proposal: ProposedMask,
        values: Sequence[int],
        window: Window,
        axis: int,
        config: PlaneConfig,
        device: torch.device,
        check: Callable[[], None] | None = None,
    ) -> ProposedSlices:
        """Take the slices of a volume.

        Parameters
        ----------
        values : label values of the classes, background first.
        check : called regularly; an exception it raises stops the work.
        """
        planes = network_planes(volume, axis, window, config.clip_percent, check=check)
        proposed = network_probabilities(proposal, axis, window, values)
        return cls(planes.to(device), proposed.to(device), window, axis, _near(proposal, axis, config))

    def maps(self, indices: Sequence[int]) -> Tensor:
        """Return some slices with their neighbours: (B, 3 + 3C, H, W), grey values and then what is proposed."""
        rows = torch.tensor(indices, device=self.planes.device)
        proposed = with_neighbours(self.probabilities, rows, neighbours=True).flatten(1, 2)
        return torch.cat([with_neighbours(self.planes, rows, neighbours=True), proposed.float()], dim=1)

    def batches(self) -> Iterator[list[int]]:
        """Yield the indices of the slices near the proposal, a few at a time."""
        for first in range(0, len(self.near), _BATCH_SLICES):
            yield list(self.near[first : first + _BATCH_SLICES])

    def labels(self, labels: npt.NDArray[np.integer], values: Sequence[int]) -> Tensor:
        """Return label values (Z, Y, X) on the plane: class indices (N, H, W), uint8, IGNORE outside the slice."""
        slices = np.moveaxis(labels, self.axis, 0)
        indices: LabelArray = np.zeros(slices.shape, np.uint8)
        for index, value in enumerate(values):
            indices[slices == value] = index
        return torch.stack([network_labels(one, self.window) for one in indices]).to(self.planes.device)

    @torch.inference_mode()
    def corrected(
        self, proposal: ProposedMask, values: Sequence[int], correct: Callable[[list[int]], Tensor]
    ) -> ProposedMask:
        """Return what is proposed, corrected within the window of the slices near it.

        Parameters
        ----------
        correct : returns the probabilities (B, C, H, W) of some slices; an exception it raises stops the work.
        """
        # A proposal that lacks the largest label value may be of a type that cannot hold it.
        holding = np.result_type(proposal.labels.dtype, np.min_scalar_type(max(values)))
        labels, agreement = proposal.labels.astype(holding), proposal.agreement.copy()
        by_slice = [np.moveaxis(one, self.axis, 0) for one in (labels, agreement)]
        known = np.asarray(values, labels.dtype)
        for rows in self.batches():
            probabilities = correct(rows)
            if self.window.extent != self.window.plane:
                probabilities = F.interpolate(probabilities, size=self.window.extent, mode="bilinear")
            most, index = (one.cpu().numpy() for one in probabilities.max(dim=1))
            chosen = slice(rows[0], rows[-1] + 1)
            for patch, into in zip((known[index], most.astype(np.float16)), by_slice, strict=True):
                self.window.paste(patch, into=into[chosen])
        return ProposedMask(labels, agreement)


def plane_round_proposals(
    proposals: Sequence[tuple[Volume, ProposedMask]], axis: int, config: PlaneConfig, pixel_mm: float | None = None
) -> tuple[tuple[int, int], float]:
    """Return (H, W) of a network plane that holds every proposal with its margin, and its pixel size in mm.

    Parameters
    ----------
    pixel_mm : where it is given already.
    """
    spacings_mm = [volume.plane_spacing_mm(axis) for volume, _ in proposals]
    boxes = [_box(mask, axis, config) for _, mask in proposals]
    extents_mm = [extent_mm_of(box, spacing_mm) for box, spacing_mm in zip(boxes, spacings_mm, strict=True)]
    return common_plane(extents_mm, min(map(min, spacings_mm)), config.max_side_px, pixel_mm)


def window_round_proposal(
    volume: Volume,
    mask: ProposedMask,
    axis: int,
    config: PlaneConfig,
    pixel_mm: float,
    plane: tuple[int, int] | None = None,
) -> Window:
    """Return the window round what is proposed, on a given plane, or the smallest one that holds it."""
    return window_round(_box(mask, axis, config), pixel_mm, volume.plane_spacing_mm(axis), plane)


def _box(mask: ProposedMask, axis: int, config: PlaneConfig) -> tuple[tuple[int, int], tuple[int, int]]:
    found = mask.found(axis)
    return with_margin(box_of(found), (found.shape[0], found.shape[1]), config)


def _near(mask: ProposedMask, axis: int, config: PlaneConfig) -> range:
    """Return the slices that hold any structure, with the margin that is left round it in the slices, too."""
    others = tuple(other for other in range(3) if other != axis)
    held = np.flatnonzero((mask.labels != 0).any(axis=others))
    count = mask.labels.shape[axis]
    if not held.size:
        return range(count)
    margin = max(_LEAST_MARGIN_SLICES, round(config.margin * (held[-1] + 1 - held[0])))
    return range(max(int(held[0]) - margin, 0), min(int(held[-1]) + 1 + margin, count))
