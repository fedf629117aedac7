"""Labels of a few voxels in a slice, probably painted by accident."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from knowsam.data.painted_axis import label_sizes

if TYPE_CHECKING:
    from knowsam.data.painted_slices import PaintedSlices

_BETWEEN = (100, 0.03)
_AT_END = (5, 0.01)
"""A dab has at most this many voxels, and at most this share of those expected from the slices beside it.

At an end it must also lie beside the rest of its label, as the tip of a structure does not. Of 48 masks of 13 tasks,
painted in eleven patterns along each axis (1 584 in all), 13 have a slice that counts as a dab: of 1 to 9 voxels, 12 of
them at an end.
"""

_MOST_ALONE = 2
"""Voxels of a label that occurs in one slice only, beside others that fill a hundred times as many."""


@dataclass(frozen=True)
class StrayLabel:
    """A label with next to no voxels in a slice.

    Parameters
    ----------
    index : of the slice.
    value : of the label.
    voxels : in this slice.
    expected : voxels it would have by the painted slices round it.
    """

    index: int
    value: int
    voxels: int
    expected: int

    def sentence(self, place: str) -> str:
        """Return a warning of it.

        Parameters
        ----------
        place : the slice in words, as its reader counts.
        """
        noun, verb = ("voxel", "makes") if self.voxels == 1 else ("voxels", "make")
        return (
            f"In {place}, {self.voxels} {noun} of label {self.value} {verb} it count as painted completely, "
            f"though the painted slices round it suggest about {self.expected}. If that was an accident, erase it."
        )


def stray_labels(painted: PaintedSlices) -> tuple[StrayLabel, ...]:
    """Return the labels that stand out as strays in completely painted slices."""
    values, sizes = label_sizes(painted.labels.array)
    indices = np.setdiff1d(painted.indices, painted.partial)
    along = sizes[painted.axis][:, indices]
    most = int(along.sum(axis=0).max(initial=0))
    found = []
    for value, counts in zip(values.tolist(), along, strict=True):
        for place in np.flatnonzero(counts * (value != painted.ignore_value)).tolist():
            index, voxels = int(indices[place]), int(counts[place])
            before, after = (int(part.max(initial=0)) for part in (counts[:place], counts[place + 1 :]))
            if before and after:
                beside = np.interp(index, np.delete(indices, place), np.log1p(np.delete(counts, place)))
                # A neighbour may be a stray as well.
                expected = max(min(before, after), round(float(np.expm1(beside))))
                is_stray = _is_dab(voxels, expected, *_BETWEEN)
            elif before or after:
                expected = max(before, after)
                is_stray = _is_dab(voxels, expected, *_AT_END) and _lies_beside(painted, value, index)
            else:
                is_stray, expected = voxels <= _MOST_ALONE and voxels <= most / 100, most
            if is_stray:
                found.append(StrayLabel(index, value, voxels, expected))
    return tuple(sorted(found, key=lambda stray: stray.index))


def _is_dab(voxels: int, expected: int, most: int, share: float) -> bool:
    return voxels <= most and voxels <= share * expected


def _lies_beside(painted: PaintedSlices, value: int, index: int) -> bool:
    """Return whether a label in a slice lies beside the box round it in all other slices."""
    planes = np.moveaxis(painted.labels.array, painted.axis, 0) == value
    here = np.argwhere(planes[index])
    box = np.argwhere(np.delete(planes, index, axis=0).any(axis=0))
    return bool(((here < box.min(axis=0)) | (here > box.max(axis=0))).any(axis=1).all())
