"""DICOM segmentations out: a mask as an object of the study its image belongs to."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine
from pydicom.uid import generate_uid

from knowsam import __version__
from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass, labelled_classes
from knowsam.data.identity import require_same_identity
from knowsam.data.orientation import from_working
from knowsam.data.segment_terms import Code, SegmentTerm, long_string, term_for
from knowsam.data.volume import Volume, grid_difference
from knowsam.errors import InputError, OutputError
from knowsam.io.atomic import check_place, mask_written
from knowsam.io.dicom.header import whole_header

if TYPE_CHECKING:
    from highdicom.seg import Segmentation, SegmentDescription
    from highdicom.sr import CodedConcept
    from pydicom.dataset import Dataset

DICOM_SEG_SUFFIX = ".dcm"

VALUE_PREFIX = "Label value "
"""Begins the description of a segment: segments are counted from 1, whatever the values of the classes are."""

_MAX_BESIDE_VX = 0.2
"""How far frames may lie beside the slices of the image, whose distances were rounded and averaged."""

_ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")

_SERIES_OFFSET = 1000
"""Between the series numbers of an image and of its segmentation, so that viewers list it at the end of the study."""

_REQUIRED = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "SOPClassUID",
    "FrameOfReferenceUID",
    "Modality",
)
_MAY_BE_EMPTY = ("PatientID", "AccessionNumber", "StudyID")
_VALIDATED = ("PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "ReferringPhysicianName")
"""Copied past highdicom, which would put a value it does not like into a message."""

_FAILURES = (ValueError, TypeError, AttributeError, LookupError, RuntimeError, OSError)


def is_dicom_seg_name(path: Path) -> bool:
    """Tell by its name whether a file to be written is a DICOM segmentation."""
    return path.name.lower().endswith(DICOM_SEG_SUFFIX)


def check_dicom_seg_writable(path: Path, *, overwrite: bool = False) -> None:
    """Check before anything is computed that a DICOM segmentation can be written to `path`.

    Raises
    ------
    OutputError
        If its name does not end in .dcm, the folder is missing or not writable, the file exists and is to be kept, or
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

    What identifies the patient and the study is copied from the source, for without it the file belongs to nobody.

    Parameters
    ----------
    labels : on the grid of the source; their classes give segments their names and colours.
    source : read from a DICOM series.
    terms : what the values stand for; by default what their names are understood as.
    automatic : nobody painted in the image or corrected the mask.
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
    _require_fitting(labels, source)
    classes = labelled_classes(labels)
    known = {c.value: term_for(c.name) for c in classes} | dict(terms or {})
    kind = "AUTOMATIC" if automatic else "SEMIAUTOMATIC"
    # pydicom would put values of the patient's header into its warnings.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        headers = _source_headers(source)
        planes = _source_planes(labels, source, headers)
        described = [_described(number, c, known[c.value], kind) for number, c in enumerate(classes, 1)]
        segmentation = _segmentation(headers, _segment_numbers(planes, classes), described)
        with mask_written(path, overwrite=overwrite) as complete:
            segmentation.save_as(complete, enforce_file_format=True)


def _require_highdicom() -> None:
    try:
        import highdicom.seg  # noqa: F401 - whether it is there
    except ImportError as error:
        raise OutputError(
            "A DICOM segmentation is written by highdicom, which is not installed. "
            "Install it with `pip install 'napari-knowsam[dicom]'`, or choose another kind of file."
        ) from error


def _require_fitting(labels: Volume, source: Volume) -> None:
    if not source.dicom_files:
        raise InputError(
            f"{source.name or 'The image'} was not read from DICOM, but such a segmentation belongs to a DICOM series. "
            "Give the folder of the series, or choose another kind of file."
        )
    require_same_identity(source, labels)
    difference = grid_difference(labels.grid, source.grid)
    if difference is not None:
        raise InputError(
            f"The mask does not lie on the grid of the DICOM series. {difference} Give the series it was made in."
        )


