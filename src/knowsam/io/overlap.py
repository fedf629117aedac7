"""Merges segments into one array of labels: one inside another keeps its voxels, other overlaps are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from knowsam.errors import InputError

Mask = npt.NDArray[np.bool_]

_MOST_SEGMENTS = np.iinfo(np.uint16).max
_MOST_NAMED = 8


@dataclass(frozen=True)
class SegmentPlanes:
    """The voxels of one structure.

    Parameters
    ----------
    planes : yields its masks, each with the index of its plane; called more than once.
    """

    name: str
    planes: Callable[[], Iterable[tuple[int, Mask]]]


def merged(
    file_name: str, shape: tuple[int, int, int], segments: Sequence[SegmentPlanes]
) -> tuple[npt.NDArray[np.uint16], tuple[str, ...]]:
    """Return labels of this shape in which the first segment is 1, the second one 2 and so on, and notices.

    A segment that lies wholly inside a larger one takes its voxels from it.

    Parameters
    ----------
    file_name : for messages.
    shape : of the stacked planes.

    Raises
    ------
    InputError
        If segments overlap otherwise, one would lose all its voxels, or there are too many.
    """
    if len(segments) > _MOST_SEGMENTS:
        raise InputError(f"{file_name} holds {len(segments)} segments, but at most {_MOST_SEGMENTS} can be told apart.")
    merging = _Merging(file_name, segments, np.zeros(shape, np.uint16))
    nested = {}
    for place in merging.largest_first():
        outer = merging.put(place)
        if outer is not None:
            nested[place] = outer
    merging.refuse_vanished(nested)
    return merging.numbers, _notices([(segments[inner].name, segments[outer].name) for inner, outer in nested.items()])


class _Merging:
    """Labels while they are merged; the number of a segment is its place in the sequence plus one."""

    def __init__(self, file_name: str, segments: Sequence[SegmentPlanes], numbers: npt.NDArray[np.uint16]) -> None:
        self.numbers = numbers
        self._file_name, self._segments = file_name, segments
        self._sizes = [sum(int(np.count_nonzero(mask)) for _, mask in segment.planes()) for segment in segments]
        self._left = list(self._sizes)

    def largest_first(self) -> list[int]:
        """Return the places of the segments by size."""
        return sorted(range(len(self._segments)), key=self._sizes.__getitem__, reverse=True)

    def put(self, place: int) -> int | None:
        """Label the voxels of a segment; return the place of the one it lies in, if it does."""
        beneath: dict[int, int] = {}
        for index, mask in self._segments[place].planes():
            plane = self.numbers[index]
            hidden = plane[mask]
            if hidden.any():
                for number, count in zip(*np.unique(hidden[hidden > 0], return_counts=True), strict=True):
                    beneath[int(number) - 1] = beneath.get(int(number) - 1, 0) + int(count)
            plane[mask] = place + 1
        if not beneath:
            return None
        outer, overlap = max(beneath.items(), key=lambda item: item[1])
        if overlap < self._sizes[place]:
            self._refuse(outer, place, f"overlap in {overlap} voxels, and neither lies inside the other")
        self._left[outer] -= overlap
        return outer

    def refuse_vanished(self, nested: dict[int, int]) -> None:
        """Check that every segment that holds others keeps some voxels."""
        for inner, outer in nested.items():
            if not self._left[outer]:
                self._refuse(outer, inner, f"overlap, and nothing would be left of {self._segments[outer].name}")

    def _refuse(self, one: int, other: int, how: str) -> None:
        first, second = (self._segments[place].name for place in sorted((one, other)))
        raise InputError(
            f"In {self._file_name} the segments {first} and {second} {how}, but each voxel can have one label here. "
            "Take them apart in the program that made them, as in the Segment Editor of 3D Slicer, and save it again."
        )


def _notices(nested: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    if not nested:
        return ()
    listed = ", ".join(f"{inner} in {outer}" for inner, outer in nested[:_MOST_NAMED])
    more = ", ..." if len(nested) > _MOST_NAMED else ""
    return (f"Segments lie inside others, whose voxels they take: {listed}{more}.",)
