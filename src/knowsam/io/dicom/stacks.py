"""Series and the stacks in them: frames of one geometry and kind, one at each position."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from knowsam.data.short_line import short_line
from knowsam.io.dicom.grid import distances_mm
from knowsam.io.dicom.identity import identity_of
from knowsam.io.dicom.spacing import are_even, positions
from knowsam.io.dicom.splitting_attributes import (
    SPLITTING_ATTRIBUTES,
    Meaning,
    SplittingAttribute,
    differing,
    marks_of,
    occasions,
    values_of,
)

if TYPE_CHECKING:
    from knowsam.data.identity import Identity
    from knowsam.io.dicom.frames import Frame

_SAME_DIRECTION, _SAME_SPACING = 1e-4, 2e-4
_MOST_LISTED = 4
_SHORTEST_NAME = 3

_Item = TypeVar("_Item")


@dataclass(frozen=True, eq=False)
class Stack:
    """Frames of one series that belong to one volume.

    Parameters
    ----------
    frames : in no order; several at one position are copies, or do not belong together.
    marks : words that distinguish it from the other stacks of the series.
    notices : warnings that its frames may be no single image.
    alone : number of frames of its series that belong to no stack.
    """

    frames: tuple[Frame, ...]
    marks: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    alone: int = 0

    @property
    def description(self) -> str:
        """The name of the series, and what distinguishes this stack from others; names no patient."""
        return ", ".join([name_of(self.frames[0]), *self.marks])

    @property
    def is_alone(self) -> bool:
        """Whether it is one frame, or copies of one."""
        return len({(frame.file.instance, frame.index) for frame in self.frames}) == 1 == self.slices

    @property
    def slices(self) -> int:
        """Number of positions of its frames, or of frames if their places are not known."""
        return int(positions(distances_mm(self.frames)).max()) + 1 if self.frames[0].is_placed else len(self.frames)


def name_of(frame: Frame) -> str:
    """Return a name for the series of a frame; it names no patient.

    Raises
    ------
    InputError
        If its description is damaged.
    """
    called = _plain(frame.value("SeriesDescription"))
    if not called or _names_patient(called, identity_of(frame.file.header)):
        called = _plain(frame.value("Modality")) or "series"
    number = frame.number("SeriesNumber", -1)
    return called if number < 0 else f"{called} (series {number:.0f})"


def _names_patient(words: str, identity: Identity) -> bool:
    """Return whether a description contains the name or number of the patient."""
    parts = [*re.split(r"[\^=,\s]+", identity.patient_name), identity.patient_id.casefold()]
    return any(len(part) >= _SHORTEST_NAME and part in words.casefold() for part in parts)


def stacks_of(series: list[Frame]) -> list[Stack]:
    """Return the stacks of the frames of one series.

    Raises
    ------
    InputError
        If an attribute that may distinguish them is damaged.
    """
    parts = [stack for alike in _of_one_kind(series) for stack in _split_by_attributes(alike, SPLITTING_ATTRIBUTES)]
    alone = sum(len(stack.frames) for stack in parts if stack.is_alone)
    return [replace(stack, alone=alone) for stack in parts if not stack.is_alone]


def _of_one_kind(series: list[Frame]) -> list[list[Frame]]:
    """Group frames of the same size and kind, orientation and pixel spacing."""
    return [
        part
        for alike in _grouped(series, lambda frame: (frame.file.shape, frame.file.photometric, _holder(frame)))
        for part in _of_one_orientation(alike)
    ]


def _holder(frame: Frame) -> str | None:
    """Return the file of a frame without a place: the frames of one file belong together."""
    return None if frame.is_placed else str(frame.file.path)


def _of_one_orientation(alike: list[Frame]) -> list[list[Frame]]:
    if not alike[0].is_placed:
        return [alike]
    geometries = np.array([[*frame.directions, *frame.spacing_mm] for frame in alike])
    parts, left = [], np.arange(len(alike))
    while left.size:
        first = geometries[left[0]]
        tolerance = np.concatenate([[_SAME_DIRECTION] * 6, _SAME_SPACING * np.abs(first[6:])])
        same = (np.abs(geometries[left] - first) <= tolerance).all(axis=1)
        # NaN is unequal to everything, itself included.
        same[0] = True
        parts.append([alike[index] for index in left[same]])
        left = left[~same]
    return parts


def _split_by_attributes(frames: list[Frame], attributes: Sequence[SplittingAttribute]) -> list[Stack]:
    """Split frames by the attributes that leave one frame at each position, evenly spaced."""
    attributes = differing(frames, attributes)
    for attribute in (attribute for attribute in attributes if attribute.meaning is Meaning.PATIENT):
        groups = _by_value(frames, values_of(frames, attribute))
        # A file without a name may be of any patient.
        if len(groups.keys() - {None}) > 1:
            return _split(groups, attribute, attributes)
    if not frames[0].is_placed:
        return _of_one_number(frames, attributes)
    repeats = _repeats(frames)
    if repeats == 1 and are_even(distances_mm(frames)):
        return _interleaved(frames, attributes)
    for attribute in attributes:
        groups = _by_value(frames, values_of(frames, attribute))
        if _separates(list(groups.values()), repeats):
            return _split(groups, attribute, attributes)
    return _by_rank_in_time(frames, repeats, attributes) or [Stack(tuple(frames))]


def _of_one_number(frames: list[Frame], attributes: Sequence[SplittingAttribute]) -> list[Stack]:
    """Split frames without known places by the attributes that leave equally many in each part."""
    for attribute in attributes:
        groups = _by_value(frames, values_of(frames, attribute))
        sizes = {len(group) for group in groups.values()}
        if len(groups) > 1 and len(sizes) == 1 and sizes != {1}:
            return _split(groups, attribute, attributes)
    return [Stack(tuple(frames))]


def _separates(groups: list[list[Frame]], repeats: int) -> bool:
    if repeats == 1:
        return len(groups) > 1 and all(len(group) > 1 and are_even(distances_mm(group)) for group in groups)
    return 1 < len(groups) <= repeats and max(map(_repeats, groups)) < repeats


def _split(
    groups: dict[Any, list[Frame]], attribute: SplittingAttribute, attributes: Sequence[SplittingAttribute]
) -> list[Stack]:
    others = [other for other in attributes if other is not attribute]
    return [
        replace(stack, marks=(mark, *stack.marks))
        for mark, group in zip(marks_of(attribute, list(groups)), groups.values(), strict=True)
        for stack in _split_by_attributes(group, others)
    ]


def _interleaved(frames: list[Frame], attributes: Sequence[SplittingAttribute]) -> list[Stack]:
    """Split evenly spaced frames, one at each position, if two images are interleaved.

    Even spacing is no proof of one image. But one image may have been acquired in two turns, odd slices after even
    ones, and nothing distinguishes this from two images before and after an injection: both are offered.
    """
    places = positions(distances_mm(frames)).tolist()
    for attribute in attributes:
        values = values_of(frames, attribute)
        values = occasions(values) if attribute.is_clock else values
        if not _lie_between_each_other(list(_by_value(places, values).values()), attribute.meaning):
            continue
        groups = _by_value(frames, values)
        parts = _split(groups, attribute, attributes)
        if attribute.meaning is Meaning.CONTENT:
            return parts
        marks = (f"all {len(groups)} {attribute.noun}s interleaved",)
        return [*parts, Stack(tuple(frames), marks, _unlike(frames, attributes))]
    return [Stack(tuple(frames), notices=_unlike(frames, attributes))]


def _lie_between_each_other(groups: Sequence[list[int]], meaning: Meaning) -> bool:
    """Return whether groups of slices, by their numbers in the stack, are evenly interleaved."""
    if meaning is Meaning.PART or len(groups) < 2 or min(map(len, groups)) < 2:
        return False
    steps = [set(np.diff(sorted(group)).tolist()) for group in groups]
    if meaning is Meaning.CONTENT:
        return all(len(step) == 1 for step in steps) and steps != [{1}] * len(groups)
    # In multi-band acquisitions, a few slices far from each other share a moment.
    return steps == [{len(groups)}] * len(groups) and len(groups) <= min(map(len, groups))


def _unlike(frames: list[Frame], attributes: Sequence[SplittingAttribute]) -> tuple[str, ...]:
    """Return a warning of frames that lie like one image, but whose headers declare different contents."""
    for attribute in (attribute for attribute in attributes if attribute.meaning in (Meaning.PATIENT, Meaning.CONTENT)):
        marks = marks_of(attribute, list(_by_value(frames, values_of(frames, attribute))))
        if len(marks) > 1:
            listed = ", ".join(marks[:_MOST_LISTED]) + (" and more" if len(marks) > _MOST_LISTED else "")
            return (
                f"The slices lie like those of one image and were read as one, but their headers differ: {listed}.",
            )
    return ()


def _by_rank_in_time(frames: list[Frame], repeats: int, attributes: Sequence[SplittingAttribute]) -> list[Stack]:
    """Split frames whose times differ from slice to slice, as in a beating heart, by their order at each position."""
    places = _at_each_position(frames)
    if repeats == 1 or {len(place) for place in places} != {repeats}:
        return []
    for attribute in attributes:
        if not attribute.is_ranked:
            continue
        times = values_of(frames, attribute)
        if None not in times and all(len({times[index] for index in place}) == repeats for place in places):
            ranked = [sorted(place, key=times.__getitem__) for place in places]
            return [
                Stack(tuple(frames[index] for index in part), (f"time {rank} of {repeats}",))
                for rank, part in enumerate(zip(*ranked, strict=True), 1)
            ]
    return []


def _at_each_position(frames: list[Frame]) -> list[list[int]]:
    """Return the indices of the frames at each position."""
    return list(_by_value(range(len(frames)), positions(distances_mm(frames)).tolist()).values())


def _repeats(frames: list[Frame]) -> int:
    return max(map(len, _at_each_position(frames)))


def _by_value(items: Sequence[_Item], values: Sequence[Any]) -> dict[Any, list[_Item]]:
    groups: dict[Any, list[_Item]] = defaultdict(list)
    for item, value in zip(items, values, strict=True):
        groups[value].append(item)
    return dict(sorted(groups.items(), key=lambda item: (item[0] is not None, item[0])))


def _plain(value: object) -> str:
    """Return text for one line of a terminal, whatever a header holds."""
    return short_line(str(value or ""))


def _grouped(frames: Iterable[Frame], key: Callable[[Frame], Any]) -> list[list[Frame]]:
    groups: dict[Any, list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[key(frame)].append(frame)
    return list(groups.values())