def _source_headers(source: Volume) -> list[Dataset]:
    """Read the headers of the source as highdicom wants them; they are changed in memory only."""
    try:
        headers = [whole_header(path) for path in source.dicom_files]
        for header in headers:
            header.decode()
            _complete(header, source)
            # highdicom wants them equal to the last digit; they were compared when the series was read.
            if "ImageOrientationPatient" in header:
                header.ImageOrientationPatient = headers[0].ImageOrientationPatient
    except _FAILURES as error:
        raise InputError(
            f"The headers of the DICOM series cannot be read again ({type(error).__name__}). Check that its folder is "
            "still there and whole."
        ) from error
    missing = [keyword for keyword in _REQUIRED if not headers[0].get(keyword)]
    if missing:
        raise InputError(
            f"The headers of the DICOM series lack {', '.join(missing)}, which a segmentation must refer to. "
            "Give the series as it was exported, or choose another kind of file."
        )
    return headers


def _complete(header: Dataset, source: Volume) -> None:
    """Put in what an image may lack and a segmentation must have."""
    for keyword in (*_MAY_BE_EMPTY, *_VALIDATED):
        header.setdefault(keyword, None)
    measures: Dataset = header
    if "SharedFunctionalGroupsSequence" in header:
        shared, frame = header.SharedFunctionalGroupsSequence[0], header.PerFrameFunctionalGroupsSequence[0]
        for group in ("PlaneOrientationSequence", "PixelMeasuresSequence"):
            if group not in shared:
                setattr(shared, group, frame[group].value)
        measures = shared.PixelMeasuresSequence[0]
    # What headers say here is often wrong; slices are where their positions are.
    measures.SpacingBetweenSlices = f"{source.grid.spacing_mm[2]:.10g}"
    if not measures.get("SliceThickness"):
        measures.SliceThickness = measures.SpacingBetweenSlices


def _positions_mm(headers: Sequence[Dataset]) -> npt.NDArray[np.float64]:
    """Return where the frames of the source begin, (frames, 3) in RAS+."""
    if "PerFrameFunctionalGroupsSequence" in headers[0]:
        frames = [frame.PlanePositionSequence[0] for frame in headers[0].PerFrameFunctionalGroupsSequence]
    else:
        frames = list(headers)
    lps_mm = np.array([frame.ImagePositionPatient for frame in frames], dtype=np.float64)
    return lps_mm * (-1, -1, 1)


def _source_planes(labels: Volume, source: Volume, headers: Sequence[Dataset]) -> npt.NDArray[np.integer]:
    """Return the label values of every frame of the source, (frames, rows, columns), in the order of its frames."""
    located = apply_affine(np.linalg.inv(source.grid.affine), _positions_mm(headers))
    slices = np.rint(located[:, 2]).astype(int)
    beside = np.abs(located - np.column_stack([np.zeros((len(slices), 2)), slices])).max()
    if beside > _MAX_BESIDE_VX or sorted(slices) != list(range(source.grid.shape[2])):
        raise InputError(
            "The slices of the image do not lie where the frames of the DICOM series are, so it was resampled or only "
            "partly read, but a segmentation refers to each frame. Choose another kind of file."
        )
    planes: npt.NDArray[np.integer] = from_working(labels.array, source.grid).T[slices]
    return planes


def _segment_numbers(values: npt.NDArray[np.integer], classes: Sequence[LabelClass]) -> npt.NDArray[np.uint16]:
    known = np.array([BACKGROUND_CLASS.value, *(label_class.value for label_class in classes)])
    return np.searchsorted(known, values).astype(np.uint16)


def _segmentation(
    headers: Sequence[Dataset], numbers: npt.NDArray[np.uint16], described: Sequence[SegmentDescription]
) -> Segmentation:
    from highdicom.seg import Segmentation

    patient = [deepcopy(headers[0][keyword]) for keyword in _VALIDATED]
    for keyword in _VALIDATED:
        headers[0][keyword].value = None
    try:
        made = Segmentation(
            source_images=headers,
            pixel_array=numbers,
            segmentation_type="BINARY",
            segment_descriptions=described,
            series_instance_uid=generate_uid(),
            series_number=_SERIES_OFFSET + max(int(headers[0].get("SeriesNumber") or 0), 0),
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
    except _FAILURES as error:
        raise InputError(
            f"The headers of the DICOM series do not allow for a segmentation ({type(error).__name__} in highdicom). "
            "Choose another kind of file."
        ) from error
    for element in patient:
        made.add(element)
    # The standard wants it to be there, if empty (PS3.3, C.8.20.2); highdicom leaves it out.
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
