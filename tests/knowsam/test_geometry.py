"""The proof of geometry: what is drawn at a place is found at that place, by nibabel, SimpleITK and highdicom as well.

Every test logs its line of the table in docs/geometry.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from nibabel.affines import apply_affine, from_matvec
from numpy.typing import NDArray
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy.spatial.transform import Rotation

from knowsam.data.volume import Grid
from knowsam.io.image import read_volume
from knowsam.io.labels import read_labels, write_labels

logger = logging.getLogger(__name__)

Points = NDArray[np.float64]
"""(N, 3) places in RAS+ mm."""

SHAPE = (4, 5, 6)
BLOB = 9
LANDMARK = 77
TILTS = {"along the body": (0, 0, 0), "oblique": (12, -25, 18)}
SPACINGS = {"isotropic": (1.5, 1.5, 1.5), "anisotropic": (0.7, 0.9, 3.1)}
SUFFIXES = (".nii.gz", ".nrrd", ".mha")
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
BRAIN = Path(__file__).parents[3] / "shared" / "data" / "dicom_brain_mr"
WITHOUT_SIMPLEITK = "SimpleITK, an independent reader, is not installed"


def grids(tilt: str, spacing: str) -> Iterator[Grid]:
    """Give a grid for each of the 48 ways in which the axes of a file can run."""
    turned = Rotation.from_euler("xyz", TILTS[tilt], degrees=True).as_matrix()
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        directions = np.eye(3)[:, order] * signs
        yield Grid(SHAPE, from_matvec(turned @ directions * SPACINGS[spacing], (12.5, -40.25, 7.75)))


def landmarks(grid: Grid) -> dict[int, NDArray[np.intp]]:
    """Return by label value the voxels (N, 3) to draw, counted in the file: its eight corners, and a blob of three."""
    corners = product(*((0, count - 1) for count in grid.shape))
    return {value: np.array([corner]) for value, corner in enumerate(corners, 1)} | {
        BLOB: np.array([(1, 1, 1), (2, 1, 1), (2, 3, 1)])
    }


def centroids(grid: Grid) -> Points:
    """Return where the landmarks lie, by the affine alone."""
    return np.array([apply_affine(grid.affine, voxels).mean(axis=0) for voxels in landmarks(grid).values()])


def drawn(grid: Grid) -> NDArray[np.uint8]:
    """Return a working array with each landmark drawn at its place in the world."""
    array = np.zeros(grid.working_shape, np.uint8)
    for value, voxels in landmarks(grid).items():
        indices = apply_affine(np.linalg.inv(grid.working_affine), apply_affine(grid.affine, voxels))
        array[tuple(indices.round().astype(int).T)] = value
    return array


def found(array: NDArray[Any], place: Callable[[NDArray[np.intp]], Points]) -> Points:
    """Return where the landmarks lie that an array holds; `place` takes its indices to the world."""
    return np.array([place(np.argwhere(array == value)).mean(axis=0) for value in range(1, BLOB + 1)])


def found_by_us(path: Path) -> Points:
    volume = read_labels(path)
    return found(volume.array, lambda indices: apply_affine(volume.affine, indices))


def found_by_nibabel(path: Path) -> Points:
    image = nib.load(path)
    return found(np.asarray(image.dataobj), lambda indices: apply_affine(image.affine, indices))


def found_by_simpleitk(path: Path) -> Points:
    sitk = pytest.importorskip("SimpleITK", reason=WITHOUT_SIMPLEITK)
    image = sitk.ReadImage(path)
    return found(sitk.GetArrayFromImage(image), lambda indices: places_by_simpleitk(image, indices))


def places_by_simpleitk(image: Any, indices: NDArray[np.intp]) -> Points:
    points = [image.TransformIndexToPhysicalPoint([int(index) for index in reversed(voxel)]) for voxel in indices]
    return apply_affine(LPS_TO_RAS, np.array(points))


FINDERS: dict[str, tuple[Callable[[Path], Points], tuple[str, ...]]] = {
    "our reader": (found_by_us, SUFFIXES),
    "nibabel": (found_by_nibabel, (".nii.gz",)),
    "SimpleITK": (found_by_simpleitk, SUFFIXES),
}
"""Who looks for the landmarks, and in which files; first of all we ourselves, since others may not be installed."""


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("spacing", [pytest.param("isotropic", marks=pytest.mark.slow), "anisotropic"])
@pytest.mark.parametrize("tilt", TILTS)
def test_a_mask_is_found_where_it_was_drawn_in_all_48_orientations(
    tmp_path: Path, tilt: str, spacing: str, suffix: str
) -> None:
    masks = {tmp_path / f"{number}{suffix}": grid for number, grid in enumerate(grids(tilt, spacing))}
    for path, grid in masks.items():
        write_labels(path, drawn(grid), grid)
    for reader, (find, suffixes) in FINDERS.items():
        if suffix in suffixes:
            apart = np.array([find(path) - centroids(grid) for path, grid in masks.items()])
            worst_mm = float(np.linalg.norm(apart, axis=-1).max())
            logger.info("| mask as %s | %s, %s | 48 | %s | %.1e |", suffix, tilt, spacing, reader, worst_mm)
            assert worst_mm < 1e-3


def series(folder: Path, tilt: str) -> Points:
    """Write a CT series whose pixels are numbered in the order of the returned places, by the rule of the standard.

    The names of the files are in another order than the slices.
    """
    rows, columns, slices = 5, 4, 6
    along_row, along_column, normal = Rotation.from_euler("xyz", TILTS[tilt], degrees=True).as_matrix().T
    first, series_uid, frame_uid, study_uid = np.array([-30.5, 20.25, 100.75]), *(generate_uid() for _ in range(3))
    places = []
    for number in range(slices):
        position = (first + number * 3.1 * normal).round(9)
        places += [
            position + column * 0.9 * along_row + row * 0.7 * along_column
            for row, column in product(range(rows), range(columns))
        ]
        dataset = pydicom.Dataset()
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = CTImageStorage, generate_uid(), "CT"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = (
            study_uid,
            series_uid,
            frame_uid,
        )
        dataset.PatientName, dataset.PatientID, dataset.InstanceNumber = "", "", number + 1
        dataset.ImagePositionPatient = [float(f"{mm:.9f}") for mm in position]
        dataset.ImageOrientationPatient = [float(f"{cosine:.12f}") for cosine in (*along_row, *along_column)]
        dataset.PixelSpacing, dataset.SliceThickness = [0.7, 0.9], 3.1
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = rows, columns, 1
        dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 1
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, 0, "HU"
        numbered = np.arange(rows * columns, dtype="<i2") + number * rows * columns
        dataset.PixelData = numbered.tobytes()
        dataset.save_as(folder / f"{(number * 5) % slices}.dcm", enforce_file_format=True)
    return apply_affine(LPS_TO_RAS, np.array(places))


def places_by_value(array: NDArray[Any], place: Callable[[NDArray[np.intp]], Points]) -> Points:
    """Return where the voxels lie, in the order of their values."""
    indices = np.argwhere(np.ones_like(array, dtype=bool))
    return place(indices)[np.argsort(array.ravel(), kind="stable")]


def read_by_us(folder: Path) -> tuple[NDArray[Any], Callable[[NDArray[np.intp]], Points]]:
    volume = read_volume(folder)
    return volume.array, lambda indices: apply_affine(volume.affine, indices)


def read_by_simpleitk(folder: Path) -> tuple[NDArray[Any], Callable[[NDArray[np.intp]], Points]]:
    sitk = pytest.importorskip("SimpleITK", reason=WITHOUT_SIMPLEITK)
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    return sitk.GetArrayFromImage(image), lambda indices: places_by_simpleitk(image, indices)


def read_by_highdicom(folder: Path) -> tuple[NDArray[Any], Callable[[NDArray[np.intp]], Points]]:
    highdicom = pytest.importorskip("highdicom", reason="highdicom, an independent reader, is not installed")
    volume = highdicom.get_volume_from_series([pydicom.dcmread(path) for path in sorted(folder.iterdir())])
    return volume.array, lambda indices: apply_affine(LPS_TO_RAS @ volume.affine, indices)


NAMES = {read_by_us: "our reader", read_by_highdicom: "highdicom", read_by_simpleitk: "SimpleITK"}


@pytest.mark.parametrize("tilt", TILTS)
@pytest.mark.parametrize("read", [read_by_us, read_by_highdicom, read_by_simpleitk])
def test_a_dicom_series_lies_where_its_header_says(
    tmp_path: Path, tilt: str, read: Callable[[Path], tuple[NDArray[Any], Callable[[NDArray[np.intp]], Points]]]
) -> None:
    expected = series(tmp_path, tilt)
    worst_mm = float(np.linalg.norm(places_by_value(*read(tmp_path)) - expected, axis=1).max())
    logger.info("| DICOM series | %s, anisotropic | 1 | %s | %.1e |", tilt, NAMES[read], worst_mm)
    assert worst_mm < 1e-3


@pytest.mark.parametrize("tilt", TILTS)
def test_a_landmark_keeps_its_place_from_dicom_through_a_layer_to_a_mask(tmp_path: Path, tilt: str) -> None:
    layers = pytest.importorskip("napari.layers", reason="napari, whose layers are tested, is not installed")
    from napari_knowsam._writer import write_labels as write_layer
    from napari_knowsam.volume_layers import empty_labels_layer_data

    (tmp_path / "dicom").mkdir()
    place = series(tmp_path / "dicom", tilt)[LANDMARK]
    volume = read_volume(tmp_path / "dicom")
    data, kwargs, _ = empty_labels_layer_data(volume)
    layer = layers.Labels(data, **kwargs)
    index = tuple(np.argwhere(volume.array == LANDMARK)[0])
    layer.data_setitem(index, 1)
    (mask,) = write_layer(str(tmp_path / "mask.nii.gz"), *layer.as_layer_data_tuple()[:2])
    image = nib.load(mask)
    (painted,) = np.argwhere(np.asarray(image.dataobj) == 1)
    worst_mm = float(np.linalg.norm(apply_affine(image.affine, painted) - place))
    logger.info("| DICOM, layer, mask as .nii.gz | %s, anisotropic | 1 | nibabel | %.1e |", tilt, worst_mm)
    assert worst_mm < 1e-3
    if TILTS[tilt] == (0, 0, 0):
        np.testing.assert_allclose(layer.data_to_world(index), -place[::-1], atol=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(not BRAIN.is_dir(), reason="the shared real volumes are not on this machine")
@pytest.mark.parametrize("read", [read_by_highdicom, read_by_simpleitk])
def test_a_real_dicom_series_lies_where_other_readers_see_it(
    read: Callable[[Path], tuple[NDArray[Any], Callable[[NDArray[np.intp]], Points]]],
) -> None:
    (folder,) = BRAIN.iterdir()
    volume = read_volume(folder)
    array, place = read(folder)
    corners = np.array(list(product(*((0, count - 1) for count in array.shape))))
    indices = np.vstack([corners, np.random.default_rng(0).integers(0, array.shape, (2000, 3))])
    ours = apply_affine(np.linalg.inv(volume.affine), place(indices))
    apart_vx = np.abs(ours - ours.round())
    worst_mm = float((apart_vx * volume.spacing_mm).max())
    logger.info("| real brain MR | as scanned | 1 | %s | %.1e |", NAMES[read], worst_mm)
    assert worst_mm < 1e-3
    np.testing.assert_array_equal(volume.array[tuple(ours.round().astype(int).T)], array[tuple(indices.T)])
