"""Attributes that distinguish the images of one series, and words for their values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.tag import BaseTag, Tag

from knowsam.data.short_line import short_line
from knowsam.io.dicom.files import damage_refused, damaged_header

if TYPE_CHECKING:
    from knowsam.io.dicom.frames import Frame

SIEMENS = "SIEMENS MR HEADER"
"""Creator of the private attributes of MR by Siemens."""

_DAY_S = 86400.0
_SHORTEST_PAUSE_S = 3.0
"""Slices acquired in turns within one repetition lie closer in time, even if seconds are written without a fraction."""


class Meaning(Enum):
    """The meaning of a difference in an attribute between evenly spaced slices, one at each position."""

    PATIENT = auto()
    """They show different patients, wherever they lie."""

    CONTENT = auto()
    """They show different contents, such as two echoes."""

    TIME = auto()
    """They were acquired at different times: as two images, or as one whose slices were acquired in turns."""

    PART = auto()
    """They are parts of one image."""


@dataclass(frozen=True)
class SplittingAttribute:
    """An attribute that may distinguish images of one series.

    Parameters
    ----------
    keyword : of the attribute; for a private one, a name for it.
    noun : its name for the user.
    words : its value in words; if empty, only the rank is given, for values without meaning or with a patient's name.
    element, creator : of a private attribute: its tag in the first block of its group, and the creator of that block.
    day : keyword of the date that belongs to a time of the day.
    of_frames : whether the header holds a value for each frame, as in nuclear medicine.
    is_ranked : whether its values may differ from slice to slice, as times in a beating heart do; their order counts.
    """

    keyword: str
    noun: str
    words: str = ""
    meaning: Meaning = Meaning.CONTENT
    is_text: bool = False
    is_clock: bool = False
    day: str = ""
    is_ranked: bool = False
    of_frames: bool = False
    element: int = 0
    creator: str = ""
    tags: tuple[BaseTag, ...] = field(init=False, repr=False)
    """Its own tag, and those that its value depends on."""

    def __post_init__(self) -> None:
        own = Tag(self.element or self.keyword)
        block = (own.private_creator,) if self.creator else ()
        day = (Tag(self.day),) if self.day else ()
        object.__setattr__(self, "tags", (own, *block, *day))


SPLITTING_ATTRIBUTES = (
    SplittingAttribute("StackID", "stack", "stack {}", Meaning.PART, is_text=True),
    SplittingAttribute("PatientID", "patient", meaning=Meaning.PATIENT, is_text=True),
    SplittingAttribute("StudyInstanceUID", "study", is_text=True),
    SplittingAttribute("FrameOfReferenceUID", "frame of reference", is_text=True),
    SplittingAttribute("SeriesNumber", "series number", "series number {}"),
    SplittingAttribute("SeriesDescription", "description", is_text=True),
    SplittingAttribute("TemporalPositionIdentifier", "time point", "time point {}"),
    SplittingAttribute("TemporalPositionIndex", "time point", "time point {}"),
    SplittingAttribute("EchoNumbers", "echo", "echo {}"),
    SplittingAttribute("EffectiveEchoTime", "echo time", "echo time {} ms"),
    SplittingAttribute("EchoTime", "echo time", "echo time {} ms"),
    SplittingAttribute("InversionTime", "inversion time", "inversion time {} ms"),
    SplittingAttribute("InversionTimes", "inversion time", "inversion time {} ms"),
    SplittingAttribute("FlipAngle", "flip angle", "flip angle {}"),
    SplittingAttribute("DiffusionBValue", "b value", "b = {}"),
    SplittingAttribute("SiemensBValue", "b value", "b = {}", element=0x0019100C, creator=SIEMENS),
    SplittingAttribute("GEBValue", "b value", "b = {}", element=0x00431039, creator="GEMS_PARM_01"),
    SplittingAttribute("PhilipsBValue", "b value", "b = {}", element=0x20011003, creator="Philips Imaging DD 001"),
    SplittingAttribute("UIHBValue", "b value", "b = {}", element=0x00651009, creator="Image Private Header"),
    SplittingAttribute("ComplexImageComponent", "type", "type {}", is_text=True),
    SplittingAttribute("FrameType", "type", "type {}", is_text=True),
    SplittingAttribute("ImageType", "type", "type {}", is_text=True),
    SplittingAttribute("GEDataType", "component", element=0x0043102F, creator="GEMS_PARM_01"),
    SplittingAttribute("SequenceName", "sequence", "sequence {}", is_text=True),
    SplittingAttribute("ConvolutionKernel", "kernel", "kernel {}", is_text=True),
    SplittingAttribute("KVP", "voltage", "{} kV"),
    SplittingAttribute("ContrastBolusAgent", "contrast agent", "contrast agent {}", is_text=True),
    SplittingAttribute("NominalPercentageOfCardiacPhase", "cardiac phase", "cardiac phase {} %"),
    SplittingAttribute("NominalPercentageOfRespiratoryPhase", "respiratory phase", "respiratory phase {} %"),
    *(
        SplittingAttribute(keyword, noun, f"{noun} {{}}", of_frames=True)
        for keyword, noun in (
            ("EnergyWindowVector", "energy window"),
            ("DetectorVector", "detector"),
            ("RotationVector", "rotation"),
            ("RRIntervalVector", "RR interval"),
            ("TimeSlotVector", "time slot"),
            ("TimeSliceVector", "time slice"),
        )
    ),
    SplittingAttribute("AcquisitionNumber", "acquisition", "acquisition {}", Meaning.TIME),
    SplittingAttribute("FrameAcquisitionNumber", "acquisition", "acquisition {}", Meaning.TIME),
    SplittingAttribute("FrameReferenceTime", "time", meaning=Meaning.TIME, is_ranked=True),
    SplittingAttribute("NominalCardiacTriggerDelayTime", "time", meaning=Meaning.TIME, is_ranked=True),
    SplittingAttribute("TriggerTime", "time", meaning=Meaning.TIME, is_ranked=True),
    SplittingAttribute("DiffusionGradientOrientation", "direction"),
    SplittingAttribute("SiemensDirection", "direction", element=0x0019100E, creator=SIEMENS),
    SplittingAttribute(
        "AcquisitionTime", "time", meaning=Meaning.TIME, is_clock=True, day="AcquisitionDate", is_ranked=True
    ),
    SplittingAttribute("AcquisitionDateTime", "time", meaning=Meaning.TIME, is_clock=True, is_ranked=True),
    SplittingAttribute("FrameAcquisitionDateTime", "time", meaning=Meaning.TIME, is_clock=True, is_ranked=True),
    SplittingAttribute("ContentTime", "time", meaning=Meaning.TIME, is_clock=True, day="ContentDate"),
    SplittingAttribute("RepetitionTime", "repetition time", "repetition time {} ms", Meaning.TIME),
    SplittingAttribute("ImageComments", "comment", meaning=Meaning.TIME, is_text=True),
)
"""The most meaningful ones for a user come first."""


def differing(frames: Sequence[Frame], attributes: Iterable[SplittingAttribute]) -> tuple[SplittingAttribute, ...]:
    """Return the attributes in which frames differ."""
    return tuple(attribute for attribute in attributes if _differ(frames, attribute))


def values_of(frames: Sequence[Frame], attribute: SplittingAttribute) -> list[Any]:
    """Return a value of each frame that can be compared and sorted: a text or numbers, None if there is none.

    Raises
    ------
    InputError
        If one is damaged.
    """
    values = []
    for frame in frames:
        with damage_refused(damaged_header(frame.file.place)):
            values.append(_value(frame, attribute))
    return _over_midnight(values) if attribute.is_clock else values


def occasions(moments: Sequence[Any]) -> list[Any]:
    """Return for each moment in s the first of its occasion; pauses between occasions are longer than any occasion.

    Without such a pause, all moments are one occasion.
    """
    times = sorted({moment[0] for moment in moments if moment is not None})
    pauses = np.diff(times)
    if not pauses.size or pauses.max() <= _SHORTEST_PAUSE_S:
        return [None] * len(moments)
    first = np.concatenate([[0], np.flatnonzero(pauses > pauses.max() / 2) + 1])
    last = np.append(first[1:], len(times)) - 1
    starts = np.array(times)[first]
    if (np.array(times)[last] - starts).max() > pauses.max() / 2:
        return [None] * len(moments)
    return [
        None if moment is None else (float(starts[np.searchsorted(starts, moment[0], side="right") - 1]),)
        for moment in moments
    ]


def marks_of(attribute: SplittingAttribute, values: Sequence[Any]) -> list[str]:
    """Return words for each value of an attribute that distinguish it from the others; they name no patient."""
    if attribute.noun == "type":
        common = set.intersection(*(set((value or "").split("/")) for value in values))
        own = [[word for word in (value or "").split("/") if word not in common] for value in values]
        return [f"type {short_line(' '.join(words)).lower() or 'plain'}" for words in own]
    if attribute.words:
        return [attribute.words.format(_as_text(value)) for value in values]
    return [f"{attribute.noun} {rank} of {len(values)}" for rank in range(1, len(values) + 1)]


def _differ(frames: Sequence[Frame], attribute: SplittingAttribute) -> bool:
    # Comparing stored values takes no time, so that only attributes that differ are decoded.
    first = frames[0].stored(attribute.keyword, attribute.tags)
    return any(frame.stored(attribute.keyword, attribute.tags) != first for frame in frames)


def _value(frame: Frame, attribute: SplittingAttribute) -> Any:
    if attribute.is_clock:
        return _moment_s(attribute, *frame.stored(attribute.keyword, attribute.tags))
    private = bool(attribute.creator)
    value = frame.private(attribute.tags[0], attribute.creator) if private else frame.value(attribute.keyword)
    if value is None or value == "":
        return None
    many = isinstance(value, Iterable) and not isinstance(value, str | bytes)
    values = tuple(value) if many else (value,)
    if attribute.is_text:
        return "/".join(map(str, values))
    return _numbers(attribute, values)


def _numbers(attribute: SplittingAttribute, values: Sequence[Any]) -> Any:
    if attribute.noun == "b value":
        # GE adds 10^9 to it, and three other numbers follow.
        values = [float(value) % 1e9 for value in values[:1]]
    # The same number is written with more digits in one file than in another.
    return tuple(float(f"{float(value):.6g}") for value in values) or None


def _moment_s(attribute: SplittingAttribute, *stored: Any) -> tuple[float] | None:
    """Return when a frame was acquired, in s, from a time of the day and its date, or from one text with both."""
    # Decoding times with pydicom would take longer than everything else here.
    texts = [text.decode("ascii", "replace") if isinstance(text, bytes) else str(text or "") for text in stored]
    if attribute.day:
        clock, day = texts[0].replace(":", ""), "".join(texts[1:])
    else:
        clock, day = re.split("[+-]", texts[0][8:])[0], texts[0][:8]
    with suppress(ValueError):
        seconds = 3600 * int(clock[:2]) + 60 * int(clock[2:4] or 0) + float(clock[4:].strip(" \0") or 0)
        return (_DAY_S * _ordinal(day.strip(" \0")) + seconds,)
    return None


def _ordinal(day: str) -> int:
    with suppress(ValueError):
        return date.fromisoformat(day.replace(".", "")).toordinal()
    return 0


def _over_midnight(moments: list[Any]) -> list[Any]:
    """Shift moments of one day, or of no known one, past midnight if they lie more than half a day apart."""
    times = [moment[0] for moment in moments if moment is not None]
    if not times or len({time // _DAY_S for time in times}) > 1 or max(times) - min(times) < _DAY_S / 2:
        return moments
    noon = (times[0] // _DAY_S + 0.5) * _DAY_S
    return [(moment[0] + _DAY_S,) if moment is not None and moment[0] < noon else moment for moment in moments]


def _as_text(value: Any) -> str:
    if value is None:
        return "unknown"
    return short_line(value) if isinstance(value, str) else " ".join(f"{number:g}" for number in value)
