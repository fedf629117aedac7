"""Reads DICOM segmentations: the labels of one file, with the names and colours of its segments."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, SegmentationStorage

from knowsam.data.annotation import LabelClass, default_classes
from knowsam.data.orientation import to_working
from knowsam.data.short_line import short_line
from knowsam.data.volume import Volume
from knowsam.errors import InputError
from knowsam.io.dicom.cielab import rgb_of_cielab
from knowsam.io.dicom.files import DAMAGE, damage_refused, is_dicom, opened, pydicom_silenced
from knowsam.io.dicom.identity import identity_of_labels
from knowsam.io.dicom.seg_frames import seg_frames
from knowsam.io.dicom.seg_pixels import label_values, refuse_sizes
from knowsam.io.dicom.seg_writer import VALUE_PREFIX

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

LABEL_MAP_STORAGE = UID("1.2.840.10008.5.1.4.1.1.66.7")
"""Label Map Segmentation Storage, which older versions of pydicom do not know."""

_LARGEST_VALUE = np.iinfo(np.int32).max


def is_dicom_seg(path: Path) -> bool:
    """Return whether a file is a DICOM segmentation, by its first bytes."""
    if not is_dicom(path):
        return False
    with pydicom_silenced:
        try:
            sop_class = read_file_meta_info(path).get("MediaStorageSOPClassUID")
        except DAMAGE:
            # Reading it as an image reports the damage.
            return False
    return sop_class in (SegmentationStorage, LABEL_MAP_STORAGE)


def read_dicom_seg(path: Path) -> Volume:
    """Read a DICOM segmentation as label values: those it was exported with, else the numbers of its segments.

    In a fractional segmentation, voxels filled by more than half belong to a segment. A segment that lies wholly inside
    a larger one takes its voxels from it. Notices report both.

    Raises
    ------
    InputError
        If the file is no segmentation, is damaged, its frames are no slices of one volume, or segments
        overlap and none lies inside the other.
    """
    sentence = (
        f"{path.name} is damaged, cut off or compressed in an unknown way. "
        "Export the segmentation again, uncompressed if you can choose."
    )
    with pydicom_silenced, damage_refused(sentence):
        with opened(path) or nullcontext(path) as file:
            dataset = pydicom.dcmread(file)
        _refuse_other_objects(path, dataset)
        return _volume(path, dataset)


def _refuse_other_objects(path: Path, dataset: Dataset) -> None:
    if dataset.get("SOPClassUID") not in (SegmentationStorage, LABEL_MAP_STORAGE):
        raise InputError(
            f"{path.name} is a DICOM file, but no segmentation. Give a DICOM segmentation or a NIfTI file as labels, "
            "and the folder of a series as an image."
        )


def _volume(path: Path, dataset: Dataset) -> Volume:
    refuse_sizes(path, dataset)
    frames = seg_frames(path, dataset)
    classes = _classes(dataset)
    labels, notices = label_values(path, dataset, frames, classes)
    assumed = () if frames.sparse is None else (frames.sparse.notice,)
    return Volume(
        to_working(labels.T, frames.grid.affine),
        frames.grid,
        path.stem,
        notices=tuple(filter(None, (*assumed, *notices))),
        classes=tuple(classes.values()),
        identity=identity_of_labels(dataset),
        sparse=frames.sparse,
    )


def _values_by_segment(dataset: Dataset) -> dict[int, int]:
    """Return the label value of each segment but a described background."""
    numbers = [int(segment.SegmentNumber) for segment in dataset.SegmentSequence]
    described = [str(segment.get("SegmentDescription", "")) for segment in dataset.SegmentSequence]
    exported = [text.removeprefix(VALUE_PREFIX) for text in described if text.startswith(VALUE_PREFIX)]
    values = [int(text) for text in exported if text.isdecimal() and 0 < int(text) <= _LARGEST_VALUE]
    if len(set(values)) < len(numbers):
        values = numbers
    return {number: value for number, value in zip(numbers, values, strict=True) if number > 0}


def _classes(dataset: Dataset) -> dict[int, LabelClass]:
    """Return the class of each segment by its number."""
    values = _values_by_segment(dataset)
    segments = {int(segment.SegmentNumber): segment for segment in dataset.SegmentSequence}
    plain = {label_class.value: label_class for label_class in default_classes(values.values())}
    return {number: _named(plain[value], segments[number]) for number, value in values.items()}


def _named(plain: LabelClass, segment: Dataset) -> LabelClass:
    name = short_line(str(segment.get("SegmentLabel") or "")) or plain.name
    cielab = segment.get("RecommendedDisplayCIELabValue")
    return LabelClass(plain.value, name, rgb_of_cielab(cielab) if cielab else plain.color)
