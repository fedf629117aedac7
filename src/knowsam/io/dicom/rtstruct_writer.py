"""DICOM structure sets out: the outlines of a mask, for radiotherapy planning."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from knowsam import __version__
from knowsam.data.contours import outlines
from knowsam.data.segment_terms import long_string
from knowsam.errors import OutputError
from knowsam.io.atomic import check_place, output_written
from knowsam.io.dicom.source_series import (
    PATIENT,
    STUDY,
    frame_positions_mm,
    labelled_frames,
    series_number,
)
from knowsam.io.source_file import refuse_source_file

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from knowsam.data.annotation import LabelClass
    from knowsam.data.contours import Polygon
    from knowsam.data.volume import Volume

RTSTRUCT_SUFFIX = ".rtstruct.dcm"

_STUDY_COMPONENT = "1.2.840.10008.3.1.2.3.1"
"""Retired, but still the class that a reference to a study has to name."""


def is_rtstruct_name(path: Path) -> bool:
    """Return whether an output is a DICOM structure set, by its name."""
    return path.name.lower().endswith(RTSTRUCT_SUFFIX)


def write_rtstruct(
    path: Path, labels: Volume, source: Volume, *, automatic: bool = False, overwrite: bool = False
) -> None:
    """Write labels as a DICOM structure set with one region (ROI) for each value, whole or not at all.

    Patient and study are copied from the source, since without them the file belongs to nobody.

    Parameters
    ----------
    labels : on the grid of the source; their classes give regions their names and colours.
    source : read from a DICOM series.
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
    if not is_rtstruct_name(path):
        raise OutputError(f"The result is to be called {path.name}, but must end in {RTSTRUCT_SUFFIX}. Change it.")
    check_place(path, overwrite=overwrite)
    refuse_source_file(path, source)
    with labelled_frames(labels, source) as (classes, headers, planes):
        made = _structure_set(headers)
        frames = _frames(headers)
        made.ReferencedFrameOfReferenceSequence = [_referenced(headers[0], frames)]
        origins_mm = frame_positions_mm(headers)
        made.StructureSetROISequence, made.ROIContourSequence, made.RTROIObservationsSequence = [], [], []
        for number, one in enumerate(classes, 1):
            made.StructureSetROISequence.append(_region(number, one, headers[0], automatic=automatic))
            made.ROIContourSequence.append(_item(ROIDisplayColor=list(one.color), ReferencedROINumber=number))
            contours = [
                _contour(polygon, origin_mm, source, frame)
                for plane, origin_mm, frame in zip(planes, origins_mm, frames, strict=True)
                for polygon in outlines(plane == one.value)
            ]
            made.ROIContourSequence[-1].ContourSequence = contours
            observation = _item(ObservationNumber=number, ReferencedROINumber=number)
            observation.RTROIInterpretedType = observation.ROIInterpreter = None
            made.RTROIObservationsSequence.append(observation)
        with output_written(path, overwrite=overwrite) as complete:
            made.save_as(complete, enforce_file_format=True)


def _structure_set(headers: Sequence[Dataset]) -> Dataset:
    """Return a structure set of the study, without regions."""
    now, made = datetime.now(), Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID, made.SOPInstanceUID = RTStructureSetStorage, generate_uid()
    made.file_meta = FileMetaDataset()
    # With explicit types, the points of an outline may take 64 kB at most.
    made.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    for keyword in (*PATIENT, *STUDY, "StudyInstanceUID", "FrameOfReferenceUID"):
        made.add(deepcopy(headers[0][keyword]))
    made.PositionReferenceIndicator = None
    made.Modality, made.SeriesInstanceUID, made.SeriesNumber = "RTSTRUCT", generate_uid(), series_number(headers[0])
    made.SeriesDescription, made.OperatorsName, made.InstanceNumber = "KnowSAM structures", None, 1
    made.Manufacturer, made.ManufacturerModelName, made.SoftwareVersions = "napari-knowsam", "KnowSAM", __version__
    made.StructureSetLabel, made.ApprovalStatus = "KnowSAM", "UNAPPROVED"
    made.StructureSetDate, made.StructureSetTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    made.InstanceCreationDate, made.InstanceCreationTime = made.StructureSetDate, made.StructureSetTime
    return made


def _frames(headers: Sequence[Dataset]) -> list[Dataset]:
    """Return references to the frames of the series, in their order."""
    if "PerFrameFunctionalGroupsSequence" in headers[0]:
        count = len(headers[0].PerFrameFunctionalGroupsSequence)
        return [_image(headers[0], ReferencedFrameNumber=number) for number in range(1, count + 1)]
    return [_image(header) for header in headers]


def _image(header: Dataset, **more: int) -> Dataset:
    return _item(ReferencedSOPClassUID=header.SOPClassUID, ReferencedSOPInstanceUID=header.SOPInstanceUID, **more)


def _referenced(header: Dataset, frames: Sequence[Dataset]) -> Dataset:
    """Return references to the images that the outlines are drawn in."""
    series = _item(SeriesInstanceUID=header.SeriesInstanceUID, ContourImageSequence=deepcopy(list(frames)))
    study = _item(
        ReferencedSOPClassUID=_STUDY_COMPONENT,
        ReferencedSOPInstanceUID=header.StudyInstanceUID,
        RTReferencedSeriesSequence=[series],
    )
    return _item(FrameOfReferenceUID=header.FrameOfReferenceUID, RTReferencedStudySequence=[study])


def _region(number: int, one: LabelClass, header: Dataset, *, automatic: bool) -> Dataset:
    return _item(
        ROINumber=number,
        ReferencedFrameOfReferenceUID=header.FrameOfReferenceUID,
        ROIName=long_string(one.name),
        ROIGenerationAlgorithm="AUTOMATIC" if automatic else "SEMIAUTOMATIC",
        ROIGenerationDescription=f"KnowSAM {__version__}"[:64],
    )


def _contour(polygon: Polygon, origin_mm: npt.NDArray[np.float64], source: Volume, frame: Dataset) -> Dataset:
    """Return an outline in LPS+ mm.

    Parameters
    ----------
    polygon : (points, 2), rows and columns.
    origin_mm : RAS+, of the first pixel of the frame.
    """
    along_columns, along_rows = source.grid.affine[:3, 0], source.grid.affine[:3, 1]
    points_mm = (origin_mm + polygon[:, :1] * along_rows + polygon[:, 1:] * along_columns) * (-1, -1, 1)
    return _item(
        ContourImageSequence=[deepcopy(frame)],
        ContourGeometricType="CLOSED_PLANAR",
        NumberOfContourPoints=len(points_mm),
        ContourData=[f"{mm:.4f}" for mm in points_mm.ravel()],
    )


def _item(**attributes: object) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item
