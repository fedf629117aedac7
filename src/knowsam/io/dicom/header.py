"""The header of a DICOM file, without its pixels."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.filereader import dcmread, read_dataset
from pydicom.pixels.utils import as_pixel_options
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, ExplicitVRBigEndian, ImplicitVRLittleEndian, MediaStorageDirectoryStorage

from knowsam.errors import InputError
from knowsam.io.dicom.files import DAMAGE, META_START, damage_refused, damaged_header, opened
from knowsam.io.dicom.identity import IDENTIFYING
from knowsam.io.dicom.splitting_attributes import SIEMENS, SPLITTING_ATTRIBUTES

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Vectors = npt.NDArray[np.float64]

_READ_KEYWORDS = (
    "SOPClassUID",
    "SOPInstanceUID",
    *IDENTIFYING,
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
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
)

_SIEMENS_TILES = Tag(0x0019100A)
"""Number of images in a mosaic."""

_READ: list[BaseTag | int] = [
    *map(Tag, _READ_KEYWORDS),
    *(tag for attribute in SPLITTING_ATTRIBUTES for tag in attribute.tags),
    _SIEMENS_TILES,
]
_PIXEL_KEYWORDS = {0x7FE00010: "PixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00008: "FloatPixelData"}
_SERIES, _IMAGE_TYPE = Tag("SeriesInstanceUID"), Tag("ImageType")
_META_GROUP = 0x0002
_NO_PICTURE = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation and label map storage: they hold labels."""


@dataclass(frozen=True, eq=False)
class ImageFile:
    """A DICOM file that holds an image.

    Parameters
    ----------
    place : the file in words that do not name it; names of files may be those of patients.
    header : some of its attributes, without pixels.
    pixel_options : options of the decoder of its pixels.
    offset, length : of the pixels in the file; length is None where they are encapsulated.
    size : of the whole file.
    """

    path: Path
    place: str
    header: Dataset
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
        """Size of one frame in memory."""
        rows, columns = self.shape
        bits = int(self.pixel_options["bits_allocated"]) * int(self.pixel_options["samples_per_pixel"])
        return rows * columns * bits // 8


def read_image_file(path: Path, place: str) -> ImageFile | None:
    """Read the header of one file; None if it is no DICOM image.

    Parameters
    ----------
    place : the file in words that do not name it.

    Raises
    ------
    InputError
        If it is damaged.
    """
    with damage_refused(damaged_header(place)):
        source = opened(path)
        if source is None:
            _refuse_lost_start(path)
            return None
        with source:
            meta, header = _read(source, _READ, _PIXEL_KEYWORDS.__contains__)
            return _image_file(path, place, meta, header, source) if _is_image(meta, header) else None


def whole_header(path: Path) -> Dataset:
    """Return all attributes of a DICOM file but its pixels.

    Raises
    ------
    ValueError
        If it is no DICOM file.
    """
    source = opened(path)
    if source is None:
        raise ValueError("no longer DICOM")
    with source:
        return dcmread(source, stop_before_pixels=True)


def series_of(path: Path) -> str | None:
    """Return the series that a damaged file names, or None if it names none."""
    with suppress(InputError), damage_refused("damaged"):
        source = opened(path)
        if source is not None:
            with source:
                return str(_read(source, [_SERIES], _SERIES.__lt__)[1].SeriesInstanceUID)
    return None


def stored(header: Dataset, tag: BaseTag) -> Any:
    """Return the value of an attribute, its text or numbers not yet decoded; None if it is missing."""
    element = header.get_item(tag)
    return None if element is None else element.value


def private_value(header: Dataset, tag: BaseTag, creator: str) -> tuple[float, ...]:
    """Return the numbers of a private attribute, none if it is missing, has another creator or another type.

    Anonymisers may have removed the creator; the tag is then trusted.
    """
    with suppress(*DAMAGE):
        owner = header.get(tag.private_creator)
        if tag in header and (owner is None or str(owner.value).strip() == creator):
            value = header[tag].value
            # Without its creator, pydicom does not know its type.
            text = value.decode("ascii") if isinstance(value, bytes) else value
            return tuple(as_numbers(text.strip(" \0").split("\\") if isinstance(text, str) else text).tolist())
    return ()


