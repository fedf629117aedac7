"""Rival: shapes interpolated between annotated slices, without a look at the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rival import Effort, Outcome
from scipy import ndimage

if TYPE_CHECKING:
    from tasks import Task

    from knowsam.data.annotation import LabelArray

FloatArray = npt.NDArray[np.float64]


def interpolate(task: Task, _: Effort) -> Outcome:
    """Blend signed distances linearly; each pixel goes to the class that is farthest inside, if any is inside."""
    labels = np.zeros(task.truth.shape, np.uint8)
    for before, after in task.gaps():
        below, above = task.labels_of(before), task.labels_of(after)
        pairs = [_distance_pair(below == c, above == c, task.spacing_mm[1:]) for c in range(1, task.classes)]
        for index in range(before, after + 1):
            labels[index] = _blend(pairs, (index - before) / (after - before))
    return Outcome(labels)


def _blend(pairs: list[tuple[FloatArray, FloatArray]], share: float) -> LabelArray:
    inside = [(1 - share) * below + share * above for below, above in pairs]
    background = np.zeros_like(inside[0])
    indices: LabelArray = np.argmax([background, *inside], axis=0).astype(np.uint8)
    return indices


def _distance_pair(
    below: npt.NDArray[np.bool_], above: npt.NDArray[np.bool_], spacing_mm: tuple[float, float]
) -> tuple[FloatArray, FloatArray]:
    """Return signed distances (H, W), positive inside, of one class in two slices.

    A class that is absent from one of them gets, there, minus its largest distance in the other one: it shrinks to
    nothing halfway.
    """
    if not below.any() and not above.any():
        outside = np.full(below.shape, -1.0)
        return outside, outside
    if not above.any():
        inside = _signed_distance(below, spacing_mm)
        return inside, np.full(above.shape, -inside.max())
    if not below.any():
        inside = _signed_distance(above, spacing_mm)
        return np.full(below.shape, -inside.max()), inside
    return _signed_distance(below, spacing_mm), _signed_distance(above, spacing_mm)


def _signed_distance(mask: npt.NDArray[np.bool_], spacing_mm: tuple[float, float]) -> FloatArray:
    within = ndimage.distance_transform_edt(mask, sampling=spacing_mm)
    distance: FloatArray = within - ndimage.distance_transform_edt(~mask, sampling=spacing_mm)
    return distance
