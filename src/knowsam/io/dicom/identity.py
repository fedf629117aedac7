"""The identity of patient and study in the header of a DICOM file."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from knowsam.data.identity import Identity
from knowsam.io.dicom.files import DAMAGE

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

IDENTIFYING = ("PatientID", "PatientName", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
"""The attributes of an image that are compared."""


def identity_of(image: Dataset) -> Identity:
    """Return the identity of an image; damaged attributes count as missing."""
    return _identity(image, [_text(image, "SeriesInstanceUID")])


def identity_of_labels(segmentation: Dataset) -> Identity:
    """Return the identity of a segmentation, with the series it was made in."""
    referenced = []
    with suppress(*DAMAGE):
        referenced = [
            _text(series, "SeriesInstanceUID") for series in segmentation.get("ReferencedSeriesSequence") or []
        ]
    return _identity(segmentation, referenced)


def _identity(header: Dataset, series: list[str]) -> Identity:
    return Identity(
        patient_id=_text(header, "PatientID"),
        patient_name=_text(header, "PatientName").rstrip("^ ").casefold(),
        study=_text(header, "StudyInstanceUID"),
        frame_of_reference=_text(header, "FrameOfReferenceUID"),
        series=frozenset(filter(None, series)),
    )


def _text(header: Dataset, keyword: str) -> str:
    with suppress(*DAMAGE):
        return str(header.get(keyword) or "").strip(" \0")
    return ""
