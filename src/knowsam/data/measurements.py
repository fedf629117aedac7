"""Measures of each class of a mask: volume, largest diameter, pieces and grey values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from knowsam.data.class_boxes import class_boxes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from knowsam.data.orientation import Affine

MM3_PER_ML = 1000.0


@dataclass(frozen=True)
class Measurement:
    """The measures of one class.

    Parameters
    ----------
    value : class value in the mask.
    volume_ml : its voxels, counted.
    diameter_mm : see `largest_diameter_mm`.
    pieces : how many there are that do not touch, not even at a corner; one more than expected is often a stray voxel,
        which makes the diameter far too large.
    grey_mean, grey_sd : mean and standard deviation of the image in its voxels; None without image or voxels.
    """

    value: int
    volume_ml: float
    diameter_mm: float
    pieces: int
    grey_mean: float | None = None
    grey_sd: float | None = None


def measured(
    labels_zyx: NDArray[Any], affine: Affine, values: Iterable[int], image_zyx: NDArray[Any] | None = None
) -> tuple[Measurement, ...]:
    """Measure classes of a mask.

    Parameters
    ----------
    labels_zyx : (Z, Y, X) integer class values.
    affine : (4, 4), from (z, y, x) to mm.
    values : the class values to measure, in this order.
    image_zyx : (Z, Y, X) grey values.
    """
    chosen = [int(value) for value in values]
    boxes = class_boxes(labels_zyx, chosen)
    measurements = []
    for value in chosen:
        if value not in boxes:
            measurements.append(Measurement(value, 0.0, 0.0, 0))
            continue
        mask = labels_zyx[boxes[value]] == value
        grey = None if image_zyx is None else image_zyx[boxes[value]][mask].astype(np.float64)
        measurements.append(
            Measurement(
                value,
                volume_ml(mask, affine),
                largest_diameter_mm(mask, affine),
                pieces(mask),
                None if grey is None else float(grey.mean()),
                None if grey is None else float(grey.std()),
            )
        )
    return tuple(measurements)


def volume_ml(mask: NDArray[np.bool_], affine: Affine) -> float:
    """Return the volume of a mask (Z, Y, X)."""
    # With sheared axes, the product of the spacings would be too large.
    return float(np.count_nonzero(mask) * abs(np.linalg.det(affine[:3, :3])) / MM3_PER_ML)


def largest_diameter_mm(mask: NDArray[np.bool_], affine: Affine) -> float:
    """Return the largest distance between two points of the surface of a mask, in any direction; 0 if it is empty.

    The points are the centres of the outer faces of its voxels, which are the vertices of a triangulated surface, so
    that this is *Maximum 3D diameter* as radiomics has it. Only those on the convex hull can lie farthest apart.

    Parameters
    ----------
    mask : (Z, Y, X).
    affine : (4, 4), from (z, y, x) to mm.

    >>> round(largest_diameter_mm(np.ones((1, 1, 4), bool), np.eye(4)), 6)
    4.0
    """
    if not mask.any():
        return 0.0
    points_mm = apply_affine(affine, _outermost_faces(mask))
    return float(pdist(points_mm[ConvexHull(points_mm).vertices]).max())


def pieces(mask: NDArray[np.bool_]) -> int:
    """Return the number of pieces of a mask (Z, Y, X); voxels that touch at a corner are one piece.

    >>> pieces(np.array([[[True, False], [False, True]]])), pieces(np.array([[[True, False, True]]]))
    (1, 2)
    """
    return int(ndimage.label(mask, np.ones((3, 3, 3)))[1])


def _outermost_faces(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the centres (faces, 3) of the first and the last face of each line of voxels along each axis."""
    faces = []
    for axis in range(3):
        held = mask.any(axis)
        first = mask.argmax(axis)[held]
        last = mask.shape[axis] - 1 - np.flip(mask, axis).argmax(axis)[held]
        lines = np.argwhere(held).astype(np.float64)
        faces += [np.insert(lines, axis, ends, axis=1) for ends in (first - 0.5, last + 0.5)]
    return np.concatenate(faces)
