"""Slices, propagated labels and an ensemble weight in, probabilities out: slice by slice, or the whole volume."""

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
from knowsam.inference.device import fault_sentence, is_out_of_memory, resolve_dtype, to_device
from knowsam.inference.ensemble import HeldOutWeight, ensemble
from knowsam.inference.planes import with_neighbours
from knowsam.inference.uncertainty import error_probability, inverse_temperature
from knowsam.propagation.most_probable import most_probable

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.data.ends import Extents
    from knowsam.data.window import Window
    from knowsam.inference.ensemble import EnsembleWeight
    from knowsam.inference.planes import NetworkSlices
    from knowsam.models.students import Students
    from knowsam.propagation.propagated_labels import PropagatedLabels

FloatArray = npt.NDArray[np.float32]

Propagate = Callable[[Sequence[int]], "PropagatedLabels | None"]
"""Gives the labels propagated to some slices; None where there are none."""

_BATCH_SLICES = 8
_BATCH_VALUES = 1 << 24
"""Most probabilities in a batch, at the resolution of the slices: many classes come in small batches."""


@dataclass(frozen=True)
class SlicePrediction:
    """What is predicted of one slice: certain background outside the window.

    Parameters
    ----------
    index : position along the axis of the prediction.
    box : (C, h, w), probabilities in the window's box, sum one.
    box_error : (h, w), probability that the most probable class is wrong, 0 in annotated slices.
    window : where the box lies.
    shape : (H, W) of the slice.
    """

    index: int
    box: Tensor
    box_error: Tensor
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
        return self._pasted(most_probable(self.box[None])[0].to(torch.uint8), BACKGROUND)

    @property
    def error_probability(self) -> FloatArray:
        """(H, W), how probable it is that the label is wrong; 0 in annotated slices and outside the window."""
        return self._pasted(self.box_error, 0)

    def _pasted(self, box: Tensor, outside: int) -> npt.NDArray[Any]:
        whole = np.full(self.shape, outside, box.numpy().dtype)
        self.window.paste(box.numpy(), into=whole)
        return whole


