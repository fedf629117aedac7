"""The axis along which slices were painted, inferred from where the labels break off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from knowsam.data.annotation import BACKGROUND_CLASS

if TYPE_CHECKING:
    from knowsam.data.volume import Volume

Sizes = npt.NDArray[np.intp]
"""(C, N), the voxels of each label value in each slice along one axis."""

_GONE = 0.1
"""A slice with at most this share of the voxels beside it holds a stray stroke, and nothing of the structure."""

_TAPERED = 0.25
"""A slice with less than this share of the largest one may be the natural end of a structure."""

_CLEAR = 2.0
"""Labels break off this many times as much along the painted axis as along any other.

Chosen on 48 masks of 13 tasks and their classes, painted in 15 patterns along each axis. Of 7 578 paintings, 1 % are
called unclear, and 0.1 % get another axis: adjacent slices that hold next to nothing. None of those with gaps does.
"""

_BY_CHANCE = {1: 0.0, 2: 0.01, 3: 0.06}
"""By number of axes: how much whole masks break off along all of these alike, as a box of 17 voxels along three."""


_THIN = 2.0
"""Strokes continue this many times as often in their slices as across them; in five hearts, 3 to 5 times as often."""

_SINGLE, _COARSE = 0.5, 1.5
"""Small boxes, but no single slices, count as painted across an axis with this many times the spacing of the others."""


def plausible_axes(painted: Sequence[Volume]) -> tuple[int, ...]:
    """Return the working axes along which all the labels may have been painted, the likeliest first.

    Whole structures taper along every axis; painted slices end abruptly along one. Whole masks are complete along every
    axis, and count as painted in the plane of the best resolution. Where volumes contradict each other, the axes of all
    are returned.

    Parameters
    ----------
    painted : label values, (Z, Y, X) each.
    """
    breaks = np.array([_breaks(volume.array) for volume in painted])
    broken = (_broken_axes(one, volume.spacing_mm) for one, volume in zip(breaks, painted, strict=True))
    by_volume = [axes for axes in broken if axes]
    if not by_volume:
        return (acquired_axis(painted[0].spacing_mm),)
    agreed = set.intersection(*by_volume) or set.union(*by_volume)
    return tuple(sorted(agreed, key=lambda axis: -breaks[:, axis].sum()))


def axis_across_strokes(painted: Sequence[Volume]) -> int | None:
    """Return the working axis across the slices that thin strokes were scribbled in, or None if they are not thin.

    A stroke continues in its slice, and seldom meets one in the next slice. This also holds where every slice is
    scribbled and strokes break off nowhere.

    Parameters
    ----------
    painted : label values, (Z, Y, X) each.
    """
    going_on = np.sum([_going_on(volume.array) for volume in painted], axis=0)
    axis, other = np.argsort(going_on)[:2]
    return int(axis) if _THIN * going_on[axis] < going_on[other] else None


def label_sizes(labels: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.integer], tuple[Sizes, Sizes, Sizes]]:
    """Return the label values but background, ascending, and how many voxels each has in the slices along each axis."""
    values = np.unique(labels[labels != BACKGROUND_CLASS.value])
    sizes = tuple(np.zeros((len(values), count), np.intp) for count in labels.shape)
    for index, plane in enumerate(labels):
        if not plane.any():
            # Most slices of a large volume that somebody has just begun to paint.
            continue
        rows, columns = np.nonzero(plane)
        kinds = np.searchsorted(values, plane[rows, columns])
        sizes[0][:, index] = np.bincount(kinds, minlength=len(values))
        np.add.at(sizes[1], (kinds, rows), 1)
        np.add.at(sizes[2], (kinds, columns), 1)
    return values, sizes  # type: ignore[return-value]


def _broken_axes(breaks: npt.NDArray[np.float64], spacing_mm: tuple[float, float, float]) -> set[int]:
    """Return the axes along which labels break off most; none if that may be chance."""
    axes = {int(axis) for axis in np.flatnonzero(breaks * _CLEAR > breaks.max())}
    if not axes or breaks.max() <= _BY_CHANCE[len(axes)]:
        return set()
    acquired = acquired_axis(spacing_mm)
    is_box = len(axes) == 3 and breaks.max() < _SINGLE
    if is_box and breaks[acquired] == breaks.max() and spacing_mm[acquired] > _COARSE * sorted(spacing_mm)[1]:
        return {acquired}
    return axes


def _breaks(labels: npt.NDArray[np.integer]) -> list[float]:
    """Return for each axis the share of faces between slices at which labels break off: 1 for single slices."""
    _, sizes = label_sizes(labels)
    return [_share_broken(along) for along in sizes]


def _share_broken(sizes: Sizes) -> float:
    if not sizes.size:
        return 0.0
    largest = sizes.max(axis=1, keepdims=True)
    weighed = np.where(sizes >= _TAPERED * largest, sizes * (sizes / largest), 0.0)
    before, after = sizes[:, :-1], sizes[:, 1:]
    onward = weighed[:, :-1][after <= _GONE * before].sum()
    backward = weighed[:, 1:][before <= _GONE * after].sum()
    return float((onward + backward) / (2 * sizes.sum()))


def _going_on(labels: npt.NDArray[np.integer]) -> list[int]:
    """Return for each axis how many labelled voxels have the same label as the next one along it."""
    pairs = ((np.moveaxis(labels, axis, 0)[:-1], np.moveaxis(labels, axis, 0)[1:]) for axis in range(3))
    return [int(np.count_nonzero((one == next_one) & (one != BACKGROUND_CLASS.value))) for one, next_one in pairs]


def acquired_axis(spacing_mm: tuple[float, float, float]) -> int:
    """Return the axis across the slices of the scanner, the first of those with nearly the largest spacing."""
    return next(axis for axis, mm in enumerate(spacing_mm) if mm > 0.99 * max(spacing_mm))
