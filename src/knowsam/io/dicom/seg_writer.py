"""Writes DICOM segmentations: masks as objects of the study of their image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydicom.uid import generate_uid

from knowsam import __version__
from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass
from knowsam.data.segment_terms import Code, SegmentTerm, long_string, term_for
from knowsam.errors import InputError, OutputError
from knowsam.io.atomic import check_place, output_written
from knowsam.io.dicom.source_series import (
    HEADER_FAILURES,
    PATIENT,
    labelled_frames,
    series_number,
)
from knowsam.io.source_file import refuse_source_file

if TYPE_CHECKING:
    from highdicom.seg import Segmentation, SegmentDescription
    from highdicom.sr import CodedConcept
    from pydicom.dataset import Dataset

    from knowsam.data.volume import Volume

DICOM_SEG_SUFFIX = ".dcm"

VALUE_PREFIX = "Label value "
"""Begins the description of a segment, since segments are counted from 1, whatever the values of the classes are."""

_ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")


def is_dicom_seg_name(path: Path) -> bool:
    """Return whether an output is a DICOM segmentation, by its name."""
    return path.name.lower().endswith(DICOM_SEG_SUFFIX)


def check_dicom_seg_writable(path: Path, *, overwrite: bool = False) -> None:
    """Check before anything is computed that a DICOM segmentation can be written to `path`.

    Raises
    ------
    OutputError
        If its name does not end in .dcm, the folder is missing or not writable, the file exists and must be kept, or
        highdicom is not installed.
    """
    if not is_dicom_seg_name(path):
        raise OutputError(f"The result is to be called {path.name}, but must end in .dcm. Change the name.")
    check_place(path, overwrite=overwrite)
    _require_highdicom()


def write_dicom_seg(
    path: Path,
    labels: Volume,
    source: Volume,
    terms: Mapping[int, SegmentTerm] | None = None,
    *,
    automatic: bool = False,
    overwrite: bool = False,
) -> None:
    """Write labels as a binary DICOM segmentation with one segment for each value, whole or not at all.

    Patient and study are copied from the source, since without them the file belongs to nobody.

    Parameters
    ----------
    labels : on the grid of the source; their classes give segments their names and colours.
    source : read from a DICOM series.
    terms : words for the coded terms, by label value; by default the names of the classes.
    automatic : whether nobody painted in the image or corrected the mask.
    overwrite : replace an existing file.

    Raises
    ------
    InputError
        If the labels are empty, belong to another patient or study, do not lie on the slices of the source, or the
        source is no usable DICOM series.
    OutputError
        If the file cannot be written.
    """
    check_dicom_seg_writable(path, overwrite=overwrite)
    refuse_source_file(path, source)
    kind = "AUTOMATIC" if automatic else "SEMIAUTOMATIC"
    with labelled_frames(labels, source) as (classes, headers, planes):
        known = {c.value: term_for(c.name) for c in classes} | dict(terms or {})
        described = [_described(number, c, known[c.value], kind) for number, c in enumerate(classes, 1)]
        segmentation = _segmentation(headers, _segment_numbers(planes, classes), described)
        with output_written(path, overwrite=overwrite) as complete:
            segmentation.save_as(complete, enforce_file_format=True)


def _require_highdicom() -> None:
    # An import would take half a second, in which a window hangs.
    if find_spec("highdicom") is None:
        raise OutputError(
            "A DICOM segmentation is written by highdicom, which is not installed. "
            "Install it with `pip install 'napari-knowsam[dicom]'`, or choose another kind of file."
        )


def _segment_numbers(values: npt.NDArray[np.integer], classes: Sequence[LabelClass]) -> npt.NDArray[np.uint16]:
    known = np.array([BACKGROUND_CLASS.value, *(label_class.value for label_class in classes)])
    return np.searchsorted(known, values).astype(np.uint16)


def _segmentation(
    headers: Sequence[Dataset], numbers: npt.NDArray[np.uint16], described: Sequence[SegmentDescription]
) -> Segmentation:
    from highdicom.seg import Segmentation

    # highdicom quotes invalid values in its messages.
    patient = [deepcopy(headers[0][keyword]) for keyword in PATIENT]
    for keyword in PATIENT:
        headers[0][keyword].value = None
    try:
        made = Segmentation(
            source_images=headers,
            pixel_array=numbers,
            segmentation_type="BINARY",
            segment_descriptions=described,
            series_instance_uid=generate_uid(),
            series_number=series_number(headers[0]),
            series_description="KnowSAM segmentation",
            sop_instance_uid=generate_uid(),
            instance_number=1,
            manufacturer="napari-knowsam",
            manufacturer_model_name="KnowSAM",
            software_versions=__version__,
            device_serial_number="none",
            content_label="SEGMENTATION",
            content_description="Segmentation by KnowSAM",
            specific_character_set="ISO_IR 192",
        )
    except HEADER_FAILURES as error:
        raise InputError(
            f"The headers of the DICOM series do not allow for a segmentation ({type(error).__name__} in highdicom). "
            "Choose another kind of file."
        ) from error
    for element in patient:
        made.add(element)
    # The standard requires it, even if empty (PS3.3, C.8.20.2); highdicom leaves it out.
    made.setdefault("ContentCreatorName", None)
    return made


def _described(number: int, label_class: LabelClass, term: SegmentTerm, kind: str) -> SegmentDescription:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription

    algorithm = AlgorithmIdentificationSequence("KnowSAM", _coded(_ARTIFICIAL_INTELLIGENCE), __version__)
    described = SegmentDescription(
        segment_number=number,
        segment_label=long_string(label_class.name),
        segmented_property_category=_coded(term.category),
        segmented_property_type=_coded(term.type),
        algorithm_type=kind,
        algorithm_identification=algorithm,
        display_color=CIELabColor.from_rgb(*label_class.color),
    )
    described.SegmentDescription = f"{VALUE_PREFIX}{label_class.value}"
    if term.modifiers:
        modifiers = [_coded(modifier) for modifier in term.modifiers]
        described.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = modifiers
    return described


def _coded(code: Code) -> CodedConcept:
    from highdicom.sr import CodedConcept

    return CodedConcept(*code)
