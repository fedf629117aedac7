"""What the header of a DICOM file says of its slices, which are called frames where a file holds many."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.pixels.utils import as_pixel_options
from pydicom.tag import Tag
from pydicom.uid import UID, MediaStorageDirectoryStorage

from knowsam.errors import InputError
from knowsam.io.dicom.files import damage_refused, opened

Vectors = npt.NDArray[np.float64]

TELLING = (
    "StackID",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "EchoNumbers",
    "EffectiveEchoTime",
    "EchoTime",
    "InversionTime",
    "FlipAngle",
    "DiffusionBValue",
    "ComplexImageComponent",
    "FrameType",
    "ImageType",
    "ConvolutionKernel",
    "KVP",
    "AcquisitionNumber",
    "FrameAcquisitionNumber",
    "FrameReferenceTime",
    "NominalCardiacTriggerDelayTime",
    "TriggerTime",
    "DiffusionGradientOrientation",
    "AcquisitionTime",
)
"""Attributes that may tell stacks of one series apart; those that mean most to a person come first."""

_READ_KEYWORDS = (
    *TELLING,
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "Modality",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SpacingBetweenSlices",
    "SliceThickness",
    "GridFrameOffsetVector",
    "SequenceOfUltrasoundRegions",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "TotalPixelMatrixColumns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
)

_READ = [Tag(keyword) for keyword in _READ_KEYWORDS]
_PIXEL_KEYWORDS = {0x0010: "PixelData", 0x0009: "DoubleFloatPixelData", 0x0008: "FloatPixelData"}
_NO_PICTURE = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation and label map storage: they hold labels."""


@dataclass(frozen=True, eq=False)
class ImageFile:
    """A DICOM file that holds an image.

    Parameters
    ----------
    place : which file it is, in words that do not name it; files may be called after patients.
    header : some of its attributes, pixels not among them.
    pixel_options : what the decoder of its pixels is to know.
    offset, length : of the pixels in the file; length is None where they are encapsulated.
    size : of the whole file.
    """

    path: Path
    place: str
    header: pydicom.Dataset
    syntax: UID
    pixel_options: dict[str, Any]
    offset: int
    length: int | None
    size: int
    instance: str
    series: str

    @property
    def frames(self) -> int:
        """How many slices it holds."""
        return int(self.pixel_options["number_of_frames"])

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return int(self.pixel_options["rows"]), int(self.pixel_options["columns"])

    @property
    def photometric(self) -> str:
        """Meaning of the pixel values, such as MONOCHROME2."""
        return str(self.pixel_options["photometric_interpretation"])

    @property
    def frame_bytes(self) -> int:
        """What one frame takes in memory."""
        rows, columns = self.shape
        bits = int(self.pixel_options["bits_allocated"]) * int(self.pixel_options["samples_per_pixel"])
        return rows * columns * bits // 8


