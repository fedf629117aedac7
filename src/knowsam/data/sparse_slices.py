"""Slices of labels that a file places one by one; the slices between them are not painted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine, voxel_sizes

from knowsam.data.orientation import from_working, to_working

if TYPE_CHECKING:
    from knowsam.data.orientation import Affine
    from knowsam.data.volume import Grid, Volume

_PARALLEL = 1e-3
"""Sine of the angle below which slices are parallel."""

_MOST_BESIDE = 0.2
"""How far, in slices, labels may lie beside the slices of the image, whose distances were rounded and averaged."""

_MOST_VOXELS = 2**28


@dataclass(frozen=True, eq=False)
class SparseSlices:
    """Places of slices of labels whose distance is only assumed.

    Parameters
    ----------
    indices : (N,), along the last axis of the file grid.
    positions_mm : (N, 3), of their first voxels, RAS+.
    notice : what is logged until the slices of an image give their distances.
    """

    indices: npt.NDArray[np.intp]
    positions_mm: npt.NDArray[np.float64]
    notice: str = ""


def respaced(labels: Volume, grid: Grid) -> Volume:
    """Return sparse labels with empty slices where an image has further slices between theirs.

    Labels are returned unchanged if they are not sparse, or one of their slices lies on none of the image.
    """
    sparse = labels.sparse
    along = None if sparse is None else _parallel_axis(labels.grid, grid)
    if sparse is None or along is None:
        return labels
    located = apply_affine(np.linalg.inv(grid.affine), sparse.positions_mm)[:, along]
    places = np.abs(np.rint(located) - np.rint(located[0]))
    rows, columns, _ = labels.grid.shape
    if (
        np.abs(located - np.rint(located)).max() > _MOST_BESIDE
        or len(np.unique(places)) < len(places)
        or places.max() * rows * columns > _MOST_VOXELS
    ):
        return labels
    step_mm = grid.affine[:3, along]
    affine = np.array(labels.grid.affine)
    affine[:3, 2] = step_mm * np.sign(step_mm @ labels.grid.affine[:3, 2])
    affine[:3, 3] = sparse.positions_mm[0] + (np.rint(located[0]) - located[0]) * step_mm
    return _spread(labels, sparse, places.astype(np.intp), affine)


def _parallel_axis(labels: Grid, image: Grid) -> int | None:
    """Return the file axis of an image that runs across the slices of labels."""
    across, steps = (grid.affine[:3, :3] / voxel_sizes(grid.affine) for grid in (labels, image))
    sines = np.linalg.norm(np.cross(steps.T, across[:, 2]), axis=1)
    return int(sines.argmin()) if sines.min() < _PARALLEL else None


def _spread(labels: Volume, sparse: SparseSlices, places: npt.NDArray[np.intp], affine: Affine) -> Volume:
    """Return labels with their slices at other places along the last axis of the file."""
    slices_ijk = from_working(labels.array, labels.grid)[..., sparse.indices]
    array_ijk = np.zeros((*slices_ijk.shape[:2], int(places.max()) + 1), slices_ijk.dtype)
    array_ijk[..., places] = slices_ijk
    return replace(
        labels,
        array=to_working(array_ijk, affine),
        grid=replace(labels.grid, shape=array_ijk.shape, affine=affine),
        notices=tuple(notice for notice in labels.notices if notice != sparse.notice),
        sparse=None,
    )