def is_mosaic(header: Dataset) -> bool:
    """Return whether all slices of a time point are tiles of one picture, as in functional series of Siemens."""
    kind = stored(header, _IMAGE_TYPE) or ()
    if (b"MOSAIC" if isinstance(kind, bytes) else "MOSAIC") in kind:
        return True
    tiles = private_value(header, _SIEMENS_TILES, SIEMENS) if _SIEMENS_TILES in header else ()
    return bool(tiles) and tiles[0] > 1


def numbers(header: Dataset, keyword: str) -> Vectors:
    """Return the numbers of an attribute, none where it is missing or empty."""
    element = header.get_item(keyword)
    # The objects that pydicom makes of texts would take most of the time for a header.
    if isinstance(element, RawDataElement) and (element.VR or dictionary_VR(element.tag)) == "DS":
        text = element.value.strip(b" \0")
        return as_numbers(text.split(b"\\") if text else None)
    return as_numbers(header.get(keyword))


def as_numbers(value: Any) -> Vectors:
    """Return a value of an attribute as numbers, one or many; none of None."""
    return np.array([] if value is None else value, dtype=np.float64).reshape(-1)


def _refuse_lost_start(path: Path) -> None:
    # Operating systems add files of their own, with names that begin with a dot.
    if path.suffix.lower() == ".dcm" and not path.name.startswith("."):
        raise ValueError("called DICOM, but does not start so")


def _read(source: BinaryIO, tags: list[BaseTag | int], is_end: Callable[[int], bool]) -> tuple[Dataset, Dataset]:
    """Return the meta information of a file and some of its attributes; stop before the first tag that is an end.

    This takes two thirds of the time of `pydicom.dcmread`, which copies both.
    """
    source.seek(META_START)
    meta = read_dataset(source, False, True, stop_when=lambda tag, *_: tag >> 16 != _META_GROUP)
    syntax = meta.TransferSyntaxUID
    header = read_dataset(
        source,
        is_implicit_VR=syntax == ImplicitVRLittleEndian,
        is_little_endian=syntax != ExplicitVRBigEndian,
        stop_when=lambda tag, *_: is_end(tag),
        specific_tags=tags,
    )
    return meta, header


def _is_image(meta: Dataset, header: Dataset) -> bool:
    # An image that is cut off early has lost its rows, but must be reported and not skipped.
    kind = meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID", UID(""))
    if "SOPClassUID" not in header and kind != MediaStorageDirectoryStorage:
        raise ValueError("does not say what it is")
    if kind in _NO_PICTURE or "TotalPixelMatrixColumns" in header:
        return False
    return "Rows" in header or "Image Storage" in kind.name


def _image_file(path: Path, place: str, meta: Dataset, header: Dataset, source: BinaryIO) -> ImageFile:
    syntax = meta.TransferSyntaxUID
    keyword, representation, length = _pixel_element(source, syntax)
    offset, size = source.tell(), source.seek(0, 2)
    options = as_pixel_options(header, pixel_keyword=keyword, pixel_vr=representation, view_only=True)
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
    _refuse_missing_pixels(file)
    return file


def _pixel_element(source: BinaryIO, syntax: UID) -> tuple[str, str, int]:
    """Read keyword, representation and length of the element before which pydicom has stopped (PS3.5, 7.1)."""
    order = "<" if syntax.is_little_endian else ">"
    representation = b"OW"
    if syntax.is_implicit_VR:
        group, element, length = struct.unpack(f"{order}HHL", source.read(8))
    else:
        group, element, representation, length = struct.unpack(f"{order}HH2s2xL", source.read(12))
    return _PIXEL_KEYWORDS[group << 16 | element], representation.decode(), length


def _refuse_missing_pixels(file: ImageFile) -> None:
    rows, columns = file.shape
    needed = rows * columns * file.frames * file.pixel_options["bits_allocated"] // 8
    needed *= 2 if file.photometric == "YBR_FULL_422" else file.pixel_options["samples_per_pixel"]
    # Each compressed frame has at least a tag and a length.
    least = file.frames * 8 if file.length is None else needed
    held = file.size - file.offset if file.length is None else file.length
    if min(rows, columns, file.frames) < 1 or least > held:
        raise InputError(
            f"The header of {file.place} tells of {file.frames} slices of {rows} x {columns} pixels, which need "
            f"{least} bytes, but only {held} are there. It is cut off or damaged; export it again."
        )
