"""Labels of a part of an image brought onto its whole grid."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine

from knowsam.data.annotation import BACKGROUND_CLASS
from knowsam.data.orientation import corners
from knowsam.data.sparse_slices import respaced
from knowsam.data.volume import Grid, Volume, grid_difference
from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.data.orientation import Affine

_SAME_PLACE_VX = 0.05
"""Voxels this close to each other count as the same one; far below the precision of painting."""


def placed_on(labels: Volume, grid: Grid) -> Volume | None:
    """Return labels on another grid with voxels in the same places; None if its voxels lie elsewhere.

    Labels that match the grid already are returned as they are. Sparse ones keep to their slices where the image has
    slices there. Notices name lost labels, and warn that labels which reach beyond the grid may be of another image.

    Raises
    ------
    InputError
        If no labelled voxel lies on the grid.
    """
    labels = respaced(labels, grid)
    if grid_difference(labels.grid, grid) is None:
        return replace(labels, sparse=None) if labels.sparse else labels
    offset = _whole_offset(np.linalg.inv(labels.affine) @ grid.working_affine, grid)
    if offset is None:
        return None
    notices = _notices_of_extent(labels, grid, offset)
    array = _pasted(labels.array, offset, grid)
    return replace(labels, array=array, grid=grid, notices=(*labels.notices, *notices), sparse=None)


def widened(labels: Volume, grid: Grid) -> Volume:
    """Return labels on the whole of a grid if theirs is a part of it, else unchanged."""
    labels = respaced(labels, grid)
    return (is_part(labels.grid, grid) and placed_on(labels, grid)) or labels


def is_part(part: Grid, whole: Grid) -> bool:
    """Return whether a grid is smaller than another one, and each of its voxels lies on one of the other."""
    offset = _whole_offset(np.linalg.inv(part.working_affine) @ whole.working_affine, whole)
    if offset is None or part.working_shape == whole.working_shape:
        return False
    return _lies_within(part, whole, offset)


def _lies_within(part: Grid, whole: Grid, offset: npt.NDArray[np.intp]) -> bool:
    return bool(((offset <= 0) & (part.working_shape - offset <= whole.working_shape)).all())


def notices_of_outside(labels: Volume, grid: Grid) -> tuple[str, ...]:
    """Return a notice of labelled voxels outside of a grid, and of labels that are lost with them.

    Raises
    ------
    InputError
        If all of them lie outside.
    """
    to_grid = np.linalg.inv(grid.working_affine) @ labels.affine
    outside = labelled = 0
    inside: set[int] = set()
    for index, plane in enumerate(labels.array):
        rows, columns = np.nonzero(plane)
        places = np.rint(apply_affine(to_grid, np.column_stack([np.full(len(rows), index), rows, columns])))
        beyond = ((places < 0) | (places >= grid.working_shape)).any(axis=1)
        inside.update(np.unique(plane[rows[~beyond], columns[~beyond]]).tolist())
        outside += int(beyond.sum())
        labelled += len(rows)
    if labelled and outside == labelled:
        raise InputError(
            f"None of the {labelled} labelled voxels of {labels.name} lies in the image. "
            "Load the labels that belong to this image."
        )
    if not outside:
        return ()
    lost = sorted(set(np.unique(labels.array).tolist()) - inside - {BACKGROUND_CLASS.value})
    nothing_left = f" Nothing was left of label {', '.join(map(str, lost))}." if lost else ""
    return (f"{outside} of {labelled} labelled voxels lie outside of the image and were left out.{nothing_left}",)


def _notices_of_extent(labels: Volume, grid: Grid, offset: npt.NDArray[np.intp]) -> tuple[str, ...]:
    """Return a notice of labels that reach beyond the grid, if only with background: they may be another patient's.

    Raises
    ------
    InputError
        As `notices_of_outside`.
    """
    beyond = notices_of_outside(labels, grid)
    if _lies_within(labels.grid, grid, offset):
        return ()
    return (*notices_of_lost_place(labels.grid, grid), *beyond) or (
        f"The labels have shape {labels.grid.shape} and reach beyond the image, which has {grid.shape}. Check that "
        "they belong to this image.",
    )


def notices_of_lost_place(labels: Grid, grid: Grid) -> tuple[str, ...]:
    """Return a notice of how far labels lie beside an image of the same shape, on which they were perhaps painted."""
    if labels.working_shape != grid.working_shape:
        return ()
    places = (apply_affine(one.working_affine, corners(grid.working_shape)) for one in (labels, grid))
    apart_mm = np.linalg.norm(np.subtract(*places), axis=1).max()
    return (
        "The labels have as many voxels as the image, but their file says that they lie up to "
        f"{apart_mm:.3g} mm beside it. If they were painted on this image, their file has lost its place: save them "
        "with the geometry of the image.",
    )


def _whole_offset(to_labels: Affine, grid: Grid) -> npt.NDArray[np.intp] | None:
    """Return by how many voxels the labels are shifted against the grid; None if it is no whole number of voxels."""
    corner_vx = corners(grid.working_shape)
    shifts = apply_affine(to_labels, corner_vx) - corner_vx
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
