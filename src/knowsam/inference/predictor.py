"""Students in, masks out: slices in any order, or the whole volume from the slice asked for outward."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from knowsam.data.annotation import BACKGROUND, LabelArray
from knowsam.errors import PredictionError
from knowsam.inference.device import is_out_of_memory, memory_remedy, resolve_dtype
from knowsam.inference.ensemble import EnsembleWeight, ensemble
from knowsam.inference.planes import network_planes, with_neighbours
from knowsam.models.students import entropy

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.data.volume import Volume
    from knowsam.data.window import Window
    from knowsam.models.students import Students
    from knowsam.propagation.propagated_labels import PropagatedLabels

FloatArray = npt.NDArray[np.float32]

Prior = Callable[[Sequence[int]], "PropagatedLabels | None"]
"""Tells what annotated slices say of some slices; None where they say nothing."""

_BATCH_SLICES = 8
_BATCH_VALUES = 1 << 24
"""Probabilities that a batch holds at most, at the resolution of the slices: many classes come in small batches."""


@dataclass(frozen=True)
class SlicePrediction:
    """What the students say of one slice: certain background outside the window.

    Parameters
    ----------
    index : position along the axis of the prediction.
    box : (C, h, w), probabilities in the window's box, sum one.
    box_disagreement : (h, w), half the summed difference of the two students' probabilities, in [0, 1].
    window : where the box lies.
    shape : (H, W) of the slice.
    """

    index: int
    box: Tensor
    box_disagreement: Tensor
    window: Window
    shape: tuple[int, int]

    @property
    def probabilities(self) -> FloatArray:
        """(C, H, W), sum one."""
        whole = np.zeros((len(self.box), *self.shape), np.float32)
        whole[BACKGROUND] = 1
        self.window.paste(self.box.numpy(), into=whole)
        return whole

    @property
    def labels(self) -> LabelArray:
        """(H, W), the most probable class indices."""
        return self._pasted(self.box.argmax(dim=0).to(torch.uint8), BACKGROUND)

    @property
    def entropy(self) -> FloatArray:
        """(H, W), entropy of the probabilities relative to its maximum, in [0, 1]."""
        return self._pasted(entropy(self.box[None])[0] / math.log(len(self.box)), 0)

    @property
    def disagreement(self) -> FloatArray:
        """(H, W), half the summed difference of the two students' probabilities, in [0, 1]."""
        return self._pasted(self.box_disagreement, 0)

    def _pasted(self, box: Tensor, outside: int) -> npt.NDArray[Any]:
        whole = np.full(self.shape, outside, box.numpy().dtype)
        self.window.paste(box.numpy(), into=whole)
        return whole


@dataclass(frozen=True)
class VolumePrediction:
    """What the students say of a whole volume, in the working orientation.

    Parameters
    ----------
    labels : (Z, Y, X), class indices.
    entropy, disagreement : (Z, Y, X), float16 in [0, 1]: the two kinds of uncertainty.
    probabilities : (C, Z, Y, X), float16, if they were asked for.
    """

    labels: LabelArray
    entropy: npt.NDArray[np.float16]
    disagreement: npt.NDArray[np.float16]
    probabilities: npt.NDArray[np.float16] | None


