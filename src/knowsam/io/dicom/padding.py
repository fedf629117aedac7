"""Padding: pixels that a series declares as not measured (DICOM PS3.3, C.7.5.1.1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydicom.dataelem import RawDataElement

from knowsam.io.dicom.pixels import has_lut, rescaling

if TYPE_CHECKING:
    from knowsam.io.dicom.frames import Frame
    from knowsam.io.dicom.pixels import Pixels

_KEYWORDS = ("PixelPaddingValue", "PixelPaddingRangeLimit")
_BYTES = 2


def padding_range(frame: Frame, pixels: Pixels) -> tuple[float, float] | None:
    """Return the lowest and the highest grey value of padding in the array; None if the header names none."""
    stored = [value for value in (_stored(frame, keyword) for keyword in _KEYWORDS) if value is not None]
    if not stored or has_lut(frame.file):
        return None
    slope, intercept = rescaling(frame)
    values = [pixels.as_changed(slope * value + intercept) for value in stored]
    return min(values), max(values)


def _stored(frame: Frame, keyword: str) -> int | None:
    """Return a value with the sign of the pixels, which in many files is not that of the element."""
    element = frame.file.header.get_item(keyword)
    if not isinstance(element, RawDataElement) or element.value is None or len(element.value) != _BYTES:
        return None
    order: Literal["little", "big"] = "little" if element.is_little_endian else "big"
    is_signed = frame.file.pixel_options["pixel_representation"] == 1
    return int.from_bytes(element.value, order, signed=is_signed)
