"""The DICOM series of a mask, for objects that refer to it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine

from knowsam.data.annotation import LabelClass, labelled_classes
from knowsam.data.identity import require_same_identity
from knowsam.data.orientation import from_working
from knowsam.data.volume import Volume, grid_difference
from knowsam.errors import InputError
from knowsam.io.dicom.header import whole_header

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

HEADER_FAILURES = (ValueError, TypeError, AttributeError, LookupError, RuntimeError, OSError)
"""Errors that a damaged header may raise, in pydicom and in code that uses it."""

PATIENT = ("PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "ReferringPhysicianName")
"""Attributes that objects of a study repeat, with those of `STUDY`."""

STUDY = ("PatientID", "AccessionNumber", "StudyID")

_SERIES_OFFSET = 1000
"""Added to the series number of an image for objects that refer to it, so that viewers list them last."""

_MAX_BESIDE_VX = 0.2
"""How far frames may lie beside the slices of the image, whose distances were rounded and averaged."""

_REQUIRED = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "SOPClassUID",
    "FrameOfReferenceUID",
    "Modality",
)


@contextmanager
def labelled_frames(
    labels: Volume, source: Volume
) -> Iterator[tuple[tuple[LabelClass, ...], list[Dataset], npt.NDArray[np.integer]]]:
    """Yield what to write of labels: their classes, the headers of the series, and values (frames, rows, columns).

    Within the block pydicom does not warn, since its warnings would quote the patient's header. Missing attributes of
    headers are filled in, in memory only.

    Parameters
    ----------
    labels : on the grid of the source.
    source : read from a DICOM series.

    Raises
    ------
    InputError
        If the labels are empty, belong to another patient or study, do not lie on the slices of the source, or the
        source is no usable DICOM series.
    """
    _require_fitting(labels, source)
    classes = labelled_classes(labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        headers = _source_headers(source)
        yield classes, headers, _frame_labels(labels, source, headers)


def frame_positions_mm(headers: Sequence[Dataset]) -> npt.NDArray[np.float64]:
    """Return the position of the first pixel of each frame of a series, (frames, 3) in RAS+."""
    if "PerFrameFunctionalGroupsSequence" in headers[0]:
        frames = [frame.PlanePositionSequence[0] for frame in headers[0].PerFrameFunctionalGroupsSequence]
    else:
        frames = list(headers)
    lps_mm = np.array([frame.ImagePositionPatient for frame in frames], dtype=np.float64)
    return lps_mm * (-1, -1, 1)


def series_number(header: Dataset) -> int:
    """Return the series number of an object that refers to the series of a header."""
    return _SERIES_OFFSET + max(int(header.get("SeriesNumber") or 0), 0)


def _require_fitting(labels: Volume, source: Volume) -> None:
    """Check that labels lie on the grid of an image that was read from DICOM.

    Raises
    ------
    InputError
        If they do not, or belong to another patient or study.
    """
    if not source.dicom_files:
        raise InputError(
            f"{source.name or 'The image'} was not read from DICOM, but such a file belongs to a DICOM series. "
            "Give the folder of the series, or choose another kind of file."
        )
    require_same_identity(source, labels)
    difference = grid_difference(labels.grid, source.grid)
    if difference is not None:
        raise InputError(
            f"The mask does not lie on the grid of the DICOM series. {difference} Give the series it was made in."
        )


def _source_headers(source: Volume) -> list[Dataset]:
    """Read the headers of a series, and fill in missing attributes, in memory only.

    Raises
    ------
    InputError
        If they cannot be read, or lack attributes that must be referred to.
    """
    try:
        headers = [whole_header(path) for path in source.dicom_files]
        for header in headers:
            header.decode()
            _complete(header, source)
            # highdicom needs them equal to the last digit; reading the series has compared them.
            if "ImageOrientationPatient" in header:
                header.ImageOrientationPatient = headers[0].ImageOrientationPatient
    except HEADER_FAILURES as error:
        raise InputError(
            f"The headers of the DICOM series cannot be read again ({type(error).__name__}). Check that its folder is "
            "still there and whole."
        ) from error
    missing = [keyword for keyword in _REQUIRED if not headers[0].get(keyword)]
    if missing:
        raise InputError(
            f"The headers of the DICOM series lack {', '.join(missing)}, which such a file must refer to. "
            "Give the series as it was exported, or choose another kind of file."
        )
    return headers


def _frame_labels(labels: Volume, source: Volume, headers: Sequence[Dataset]) -> npt.NDArray[np.integer]:
    """Return the label values of every frame of a series, (frames, rows, columns), in the order of its frames.

    Raises
    ------
    InputError
        If its frames do not lie where the slices of the image are.
    """
    located = apply_affine(np.linalg.inv(source.grid.affine), frame_positions_mm(headers))
    slices = np.rint(located[:, 2]).astype(int)
    beside = np.abs(located - np.column_stack([np.zeros((len(slices), 2)), slices])).max()
    if beside > _MAX_BESIDE_VX or sorted(slices) != list(range(source.grid.shape[2])):
        raise InputError(
            "The slices of the image do not lie where the frames of the DICOM series are, so it was resampled or only "
            "partly read, but such a file refers to each frame. Choose another kind of file."
        )
    planes: npt.NDArray[np.integer] = from_working(labels.array, source.grid).T[slices]
    return planes


def _complete(header: Dataset, source: Volume) -> None:
    """Fill in attributes that an image may lack and objects that refer to it must have."""
    for keyword in (*STUDY, *PATIENT):
        header.setdefault(keyword, None)
    measures: Dataset = header
    if "SharedFunctionalGroupsSequence" in header:
        shared, frame = header.SharedFunctionalGroupsSequence[0], header.PerFrameFunctionalGroupsSequence[0]
        for group in ("PlaneOrientationSequence", "PixelMeasuresSequence"):
            if group not in shared:
                setattr(shared, group, frame[group].value)
        measures = shared.PixelMeasuresSequence[0]
    # This attribute is often wrong; positions place the slices.
    measures.SpacingBetweenSlices = f"{source.grid.spacing_mm[2]:.10g}"
    if not measures.get("SliceThickness"):
        measures.SliceThickness = measures.SpacingBetweenSlices