class Predictor:
    """Predicts slices of one volume with the students as they are at the moment of asking.

    Parameters
    ----------
    axis : working axis the slices are stacked along.
    window : the part of each slice to predict.
    planes : (N, H, W) as `network_planes` returns them, if they are there already.
    prior : what annotated slices say of slices, None where they say nothing.
    listening : how far the students are listened to where there is a prior; None leaves them unheard: what is carried
        is the prediction, and no network is run.

    Attributes
    ----------
    listening : may be changed at any time.
    """

    def __init__(
        self,
        students: Students,
        volume: Volume,
        *,
        axis: int,
        window: Window,
        config: Config,
        device: torch.device,
        planes: Tensor | None = None,
        prior: Prior | None = None,
        listening: EnsembleWeight | None = None,
    ) -> None:
        self.students = students
        self._prior = prior
        self.listening = listening
        self.volume_shape = volume.shape
        self.axis = axis
        self.window = window
        if planes is None:
            planes = network_planes(volume, axis, window, config.plane.clip_percent)
        self._planes = planes.to(device)
        self._neighbours = config.plane.neighbours
        fitting = _BATCH_VALUES // (students.classes * math.prod(window.extent))
        self._batch_slices = min(max(fitting, 1), _BATCH_SLICES)
        self._dtype = resolve_dtype(config.training.precision, device)

    def slices(self, indices: Sequence[int]) -> Iterator[SlicePrediction]:
        """Predict slices in the order given, in smaller batches where memory is short.

        Raises
        ------
        PredictionError
            If not even one slice can be predicted.
        """
        done = 0
        while done < len(indices):
            chosen = indices[done : done + self._batch_slices]
            try:
                probabilities, disagreement = self._predict(chosen)
            except (RuntimeError, MemoryError) as exc:
                if not is_out_of_memory(exc) or self._batch_slices == 1:
                    fault = memory_remedy(self._planes.device) if is_out_of_memory(exc) else f"{exc}."
                    raise PredictionError(f"Slice {chosen[0]} cannot be predicted. {fault}") from exc
                self._batch_slices //= 2
                continue
            done += len(chosen)
            for index, box, box_disagreement in zip(chosen, probabilities, disagreement[:, 0], strict=True):
                yield SlicePrediction(index, box, box_disagreement, self.window, self._slice_shape)

    def volume(self, first: int | None = None, *, keep_probabilities: bool = False) -> VolumePrediction:
        """Predict all slices, from `first` (the middle by default) outward."""
        count = self.volume_shape[self.axis]
        shape = (count, *self._slice_shape)
        labels = np.empty(shape, np.uint8)
        entropy, disagreement = np.empty(shape, np.float16), np.empty(shape, np.float16)
        probabilities: npt.NDArray[np.float16] | None = None
        for predicted in self.slices(outward(count, count // 2 if first is None else first)):
            labels[predicted.index] = predicted.labels
            entropy[predicted.index] = predicted.entropy
            disagreement[predicted.index] = predicted.disagreement
            if keep_probabilities:
                if probabilities is None:
                    probabilities = np.empty((len(predicted.box), *shape), np.float16)
                probabilities[:, predicted.index] = predicted.probabilities
        return VolumePrediction(
            np.moveaxis(labels, 0, self.axis),
            np.moveaxis(entropy, 0, self.axis),
            np.moveaxis(disagreement, 0, self.axis),
            None if probabilities is None else np.moveaxis(probabilities, 1, self.axis + 1),
        )

    @property
    def _slice_shape(self) -> tuple[int, int]:
        first, second = (n for axis, n in enumerate(self.volume_shape) if axis != self.axis)
        return first, second

    @torch.inference_mode()
    def _predict(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return probabilities (B, C, h, w) and disagreement (B, 1, h, w) on the window's box, on the CPU."""
        carried = None if self._prior is None else self._prior(indices)
        if carried is None:
            probabilities, disagreement = self._asked(indices, None)
        elif self.listening is None:
            probabilities = carried.probabilities
            disagreement = torch.zeros_like(probabilities[:, :1])
        else:
            students, disagreement = self._asked(indices, carried)
            probabilities, share = ensemble(carried, students, self.listening)
            disagreement = disagreement * share
        size = self.window.extent
        resized = [
            F.interpolate(maps, size=size, mode="bilinear", align_corners=False) if maps.shape[-2:] != size else maps
            for maps in (probabilities, disagreement)
        ]
        return resized[0].cpu(), resized[1].cpu()

    def _asked(self, indices: Sequence[int], carried: PropagatedLabels | None) -> tuple[Tensor, Tensor]:
        """Return what the students say: probabilities (B, C, H, W) and disagreement (B, 1, H, W) on network planes."""
        self.students.eval()
        rows = torch.tensor(indices, device=self._planes.device)
        images = with_neighbours(self._planes, rows, neighbours=self._neighbours)
        if self.students.prior_channels:
            shape = (len(images), self.students.prior_channels, *images.shape[-2:])
            images = torch.cat([images, images.new_zeros(shape) if carried is None else carried.channels], dim=1)
        with torch.autocast(images.device.type, dtype=self._dtype, enabled=self._dtype is not torch.float32):
            logits = self.students(images)
        unet, vnet, fused = (z.float().softmax(dim=1) for z in logits)
        return fused, (unet - vnet).abs().sum(dim=1, keepdim=True) / 2


def outward(count: int, first: int) -> list[int]:
    """Return all indices below `count`, nearest to `first` first.

    >>> outward(5, 1)
    [1, 0, 2, 3, 4]
    """
    return sorted(range(count), key=lambda index: (abs(index - first), index))
