"""Series and the stacks in them: frames of one look, one at each position."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from knowsam.data.short_line import short_line
from knowsam.io.dicom.frames import Frame
from knowsam.io.dicom.grid import distances_mm
from knowsam.io.dicom.header import TELLING
from knowsam.io.dicom.spacing import are_even, positions

_UNITS = {
    "StackID": "stack {}",
    "TemporalPositionIdentifier": "time point {}",
    "TemporalPositionIndex": "time point {}",
    "EchoNumbers": "echo {}",
    "EffectiveEchoTime": "echo time {} ms",
    "EchoTime": "echo time {} ms",
    "InversionTime": "inversion time {} ms",
    "FlipAngle": "flip angle {}",
    "DiffusionBValue": "b = {}",
    "ConvolutionKernel": "kernel {}",
    "KVP": "{} kV",
    "AcquisitionNumber": "acquisition {}",
    "FrameAcquisitionNumber": "acquisition {}",
}
"""How values are told that mean something to a person; of others only the rank is told."""

_TEXTS = ("StackID", "ComplexImageComponent", "FrameType", "ImageType", "ConvolutionKernel")
_TIMES = ("TriggerTime", "NominalCardiacTriggerDelayTime", "FrameReferenceTime", "AcquisitionTime")
_SAME_DIRECTION, _SAME_SPACING = 1e-4, 2e-4

Part = tuple[tuple[str, ...], list[Frame]]


@dataclass(frozen=True, eq=False)
class Stack:
    """Frames of one series that belong to one volume.

    Parameters
    ----------
    frames : in no order.
    marks : what tells it from the other stacks of the series, in words.
    copies : how many copies of its frames were left out.
    alone : how many frames of its series belong to no stack.
    """

    frames: tuple[Frame, ...]
    marks: tuple[str, ...] = ()
    copies: int = 0
    alone: int = 0

    @property
    def description(self) -> str:
        """What the series is called, and what tells this stack from others; names no patient."""
        return ", ".join([name_of(self.frames[0]), *self.marks])


def name_of(frame: Frame) -> str:
    """Return what the series of a frame is called; names no patient.

    Raises
    ------
    InputError
        If that is damaged.
    """
    called = _plain(frame.value("SeriesDescription")) or _plain(frame.value("Modality")) or "series"
    number = frame.number("SeriesNumber", -1)
    return called if number < 0 else f"{called} (series {number:.0f})"


def stacks_of(series: list[Frame]) -> list[Stack]:
    """Return the stacks that the frames of one series make.

    Raises
    ------
    InputError
        If an attribute that may tell them apart is damaged.
    """
    parts = [part for looks in _of_one_look(series) for part in _told_apart(looks, TELLING)]
    once = [_once(part) for _, part in parts]
    alone = sum(len(kept) == 1 for kept in once)
    return [
        Stack(tuple(kept), marks, len(part) - len(kept), alone)
        for (marks, part), kept in zip(parts, once, strict=True)
        if len(kept) > 1
    ]


def _of_one_look(series: list[Frame]) -> list[list[Frame]]:
    """Group frames of the same size and kind, orientation and pixel spacing."""
    return [
        part
        for alike in _grouped(series, lambda frame: (frame.file.shape, frame.file.photometric, _holder(frame)))
        for part in _of_one_orientation(alike)
    ]


def _holder(frame: Frame) -> str | None:
    """Return the file whose frames belong together although no place is known of them."""
    return None if frame.is_placed else str(frame.file.path)


def _of_one_orientation(alike: list[Frame]) -> list[list[Frame]]:
    if not alike[0].is_placed:
        return [alike]
    looks = np.array([[*frame.directions, *frame.spacing_mm] for frame in alike])
    parts, left = [], np.arange(len(alike))
    while left.size:
        first = looks[left[0]]
        tolerance = np.concatenate([[_SAME_DIRECTION] * 6, _SAME_SPACING * first[6:]])
        same = (np.abs(looks[left] - first) <= tolerance).all(axis=1)
        # What is not a number is like nothing, itself included.
        same[0] = True
        parts.append([alike[index] for index in left[same]])
        left = left[~same]
    return parts


def _told_apart(frames: list[Frame], attributes: Sequence[str]) -> list[Part]:
    """Split frames by the attributes that leave one frame at each position, and these evenly spaced."""
    if not frames[0].is_placed or ((repeats := _repeats(frames)) == 1 and are_even(distances_mm(frames))):
        return [((), frames)]
    for rank, keyword in enumerate(attributes):
        groups = _by_value(frames, keyword)
        if _tells_apart(list(groups.values()), repeats):
            told = _words(keyword, list(groups))
            return [
                ((mark, *marks), part)
                for mark, group in zip(told, groups.values(), strict=True)
                for marks, part in _told_apart(group, attributes[rank + 1 :])
            ]
    return _by_rank_in_time(frames, repeats) or [((), frames)]


def _tells_apart(groups: list[list[Frame]], repeats: int) -> bool:
    if repeats == 1:
        return len(groups) > 1 and all(len(group) > 1 and are_even(distances_mm(group)) for group in groups)
    return 1 < len(groups) <= repeats and max(map(_repeats, groups)) < repeats


def _by_rank_in_time(frames: list[Frame], repeats: int) -> list[Part]:
    """Split frames whose times differ from slice to slice, as in a beating heart, by their order at each position."""
    places = _at_each_position(frames)
    if repeats == 1 or {len(place) for place in places} != {repeats}:
        return []
    for keyword in _TIMES:
        ranked = [_in_time(place, keyword) for place in places]
        if all(ranked):
            parts = [list(part) for part in zip(*ranked, strict=True)]
            return [((f"time {rank} of {repeats}",), part) for rank, part in enumerate(parts, 1)]
    return []


def _in_time(frames: list[Frame], keyword: str) -> list[Frame]:
    """Return frames in the order of their times, or none if two have the same."""
    times = [frame.number(keyword, 0) for frame in frames]
    return [frames[index] for index in np.argsort(times)] if len(set(times)) == len(times) else []


def _once(frames: list[Frame]) -> list[Frame]:
    """Leave out copies: the same instance at the same position."""
    if not frames[0].is_placed:
        return list({frame.index: frame for frame in reversed(frames)}.values())[::-1]
    kept = [
        list({(frame.file.instance, frame.index): frame for frame in reversed(place)}.values())[::-1]
        for place in _at_each_position(frames)
    ]
    return [frame for place in kept for frame in place]


def _at_each_position(frames: list[Frame]) -> list[list[Frame]]:
    places: dict[int, list[Frame]] = defaultdict(list)
    for frame, place in zip(frames, positions(distances_mm(frames)).tolist(), strict=True):
        places[place].append(frame)
    return list(places.values())


def _repeats(frames: list[Frame]) -> int:
    return max(map(len, _at_each_position(frames)))


def _by_value(frames: list[Frame], keyword: str) -> dict[Any, list[Frame]]:
    groups: dict[Any, list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[_comparable(keyword, frame.value(keyword))].append(frame)
    return dict(sorted(groups.items(), key=lambda item: (item[0] is not None, item[0])))


def _comparable(keyword: str, value: Any) -> Any:
    """Return a value of an attribute as one text or as numbers."""
    if value is None or value == "":
        return None
    many = isinstance(value, Iterable) and not isinstance(value, str | bytes)
    values = tuple(value) if many else (value,)
    return "/".join(map(str, values)) if keyword in _TEXTS else tuple(map(float, values))


def _words(keyword: str, values: list[Any]) -> list[str]:
    """Tell for each value of an attribute how it differs from the others."""
    if keyword in ("ImageType", "FrameType", "ComplexImageComponent"):
        common = set.intersection(*(set((value or "").split("/")) for value in values))
        own = [[word for word in (value or "").split("/") if word not in common] for value in values]
        return [f"type {_plain(' '.join(words)).lower() or 'plain'}" for words in own]
    if keyword in _UNITS:
        return [_UNITS[keyword].format(_told(value)) for value in values]
    return [f"{'direction' if 'Gradient' in keyword else 'time'} {rank} of {len(values)}" for rank in _ranks(values)]


def _ranks(values: list[Any]) -> range:
    return range(1, len(values) + 1)


def _told(value: Any) -> str:
    if value is None:
        return "unknown"
    return _plain(value) if isinstance(value, str) else " ".join(f"{number:g}" for number in value)


def _plain(value: object) -> str:
    """Return text for one line of a terminal, whatever a header holds."""
    return short_line(str(value or ""))


def _grouped(frames: Iterable[Frame], key: Callable[[Frame], Any]) -> list[list[Frame]]:
    groups: dict[Any, list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[key(frame)].append(frame)
    return list(groups.values())
