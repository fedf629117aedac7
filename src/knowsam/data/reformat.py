"""Images reformatted to painted planes that cut their slices, and labels brought back from there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine
from scipy import ndimage

from knowsam.data.annotation import BACKGROUND_CLASS
from knowsam.data.intensity import intensity_range
from knowsam.data.orientation import corners
from knowsam.data.volume import Grid

if TYPE_CHECKING:
    from knowsam.data.orientation import Affine
    from knowsam.data.painted_slices import PaintedSlices
    from knowsam.data.volume import Volume

Labels = npt.NDArray[np.integer]

_MANY_CUT = 1 / 3
"""An image is reformatted if painted planes cut at least this share of the slices with labels.

Fewer are cut where a structure is labelled as a whole: only slices at its ends.
"""


def in_painted_planes(painted: PaintedSlices, image: Volume) -> tuple[PaintedSlices, Volume]:
    """Return painted slices on the voxels of an image, and that image, reformatted if painted planes cut its slices.

    Cut slices are annotated in part, and nothing is propagated from these. The returned labels have the notices of this
    step.

    Raises
    ------
    InputError
        As `PaintedSlices.on`.
    """
    placed = painted.on(image.grid)
    if not placed.tilt_deg or len(placed.partial) < _MANY_CUT * len(placed.indices):
        return placed, image
    grid = _plane_grid(painted, image.grid)
    in_planes = painted.on(grid, image=image.grid)
    notice = (
        f"The painted slices are tilted by {placed.tilt_deg:.2g} degrees against those of the image, which was "
        "therefore resampled to their planes. The mask is brought back to its own voxels."
    )
    labels = replace(in_planes.labels, notices=(notice, *in_planes.labels.notices))
    return replace(in_planes, labels=labels), _reformatted(image, grid)


def brought_back(labels: Labels, volume: Volume) -> tuple[Labels, Grid]:
    """Return labels of a volume on the voxels of its file, and their grid.

    Each voxel gets the label with the largest interpolated share, where all together have at least half.

    Parameters
    ----------
    labels : (Z, Y, X), label values.
    """
    if volume.reformatted_from is None:
        return labels, volume.grid
    grid = volume.reformatted_from
    to_planes = np.linalg.inv(volume.affine) @ grid.working_affine
    found = np.zeros(grid.working_shape, labels.dtype)
    most, total = np.zeros((2, *grid.working_shape), np.float32)
    for value in np.setdiff1d(labels, BACKGROUND_CLASS.value):
        box, share = _interpolated(labels == value, to_planes, grid)
        wins = share > most[box]
        found[box][wins], most[box][wins] = value, share[wins]
        total[box] += share
    found[total < 0.5] = BACKGROUND_CLASS.value
    return found, grid


def _plane_grid(painted: PaintedSlices, image: Grid) -> Grid:
    """Return the grid of an image in painted planes: as fine as the image is along its axes, over all of it.

    Each painted plane is a slice of it. Where spacings differ much, it has several slices for one of the labels, or
    skips some.
    """
    labels, axis = painted.labels, painted.axis
    directions = labels.affine[:3, :3] / labels.spacing_mm
    steps_mm = 1 / np.linalg.norm(np.linalg.inv(image.working_affine[:3, :3]) @ directions, axis=0)
    ratio = labels.spacing_mm[axis] / steps_mm[axis]
    steps_mm[axis] = labels.spacing_mm[axis] * max(1, round(1 / ratio)) / max(1, round(ratio))
    painted_place = np.zeros(3)
    painted_place[axis] = painted.indices[0]
    affine: Affine = np.eye(4)
    affine[:3, :3] = directions * steps_mm
    affine[:3, 3] = apply_affine(labels.affine, painted_place)
    ends = apply_affine(np.linalg.inv(affine) @ image.working_affine, corners(image.working_shape))
    first, last = np.floor(ends.min(axis=0)), np.ceil(ends.max(axis=0))
    affine[:3, 3] = apply_affine(affine, first)
    i, j, k = (last - first).astype(int) + 1
    return Grid((int(i), int(j), int(k)), affine)


def _reformatted(image: Volume, grid: Grid) -> Volume:
    """Return an image on another grid, interpolated linearly; its edges are repeated beyond."""
    # Padding must not mix with the tissue beside it to grey values between.
    low, high = (image.array.dtype.type(end) for end in intensity_range(image.array, 0.0, image.padding))
    matrix = np.linalg.inv(image.affine) @ grid.working_affine
    array = ndimage.affine_transform(
        image.array.clip(low, high), matrix[:3, :3], matrix[:3, 3], grid.working_shape, order=1, mode="nearest"
    )
    return replace(image, array=array, grid=grid, reformatted_from=image.grid)


def _interpolated(
    mask: npt.NDArray[np.bool_], to_mask: Affine, grid: Grid
) -> tuple[tuple[slice, ...], npt.NDArray[np.float32]]:
    """Return the box that a mask reaches on another grid, and the share of each voxel in it that the mask fills."""
    occupied = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    start = np.array([places[0] for places in occupied])
    stop = np.array([places[-1] + 1 for places in occupied])
    reached = apply_affine(np.linalg.inv(to_mask), start - 1 + corners(stop - start + 2))
    first = np.floor(reached.min(axis=0)).astype(int).clip(0, grid.working_shape)
    last = np.ceil(reached.max(axis=0)).astype(int).clip(-1, np.array(grid.working_shape) - 1)
    box = tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))
    share = ndimage.affine_transform(
        mask[tuple(map(slice, start, stop))].astype(np.float32),
        to_mask[:3, :3],
        apply_affine(to_mask, first) - start,
        tuple(np.maximum(last + 1 - first, 0)),
        order=1,
        mode="grid-constant",
    )
    return box, share