@dataclass(frozen=True)
class VolumePrediction:
    """What is predicted of a whole volume, in the working orientation.

    Parameters
    ----------
    labels : (Z, Y, X), class indices.
    error_probability : (Z, Y, X), float16, how probable it is that the label is wrong.
    """

    labels: LabelArray
    error_probability: npt.NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class Predictor:
    """Predicts slices of one volume. It is immutable; `dataclasses.replace` gives a different one.

    Parameters
    ----------
    source : the slices.
    config : how they are shown to the students, and the dtype.
    classes : C, background included.
    students : None leaves them out: propagated labels are the prediction.
    propagate : gives the labels propagated to slices, None where there are none.
    weight : of the students where labels are propagated; None runs no network there.
    extents : the slices in which each class can be; None for all.
    """

    source: NetworkSlices
    config: Config
    classes: int
    students: Students | None = None
    propagate: Propagate | None = None
    weight: EnsembleWeight | None = None
    extents: Extents | None = None

    def slices(self, indices: Sequence[int]) -> Iterator[SlicePrediction]:
        """Predict slices in the order given, in smaller batches where memory is short.

        Raises
        ------
        PredictionError
            If not even one slice can be predicted.
        """
        done, batch_slices = 0, self._batch_slices
        while done < len(indices):
            chosen = indices[done : done + batch_slices]
            try:
                probabilities, error = self._predict(chosen)
            except (RuntimeError, MemoryError) as exc:
                if not is_out_of_memory(exc) or batch_slices == 1:
                    fault = fault_sentence(exc, self._device)
                    raise PredictionError(f"A slice cannot be predicted. {fault}") from exc
                batch_slices //= 2
                continue
            done += len(chosen)
            for index, box, box_error in zip(chosen, probabilities, error[:, 0], strict=True):
                yield SlicePrediction(index, box, box_error, self.source.window, self.source.slice_shape)

    def volume(self) -> VolumePrediction:
        """Predict all slices."""
        axis, count = self.source.axis, self.source.volume_shape[self.source.axis]
        shape = (count, *self.source.slice_shape)
        labels = np.empty(shape, np.uint8)
        error_probability = np.empty(shape, np.float16)
        for predicted in self.slices(list(range(count))):
            labels[predicted.index] = predicted.labels
            error_probability[predicted.index] = predicted.error_probability
        return VolumePrediction(np.moveaxis(labels, 0, axis), np.moveaxis(error_probability, 0, axis))

    @property
    def _device(self) -> torch.device:
        return self.source.planes.device

    @property
    def _batch_slices(self) -> int:
        fitting = _BATCH_VALUES // (self.classes * math.prod(self.source.window.extent))
        return min(max(fitting, 1), _BATCH_SLICES)

    @torch.inference_mode()
    def _predict(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return probabilities (B, C, h, w) and that of being wrong (B, 1, h, w) on the window's box, on the CPU."""
        propagated = None if self.propagate is None else self.propagate(indices)
        if propagated is None:
            probabilities, disagreement = self._student_prediction(indices, None)
        elif self.weight is None or propagated.is_drawn.all():
            # In slices that somebody has drawn the students have no weight.
            probabilities = propagated.probabilities
            disagreement = torch.zeros_like(probabilities[:, :1])
        else:
            # Students of other volumes know propagated labels from short ways only, and would believe those from afar.
            is_held_out = isinstance(self.weight, HeldOutWeight)
            students, disagreement = self._student_prediction(indices, None if is_held_out else propagated)
            probabilities, share = ensemble(propagated, students, self.weight)
            disagreement = disagreement * share
        probabilities = self._within_ends(probabilities, indices)
        size = self.source.window.extent
        probabilities, disagreement = (
            F.interpolate(maps, size=size, mode="bilinear", align_corners=False) if maps.shape[-2:] != size else maps
            for maps in (probabilities, disagreement)
        )
        certainty = torch.ones(1, 1, 1, 1) if propagated is None else inverse_temperature(propagated)
        error = error_probability(probabilities, disagreement, certainty.to(probabilities))
        return probabilities.cpu(), error.cpu()

    def _within_ends(self, probabilities: Tensor, indices: Sequence[int]) -> Tensor:
        """Turn classes that are not in a slice into background."""
        absent = None if self.extents is None else self.extents.absent(indices)
        if absent is None or not absent.any():
            return probabilities
        ended = to_device(torch.from_numpy(absent), probabilities.device)[:, :, None, None]
        left = probabilities.masked_fill(ended, 0)
        return torch.cat([left[:, :1] + 1 - left.sum(dim=1, keepdim=True), left[:, 1:]], dim=1)

    def _student_prediction(self, indices: Sequence[int], propagated: PropagatedLabels | None) -> tuple[Tensor, Tensor]:
        """Return what the students say: probabilities (B, C, H, W) and disagreement (B, 1, H, W) on network planes."""
        if self.students is None:
            raise ValueError("nothing is propagated to these slices, and there are no students to ask")
        self.students.eval()
        rows = torch.tensor(indices, device=self._device)
        images = with_neighbours(self.source.planes, rows, neighbours=self.config.plane.neighbours)
        if self.students.prior_channels:
            shape = (len(images), self.students.prior_channels, *images.shape[-2:])
            images = torch.cat([images, images.new_zeros(shape) if propagated is None else propagated.channels], dim=1)
        dtype = resolve_dtype(self.config.training.precision, self._device)
        with torch.autocast(images.device.type, dtype=dtype, enabled=dtype is not torch.float32):
            logits = self.students(images)
        unet, vnet, fused = (z.float().softmax(dim=1) for z in logits)
        return fused, (unet - vnet).abs().sum(dim=1, keepdim=True) / 2
