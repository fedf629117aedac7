"""Signed distances to the outlines of painted classes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import ndimage

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelArray


def signed_distances_mm(
    labels: LabelArray, classes: int, spacing_mm: tuple[float, float], most_mm: float = math.inf
) -> npt.NDArray[np.float32]:
    """Return for each class the distance to its outline, positive inside.

    Parameters
    ----------
    labels : (H, W), class indices.
    classes : C, background included.
    spacing_mm : of rows and columns.
    most_mm : largest distance; the smaller it is, the faster.

    Returns
    -------
    (C, H, W); for an absent class everywhere minus, for one that fills the slice plus `most_mm`, or the length of the
    slice if that is shorter.

    >>> signed_distances_mm(np.array([[0, 1, 1, 1]], np.uint8), 2, (1.0, 2.0))[1, 0].tolist()
    [-2.0, 2.0, 4.0, 6.0]
    """
    most_mm = min(most_mm, float(np.hypot(labels.shape[0] * spacing_mm[0], labels.shape[1] * spacing_mm[1])))
    distances = np.full((classes, *labels.shape), -most_mm, np.float32)
    for index, box in enumerate(ndimage.find_objects(labels.astype(np.int32) + 1, classes)):
        if box is not None:
            near = _widened(box, most_mm, spacing_mm)
            distances[index][near] = _signed_distance(labels[near] == index, spacing_mm).clip(-most_mm, most_mm)
    return distances


def _widened(box: tuple[slice, ...], margin_mm: float, spacing_mm: tuple[float, float]) -> tuple[slice, ...]:
    """Widen a box by at least a margin, so that everything within that distance lies inside."""
    margins = [math.ceil(margin_mm / mm) for mm in spacing_mm]
    return tuple(slice(max(s.start - n, 0), s.stop + n) for s, n in zip(box, margins, strict=True))


def _signed_distance(inside: npt.NDArray[np.bool_], spacing_mm: tuple[float, float]) -> npt.NDArray[np.float64]:
    """Return the distance to the outline of one class; infinite where it fills all."""
    if inside.all():
        return np.full(inside.shape, math.inf)
    depth = ndimage.distance_transform_edt(inside, sampling=spacing_mm)
    signed: npt.NDArray[np.float64] = depth - ndimage.distance_transform_edt(~inside, sampling=spacing_mm)
    return signed
