"""Between a file's voxel order (i, j, k) and the working order (z, y, x): flips and permutations only.

World positions are RAS+: x grows to the right, y to anterior, z to superior, in mm. An oblique file keeps its axes;
each counts as the nearest anatomical axis.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from nibabel.affines import voxel_sizes
from nibabel.orientations import (
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt2axcodes,
    ornt_transform,
)

from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.data.volume import Grid

Affine = npt.NDArray[np.float64]

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From the world of DICOM, NRRD and MetaImage to this one, and back."""

WORKING_AXES = ("I", "P", "L")
"""Directions in which the indices of a working array (z, y, x) grow: inferior, posterior, left."""

PLANE_NAMES = ("axial", "coronal", "sagittal")
"""The slices along each working axis."""

_DIRECTIONS = {
    "R": "left to right",
    "L": "right to left",
    "A": "posterior to anterior",
    "P": "anterior to posterior",
    "S": "inferior to superior",
    "I": "superior to inferior",
}


def to_working(array_ijk: npt.NDArray[Any], affine: Affine) -> npt.NDArray[Any]:
    """Return an array (I, J, K) of a file with this affine in the working order, (Z, Y, X).

    Raises
    ------
    InputError
        If the affine is degenerate.
    """
    return np.ascontiguousarray(apply_orientation(array_ijk, _file_to_working(affine)))


def empty_for_working(shape: tuple[int, int, int], dtype: npt.DTypeLike, affine: Affine) -> npt.NDArray[Any]:
    """Return an array (I, J, K) to fill, in the memory order that `to_working` need not copy.

    Raises
    ------
    InputError
        If the affine is degenerate.
    """
    working_to_file = ornt_transform(axcodes2ornt(WORKING_AXES), _orientation(affine))
    # Working axis n becomes axis working_to_file[n, 0] of the file.
    working = np.empty([shape[int(axis)] for axis in working_to_file[:, 0]], dtype)
    view: npt.NDArray[Any] = apply_orientation(working, working_to_file)
    return view


def from_working(array_zyx: npt.NDArray[Any], grid: Grid) -> npt.NDArray[Any]:
    """Return a working array (Z, Y, X) in the order of the file, (I, J, K): the exact inverse of `to_working`."""
    working_to_file = ornt_transform(axcodes2ornt(WORKING_AXES), _orientation(grid.affine))
    return np.ascontiguousarray(apply_orientation(array_zyx, working_to_file))


def working_affine(affine: Affine, shape: tuple[int, int, int]) -> Affine:
    """Return the affine from working indices (z, y, x) to RAS+ mm of a file with this affine and shape (I, J, K)."""
    result: Affine = affine @ inv_ornt_aff(_file_to_working(affine), shape)
    return result


def working_axis(grid: Grid, file_axis: int) -> int:
    """Return the working axis that runs along an axis of the file."""
    return int(_file_to_working(grid.affine)[file_axis, 0])


def file_axis(grid: Grid, working_axis: int) -> int:
    """Return the axis of the file that runs along a working axis."""
    return int(np.flatnonzero(_file_to_working(grid.affine)[:, 0] == working_axis)[0])


def working_index(grid: Grid, file_axis: int, index: int) -> int:
    """Return the working index of a slice, from its index along an axis of the file."""
    flipped = _file_to_working(grid.affine)[file_axis, 1] < 0
    return grid.shape[file_axis] - 1 - index if flipped else index


def file_index(grid: Grid, working_axis: int, index: int) -> int:
    """Return the index of a slice along the axis of the file, from its working index."""
    # A flip is its own inverse.
    return working_index(grid, file_axis(grid, working_axis), index)


def describe_axes(affine: Affine) -> tuple[str, str, str]:
    """Return in words the direction of each of the three axes.

    >>> describe_axes(np.diag([-1.0, 1.0, 1.0, 1.0]))
    ('right to left', 'posterior to anterior', 'inferior to superior')
    """
    first, second, third = (_DIRECTIONS[code] for code in ornt2axcodes(_orientation(affine)))
    return first, second, third


def obliqueness_deg(affine: Affine) -> float:
    """Return the largest angle between an axis of the array and the anatomical axis nearest to it, in degrees.

    >>> obliqueness_deg(np.diag([-1.0, 1.0, 3.0, 1.0]))
    0.0
    """
    nearest_cosines = np.abs(affine[:3, :3] / voxel_sizes(affine)).max(axis=0)
    return float(np.degrees(np.arccos(min(nearest_cosines.min(), 1.0))))


def corners(shape: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """Return the indices of the corners of a 3D array, (8, 3)."""
    return np.array(list(product(*((0, count - 1) for count in np.asarray(shape)))))


def is_regular(affine: Affine) -> bool:
    """Whether an affine is finite and has three independent axes."""
    return bool(np.isfinite(affine).all()) and bool(np.linalg.matrix_rank(affine[:3, :3]) == 3)


def _orientation(affine: Affine) -> npt.NDArray[np.float64]:
    """Return nibabel's orientation of the file: (3, 2), for each axis the nearest RAS+ axis and the direction."""
    orientation: npt.NDArray[np.float64] = io_orientation(affine) if is_regular(affine) else np.full((3, 2), np.nan)
    if np.isnan(orientation).any():
        raise InputError(
            f"The affine is {affine.tolist()}, but three independent axes with finite, non-zero spacing are needed. "
            "Repair the geometry of the file, for example by converting it again from DICOM."
        )
    return orientation


def _file_to_working(affine: Affine) -> npt.NDArray[np.float64]:
    transform: npt.NDArray[np.float64] = ornt_transform(_orientation(affine), axcodes2ornt(WORKING_AXES))
    return transform
