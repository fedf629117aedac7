"""DICOM series made for tests: oblique slices with known values at known places."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid

ROWS, COLUMNS = 3, 4
ROW_SPACING_MM, COLUMN_SPACING_MM, GAP_MM = 0.5, 0.75, 2.5
ALONG_ROW = np.array([0.8, 0.6, 0.0])
ALONG_COLUMN = np.array([0.0, 0.0, -1.0])
NORMAL = np.array([-0.6, 0.8, 0.0])
FIRST_MM = np.array([10.0, -20.0, 30.0])

Slices = list[pydicom.Dataset]


def slice_values(number: int) -> NDArray[np.uint16]:
    return (100 * number + np.arange(ROWS * COLUMNS, dtype=np.uint16)).reshape(ROWS, COLUMNS)


def image(pixels: NDArray[np.generic], **attributes: object) -> pydicom.Dataset:
    """Return a dataset without a place that holds these pixels: (rows, columns), or frames or colours of them."""
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.PatientName, dataset.SeriesDescription, dataset.Modality = "DOE^JANE", "T1 axial", "MR"
    dataset.SeriesInstanceUID, dataset.SeriesNumber = "1.2.3", 7
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    if pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def dicom_slice(number: int, **attributes: object) -> pydicom.Dataset:
    """Return the slice that is the number-th along the normal."""
    dataset = image(slice_values(number))
    dataset.InstanceNumber = 90 - number * 7 % 5
    dataset.ImagePositionPatient = list(FIRST_MM + number * GAP_MM * NORMAL)
    dataset.ImageOrientationPatient = [*ALONG_ROW, *ALONG_COLUMN]
    dataset.PixelSpacing = [ROW_SPACING_MM, COLUMN_SPACING_MM]
    dataset.SliceThickness = 9.0
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def series(count: int = 4, **attributes: object) -> Slices:
    return [dicom_slice(number, **attributes) for number in range(count)]


def brighter(slices: Slices, by: int) -> Slices:
    """Add to every pixel, so that no slice looks like one of another stack."""
    for dataset in slices:
        dataset.PixelData = (np.frombuffer(dataset.PixelData, np.uint16) + np.uint16(by)).tobytes()
    return slices


def repeated(times: int, **values: list[object]) -> Slices:
    """Return a series of which every slice is there several times, with these values and ever brighter."""
    return [
        dataset
        for rank in range(times)
        for dataset in brighter(series(3, **{keyword: each[rank] for keyword, each in values.items()}), 1000 * rank)
    ]


def by_turns(count: int, images: int, **values: list[object]) -> Slices:
    """Return an evenly spaced series whose slices belong to images by turns, each with its values and brighter."""
    return [
        dataset
        for number in range(count)
        for dataset in brighter(
            [dicom_slice(number, **{keyword: each[number % images] for keyword, each in values.items()})],
            1000 * (number % images),
        )
    ]


def written(slices: Slices, folder: Path) -> Path:
    """Write the slices under names in another order than that of their positions."""
    folder.mkdir(parents=True, exist_ok=True)
    names = np.random.default_rng(1).permutation(len(slices))
    for name, dataset in zip(names, slices, strict=True):
        dataset.save_as(folder / f"IM{name:03}", enforce_file_format=True)
    return folder


def saved(dataset: pydicom.Dataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def changed(**attributes: object) -> Callable[[Slices], None]:
    """Return the change of these attributes in every slice."""

    def change(slices: Slices) -> None:
        for dataset in slices:
            for keyword, value in attributes.items():
                setattr(dataset, keyword, value)

    return change


def item(**attributes: object) -> pydicom.Dataset:
    dataset = pydicom.Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def enhanced(order: list[int], **frame_content: list[object]) -> pydicom.Dataset:
    """Return one file with the slices of these numbers as frames, in this order, and attributes for each of them."""
    dataset = image(np.stack([slice_values(number) for number in order]))
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = EnhancedMRImageStorage
    shared = item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=[*ALONG_ROW, *ALONG_COLUMN])],
        PixelMeasuresSequence=[item(PixelSpacing=[ROW_SPACING_MM, COLUMN_SPACING_MM], SliceThickness=9.0)],
    )
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=list(FIRST_MM + number * GAP_MM * NORMAL))],
            FrameContentSequence=[item(**{keyword: values[index] for keyword, values in frame_content.items()})],
        )
        for index, number in enumerate(order)
    ]
    return dataset
