"""The slices of a DICOM file, called frames in multi-frame files: their places and their own attributes."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from knowsam.io.dicom.files import damage_refused, damaged_header
from knowsam.io.dicom.header import (
    ImageFile,
    as_numbers,
    is_mosaic,
    numbers,
    private_value,
    read_image_file,
    stored,
)
from knowsam.io.dicom.splitting_attributes import SPLITTING_ATTRIBUTES

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

    from knowsam.io.dicom.header import Vectors

_POSITION = "ImagePositionPatient"

_SPLITTING_KEYWORDS = frozenset(attribute.keyword for attribute in SPLITTING_ATTRIBUTES)

_VECTORS = tuple(attribute.keyword for attribute in SPLITTING_ATTRIBUTES if attribute.of_frames)

_MACROS = {
    "PlanePositionSequence": {_POSITION},
    "PlaneOrientationSequence": {"ImageOrientationPatient"},
    "PixelMeasuresSequence": {"PixelSpacing", "SliceThickness", "SpacingBetweenSlices"},
    "PixelValueTransformationSequence": {"RescaleSlope", "RescaleIntercept"},
    "FrameVOILUTSequence": {"WindowCenter", "WindowWidth"},
}
"""Place and grey values are read from these macros of a functional group only (DICOM PS3.3, C.7.6.16.2)."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One slice; positions and directions are LPS+, and empty where the header lacks them.

    Parameters
    ----------
    index : in its file.
    attributes : its own, in addition to those of the file.
    position_mm : (3,), centre of the first pixel.
    directions : (6,), unit vectors along a row and along a column.
    spacing_mm : (2,), distance of neighbouring rows and of neighbouring columns.
    """

    file: ImageFile
    index: int
    attributes: dict[str, Any]
    position_mm: Vectors
    directions: Vectors
    spacing_mm: Vectors

    @property
    def is_placed(self) -> bool:
        """Whether its header gives its place in the patient."""
        return (self.position_mm.size, self.directions.size, self.spacing_mm.size) == (3, 6, 2)

    @cached_property
    def normal(self) -> Vectors:
        """(3,), unit vector across the slice."""
        return np.cross(self.directions[:3], self.directions[3:])

    @property
    def is_mosaic(self) -> bool:
        """Whether all slices of a time point are tiles of this one."""
        return "MOSAIC" in (self.attributes.get("FrameType") or ()) or is_mosaic(self.file.header)

    def stored(self, keyword: str, tags: Sequence[BaseTag]) -> list[Any]:
        """Return the values of an attribute and of those it depends on, not yet decoded."""
        if keyword in self.attributes:
            return [self.attributes[keyword]]
        return [stored(self.file.header, tag) for tag in tags]

    def value(self, keyword: str) -> Any:
        """Return an attribute of the frame, or None.

        Raises
        ------
        InputError
            If it is damaged.
        """
        with damage_refused(damaged_header(self.file.place)):
            return self.attributes[keyword] if keyword in self.attributes else self.file.header.get(keyword)

    def private(self, tag: BaseTag, creator: str) -> tuple[float, ...]:
        """Return the numbers of a private attribute of its file, none if it is missing or has another creator."""
        return private_value(self.file.header, tag, creator)

    def number(self, keyword: str, default: float) -> float:
        """Return the (first) number of an attribute, or a default where there is none."""
        with damage_refused(damaged_header(self.file.place)):
            found = _numbers(self.file, self.attributes, keyword)
            return float(found[0]) if found.size and math.isfinite(found[0]) else default


def read_frames(path: Path, place: str) -> list[Frame]:
    """Read the frames of one file from its header; none if it is no DICOM image.

    Parameters
    ----------
    place : the file in words that do not name it.

    Raises
    ------
    InputError
        If it is damaged.
    """
    file = read_image_file(path, place)
    if file is None:
        return []
    with damage_refused(damaged_header(place)):
        return _frames(file)


def _frames(file: ImageFile) -> list[Frame]:
    header = file.header
    groups: Sequence[Dataset] = header.get("PerFrameFunctionalGroupsSequence") or []
    if groups and len(groups) != file.frames:
        raise ValueError("not one group for each frame")
    common = header.get("SharedFunctionalGroupsSequence")
    shared = _macro_attributes(common[0]) if common else {}
    own = [shared | _macro_attributes(group) for group in groups] or [shared | vector for vector in _vectors(file)]
    frames = [_frame(file, index, attributes) for index, attributes in enumerate(own)]
    placed = [_POSITION in attributes for attributes in own]
    if len(frames) == 1 or all(placed):
        return frames
    if not any(placed):
        return _set_off(frames)
    # A position outside of the groups is that of one frame, not of each.
    return [frame if own else _unplaced(frame) for frame, own in zip(frames, placed, strict=True)]


def _vectors(file: ImageFile) -> list[dict[str, Any]]:
    """Return for each frame its entries in the vectors of a header (PS3.3, C.8.4.8)."""
    vectors = {keyword: numbers(file.header, keyword) for keyword in _VECTORS if file.frames > 1}
    return [
        {keyword: values[index] for keyword, values in vectors.items() if len(values) == file.frames}
        for index in range(file.frames)
    ]


def _macro_attributes(group: Dataset) -> dict[str, Any]:
    """Return the attributes in the standard macros of a functional group; private ones may repeat them differently."""
    found: dict[str, Any] = {}
    for tag in (tag for tag in sorted(group.keys()) if not tag.is_private):
        macro = group[tag]
        # A macro has one item.
        for item in macro.value[:1] if macro.VR == "SQ" else ():
            found |= _taken(item, _SPLITTING_KEYWORDS | _MACROS.get(macro.keyword, set()))
            for direction in item.get("DiffusionGradientDirectionSequence") or ():
                found |= _taken(direction, _SPLITTING_KEYWORDS)
    return found


def _taken(item: Dataset, keywords: Set[str]) -> dict[str, Any]:
    return {element.keyword: element.value for element in item if element.keyword in keywords}


def _frame(file: ImageFile, index: int, attributes: dict[str, Any]) -> Frame:
    return Frame(
        file=file,
        index=index,
        attributes=attributes,
        position_mm=_numbers(file, attributes, _POSITION),
        directions=_numbers(file, attributes, "ImageOrientationPatient"),
        spacing_mm=_numbers(file, attributes, "PixelSpacing"),
    )


def _numbers(file: ImageFile, attributes: dict[str, Any], keyword: str) -> Vectors:
    return as_numbers(attributes[keyword]) if keyword in attributes else numbers(file.header, keyword)


def _set_off(frames: list[Frame]) -> list[Frame]:
    """Place the frames of a dose along the normal of the first (PS3.3, C.8.8.3.2); others have no places."""
    first = frames[0]
    offsets_mm = numbers(first.file.header, "GridFrameOffsetVector")
    if not first.is_placed or len(offsets_mm) != len(frames):
        return [_unplaced(frame) for frame in frames]
    places_mm = first.position_mm + np.outer(offsets_mm - offsets_mm[0], first.normal)
    return [replace(frame, position_mm=place) for frame, place in zip(frames, places_mm, strict=True)]


def _unplaced(frame: Frame) -> Frame:
    return replace(frame, position_mm=np.empty(0))
