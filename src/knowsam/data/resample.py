"""Labels brought onto the grid of an image they were not made on."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine
from scipy.ndimage import affine_transform

from knowsam.data.annotation import BACKGROUND_CLASS
from knowsam.data.sparse_slices import respaced
from knowsam.data.volume import Grid, Volume, grid_difference
from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.data.orientation import Affine

_SAME_PLACE_VX = 0.05
"""Voxels this close to each other are taken for the same one: far below what anybody can paint."""


def placed_on(labels: Volume, grid: Grid) -> Volume:
    """Return labels on another grid: pasted where voxels lie on voxels, else each voxel gets the nearest label.

    Labels that match the grid already are returned as they are. Sparse ones keep to their slices where the image has
    slices there. A notice says what was changed and what was lost.

    Raises
    ------
    InputError
        If no labelled voxel lies on the grid, or none is left there.
    """
    labels = respaced(labels, grid)
    if grid_difference(labels.grid, grid) is None:
        return replace(labels, sparse=None) if labels.sparse else labels
    to_labels = np.linalg.inv(labels.affine) @ grid.working_affine
    offset = _whole_offset(to_labels, grid)
    placed = _nearest(labels.array, to_labels, grid) if offset is None else _pasted(labels.array, offset, grid)
    outside, labelled = _count_outside(labels, grid)
    if labelled and (outside == labelled or not placed.any()):
        fate = "lies in the image" if outside == labelled else "is left on the voxels of the image, which are larger"
        raise InputError(
            f"None of the {labelled} labelled voxels of {labels.name} {fate}. "
            "Load the labels that belong to this image."
        )
    notices = [] if offset is not None else [_RESAMPLED]
    if outside:
        notices.append(f"{outside} of {labelled} labelled voxels lie outside of the image and were left out.")
    lost = [int(value) for value in np.setdiff1d(labels.array, placed) if value != BACKGROUND_CLASS.value]
    if lost:
        notices.append(f"Nothing was left of label {', '.join(map(str, lost))}.")
    return replace(labels, array=placed, grid=grid, notices=(*labels.notices, *notices), sparse=None)


def widened(labels: Volume, grid: Grid) -> Volume:
    """Return labels on the whole of a grid if theirs is a part of it, as they are if not."""
    labels = respaced(labels, grid)
    return placed_on(labels, grid) if is_part(labels.grid, grid) else labels


def is_part(part: Grid, whole: Grid) -> bool:
    """Tell whether a grid is smaller than another one, and each of its voxels lies on one of the other."""
    offset = _whole_offset(np.linalg.inv(part.working_affine) @ whole.working_affine, whole)
    if offset is None or part.working_shape == whole.working_shape:
        return False
    return bool(((offset <= 0) & (part.working_shape - offset <= whole.working_shape)).all())


_RESAMPLED = (
    "The labels have other voxels than the image, so they were resampled to those of the image, the nearest one each. "
    "Check their edges."
)


def _whole_offset(to_labels: Affine, grid: Grid) -> npt.NDArray[np.intp] | None:
    """Return by how many voxels the labels are shifted against the grid; None if it is no whole number of voxels."""
    corners = np.array(list(product(*((0, count - 1) for count in grid.working_shape))))
    shifts = apply_affine(to_labels, corners) - corners
    offset = np.rint(shifts[0]).astype(np.intp)
    return offset if np.abs(shifts - offset).max() <= _SAME_PLACE_VX else None


def _pasted(labels: npt.NDArray[np.integer], offset: npt.NDArray[np.intp], grid: Grid) -> npt.NDArray[np.integer]:
    placed = np.zeros(grid.working_shape, labels.dtype)
    ranges = [
        (max(0, -shift), min(size, count - shift))
        for shift, size, count in zip(offset.tolist(), grid.working_shape, labels.shape, strict=True)
    ]
    if all(first < last for first, last in ranges):
        target = tuple(slice(first, last) for first, last in ranges)
        origin = tuple(slice(a + s, b + s) for (a, b), s in zip(ranges, offset.tolist(), strict=True))
        placed[target] = labels[origin]
    return placed


def _nearest(labels: npt.NDArray[np.integer], to_labels: Affine, grid: Grid) -> npt.NDArray[np.integer]:
    placed = np.empty(grid.working_shape, labels.dtype)
    # Constant beyond the outermost voxels rather than beyond their centres.
    affine_transform(labels, to_labels, output=placed, order=0, mode="grid-constant", cval=BACKGROUND_CLASS.value)
    return placed


def _count_outside(labels: Volume, grid: Grid) -> tuple[int, int]:
    """Count the labelled voxels whose centres lie beyond the voxels of the grid, and all labelled ones."""
    to_grid = np.linalg.inv(grid.working_affine) @ labels.affine
    outside = labelled = 0
    for index, plane in enumerate(labels.array):
        rows, columns = np.nonzero(plane)
        places = np.rint(apply_affine(to_grid, np.column_stack([np.full(len(rows), index), rows, columns])))
        outside += int(((places < 0) | (places >= grid.working_shape)).any(axis=1).sum())
        labelled += len(rows)
    return outside, labelled
