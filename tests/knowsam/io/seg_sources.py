"""DICOM images to make segmentations of: oblique, anisotropic, with frames whose bits fill no whole bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nibabel.affines import from_matvec
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from scipy.spatial.transform import Rotation

from knowsam.data.annotation import LabelClass
from knowsam.data.orientation import to_working
from knowsam.data.volume import Grid, Volume

COLUMNS, ROWS, SLICES = 5, 7, 6
SPACING_MM = np.array([0.8, 1.5, 3.3])
TURN = Rotation.from_euler("xyz", [12, -7, 20], degrees=True).as_matrix()
FIRST_MM = np.array([-31.0, 12.5, 40.25])

NAMES = (LabelClass(2, "left kidney", (230, 75, 53)), LabelClass(7, "腫瘍 am Rand", (10, 200, 30)))


def grid() -> Grid:
    """Return the grid of the images, whose slices follow each other along their normal."""
    lps = from_matvec(TURN @ np.diag(SPACING_MM), FIRST_MM)
    return Grid((COLUMNS, ROWS, SLICES), np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps)


def mask() -> Volume:
    """Return labels 2 and 7 on the grid: nothing in the first slice and in the fourth, both in the third."""
    array = np.random.default_rng(3).choice([0, 2, 7], (SLICES, ROWS, COLUMNS)).astype(np.uint8)
    array[[0, 3]] = 0
    array[4][array[4] == 7] = 0
    return Volume(to_working(array.T, grid().affine), grid(), "mask", classes=NAMES)


def series(folder: Path, **changes: Any) -> Path:
    """Write a classic MR series, its files in no order, with the attributes changed or, if None, left out."""
    folder.mkdir(exist_ok=True)
    study = _study(MRImageStorage)
    for number in range(SLICES):
        one = Dataset()
        one.update(study)
        one.SOPInstanceUID = generate_uid()
        one.file_meta = _file_meta(one)
        one.InstanceNumber = number + 1
        one.ImagePositionPatient = _position(number)
        one.ImageOrientationPatient = _orientation()
        one.PixelSpacing = [SPACING_MM[1], SPACING_MM[0]]
        # Both are wrong, as they often are; slices are where their positions are.
        one.SliceThickness, one.SpacingBetweenSlices = 9.0, 2.0
        one.PixelData = _pixels(number).tobytes()
        for keyword, value in changes.items():
            if value is None:
                delattr(one, keyword)
            else:
                setattr(one, keyword, value)
        one.save_as(folder / f"IM{7 * number % SLICES}", enforce_file_format=True)
    return folder


def enhanced(folder: Path) -> Volume:
    """Write an enhanced MR file, its frames in no order, and return it as a volume."""
    image = _study(EnhancedMRImageStorage)
    image.SOPInstanceUID = generate_uid()
    image.file_meta = _file_meta(image)
    measures, orientation = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [SPACING_MM[1], SPACING_MM[0]], 3.0
    orientation.ImageOrientationPatient = _orientation()
    shared = Dataset()
    shared.PixelMeasuresSequence = [measures]
    order, image.PerFrameFunctionalGroupsSequence = [4, 0, 5, 2, 1, 3], []
    for number in order:
        frame, position = Dataset(), Dataset()
        position.ImagePositionPatient = _position(number)
        frame.PlanePositionSequence, frame.PlaneOrientationSequence = [position], [orientation]
        image.PerFrameFunctionalGroupsSequence.append(frame)
    image.SharedFunctionalGroupsSequence, image.NumberOfFrames = [shared], SLICES
    image.PixelData = b"".join(_pixels(number).tobytes() for number in order)
    path = folder / "enhanced.dcm"
    image.save_as(path, enforce_file_format=True)
    stack = np.array([_pixels(number) for number in range(SLICES)])
    return Volume(to_working(stack.T, grid().affine), grid(), "enhanced", dicom_files=(path,))


def _study(sop_class: str) -> Dataset:
    image = Dataset()
    image.SpecificCharacterSet = "ISO_IR 100"
    image.SOPClassUID, image.Modality = sop_class, "MR"
    image.PatientName, image.PatientID, image.PatientBirthDate, image.PatientSex = (
        "Müller^Jörg",
        "4711",
        "19501231",
        "M",
    )
    image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = "1.2.1", "1.2.2", "1.2.3"
    image.StudyDate, image.StudyTime, image.StudyID, image.AccessionNumber = "20240102", "101112", "5", "A6"
    image.ReferringPhysicianName, image.SeriesNumber = "", 11
    image.Rows, image.Columns, image.SamplesPerPixel, image.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
    return image


def _file_meta(image: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    return meta


def _position(number: int) -> list[float]:
    return [round(float(mm), 8) for mm in FIRST_MM + number * SPACING_MM[2] * TURN[:, 2]]


def _orientation() -> list[float]:
    return [round(float(part), 10) for part in TURN[:, :2].T.ravel()]


def _pixels(number: int) -> np.ndarray[Any, Any]:
    return np.arange(ROWS * COLUMNS, dtype=np.uint16).reshape(ROWS, COLUMNS) + 100 * number