@dataclass(frozen=True, eq=False)
class Frame:
    """One slice; positions and directions are LPS+, and empty where the header does not say them.

    Parameters
    ----------
    index : in its file.
    attributes : those of its own, beside those of the file.
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
        """Whether its header says where it lies in the patient."""
        return (self.position_mm.size, self.directions.size, self.spacing_mm.size) == (3, 6, 2)

    @cached_property
    def normal(self) -> Vectors:
        """(3,), unit vector across the slice."""
        return np.cross(self.directions[:3], self.directions[3:])

    def value(self, keyword: str) -> Any:
        """Return an attribute of the frame, or None.

        Raises
        ------
        InputError
            If it is damaged.
        """
        with damage_refused(_damaged(self.file.place)):
            return self.attributes[keyword] if keyword in self.attributes else self.file.header.get(keyword)

    def number(self, keyword: str, default: float) -> float:
        """Return the (first) number of an attribute, or a default where there is none."""
        value = self.value(keyword)
        with damage_refused(_damaged(self.file.place)):
            numbers = _numbers(value)
            return float(numbers[0]) if numbers.size and np.isfinite(numbers[0]) else default


def read_frames(path: Path, place: str) -> list[Frame]:
    """Read the header of one file; no frames if it is no DICOM image.

    Parameters
    ----------
    place : which file it is, in words that do not name it.

    Raises
    ------
    InputError
        If it is damaged.
    """
    with damage_refused(_damaged(place)):
        source = opened(path)
        if source is None:
            return []
        with source:
            header = pydicom.dcmread(source, stop_before_pixels=True, specific_tags=_READ)
            return _frames(_image_file(path, place, header, source)) if _is_image(header) else []


def _damaged(place: str) -> str:
    return f"The header of {place} is damaged. Export the series again, or take the file out of the folder."


def _is_image(header: pydicom.FileDataset) -> bool:
    # An image that is cut off early has lost its rows, but must be told of and not be passed over.
    kind = header.file_meta.get("MediaStorageSOPClassUID", UID(""))
    if "SOPClassUID" not in header and kind != MediaStorageDirectoryStorage:
        raise ValueError("does not say what it is")
    if kind in _NO_PICTURE or "TotalPixelMatrixColumns" in header:
        return False
    return "Rows" in header or "Image Storage" in kind.name


def _image_file(path: Path, place: str, header: pydicom.FileDataset, source: BinaryIO) -> ImageFile:
    syntax = header.file_meta.TransferSyntaxUID
    keyword, representation, length = _pixel_element(source, syntax)
    offset, size = source.tell(), source.seek(0, 2)
    options = as_pixel_options(header, pixel_keyword=keyword, pixel_vr=representation)
    file = ImageFile(
        path=path,
        place=place,
        header=header,
        syntax=syntax,
        pixel_options=options,
        offset=offset,
        length=None if syntax.is_encapsulated else min(length, size - offset),
        size=size,
        instance=str(header.get("SOPInstanceUID") or path),
        series=str(header.get("SeriesInstanceUID")),
    )
    _refuse_lies(file)
    return file


def _pixel_element(source: BinaryIO, syntax: UID) -> tuple[str, str, int]:
    """Read keyword, representation and length of the element in front of which pydicom has stopped (PS3.5, 7.1)."""
    order = "<" if syntax.is_little_endian else ">"
    representation = b"OW"
    if syntax.is_implicit_VR:
        group, element, length = struct.unpack(f"{order}HHL", source.read(8))
    else:
        group, element, representation, length = struct.unpack(f"{order}HH2s2xL", source.read(12))
    if group != 0x7FE0:
        raise ValueError("no pixels")
    return _PIXEL_KEYWORDS[element], representation.decode(), length


def _refuse_lies(file: ImageFile) -> None:
    rows, columns = file.shape
    needed = rows * columns * file.frames * file.pixel_options["bits_allocated"] // 8
    needed *= 2 if file.photometric == "YBR_FULL_422" else file.pixel_options["samples_per_pixel"]
    # Of compressed frames each has at least a tag and a length.
    least = file.frames * 8 if file.length is None else needed
    held = file.size - file.offset if file.length is None else file.length
    if min(rows, columns, file.frames) < 1 or least > held:
        raise InputError(
            f"The header of {file.place} tells of {file.frames} slices of {rows} x {columns} pixels, which need "
            f"{least} bytes, but only {held} are there. It is cut off or damaged; export it again."
        )


def _frames(file: ImageFile) -> list[Frame]:
    header = file.header
    groups: Sequence[pydicom.Dataset] = header.get("PerFrameFunctionalGroupsSequence") or []
    if groups and len(groups) != file.frames:
        raise ValueError("not one group for each frame")
    shared = _flat((header.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0])
    own = [shared | _flat(group) for group in groups] or [shared] * file.frames
    frames = [_frame(file, index, attributes) for index, attributes in enumerate(own)]
    return frames if groups or len(frames) == 1 else _set_off(frames)


def _flat(group: pydicom.Dataset) -> dict[str, Any]:
    """Return the attributes that the sequences of a functional group hold (DICOM PS3.3, C.7.6.16)."""
    found: dict[str, Any] = {}
    for element in group:
        if element.VR == "SQ" and element.value:
            item = element.value[0]
            found |= {inner.keyword: inner.value for inner in item if inner.VR != "SQ"}
            found |= _flat(item) if element.keyword == "MRDiffusionSequence" else {}
    return found


def _frame(file: ImageFile, index: int, attributes: dict[str, Any]) -> Frame:
    def numbers(keyword: str) -> Vectors:
        return _numbers(attributes[keyword] if keyword in attributes else file.header.get(keyword))

    return Frame(
        file=file,
        index=index,
        attributes=attributes,
        position_mm=numbers("ImagePositionPatient"),
        directions=numbers("ImageOrientationPatient"),
        spacing_mm=numbers("PixelSpacing"),
    )


def _set_off(frames: list[Frame]) -> list[Frame]:
    """Place the frames of a dose along the normal through the first (PS3.3, C.8.8.3.2); others have no places."""
    first = frames[0]
    offsets_mm = _numbers(first.file.header.get("GridFrameOffsetVector"))
    if not first.is_placed or len(offsets_mm) != len(frames):
        return [replace(frame, position_mm=np.empty(0)) for frame in frames]
    places_mm = first.position_mm + np.outer(offsets_mm - offsets_mm[0], first.normal)
    return [replace(frame, position_mm=place) for frame, place in zip(frames, places_mm, strict=True)]


def _numbers(value: Any) -> Vectors:
    return np.array([] if value is None else value, dtype=np.float64).reshape(-1)
