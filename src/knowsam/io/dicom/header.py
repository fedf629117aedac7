"""What the header of a DICOM file says, pixels not among it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom.pixels.utils import as_pixel_options
from pydicom.tag import Tag
from pydicom.uid import UID, MediaStorageDirectoryStorage

from knowsam.errors import InputError
from knowsam.io.dicom.files import damage_refused, opened

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


def read_image_file(path: Path, place: str) -> ImageFile | None:
    """Read the header of one file; None if it is no DICOM image.

    Parameters
    ----------
    place : which file it is, in words that do not name it.

    Raises
    ------
    InputError
        If it is damaged.
    """
    with damage_refused(damaged_header(place)):
        source = opened(path)
        if source is None:
            return None
        with source:
            header = pydicom.dcmread(source, stop_before_pixels=True, specific_tags=_READ)
            return _image_file(path, place, header, source) if _is_image(header) else None


def damaged_header(place: str) -> str:
    """Return the sentence that a header cannot be read."""
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
