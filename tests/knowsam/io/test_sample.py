from __future__ import annotations

import runpy
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

import knowsam
from knowsam.errors import InputError
from knowsam.io.sample import sample_folder

NAMES = ("phantom.nii.gz", "phantom_labels.nii.gz")


@pytest.fixture(scope="module")
def made_again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    runpy.run_path(str(sample_folder() / "make_sample.py"))["main"](folder)
    return folder


def stored_slices(folder: Path) -> list[pydicom.FileDataset]:
    return [pydicom.dcmread(path) for path in sorted((folder / "phantom_dicom").iterdir())]


@pytest.mark.slow
def test_the_script_makes_the_same_image_and_labels_again(made_again: Path) -> None:
    again, stored = (nib.load(folder / "phantom.nii.gz") for folder in (made_again, sample_folder()))
    # Another processor may round the last bit of a transform differently, which can move a voxel by one grey level.
    np.testing.assert_allclose(np.asarray(again.dataobj, int), np.asarray(stored.dataobj, int), rtol=0, atol=1)
    np.testing.assert_array_equal(again.affine, stored.affine)
    again, stored = (nib.load(folder / "phantom_labels.nii.gz") for folder in (made_again, sample_folder()))
    assert np.mean(np.asarray(again.dataobj) != np.asarray(stored.dataobj)) < 1e-4


@pytest.mark.slow
def test_the_script_makes_the_same_series_again(made_again: Path) -> None:
    for again, stored in zip(stored_slices(made_again), stored_slices(sample_folder()), strict=True):
        assert again.SOPInstanceUID == stored.SOPInstanceUID
        assert again.ImagePositionPatient == stored.ImagePositionPatient
        np.testing.assert_allclose(again.pixel_array.astype(int), stored.pixel_array.astype(int), rtol=0, atol=1)


def test_the_series_and_the_volume_show_the_same_voxels_in_the_same_place() -> None:
    volume = nib.load(sample_folder() / "phantom.nii.gz")
    array = np.asarray(volume.dataobj)
    for dataset in stored_slices(sample_folder()):
        k = dataset.InstanceNumber - 1
        np.testing.assert_array_equal(dataset.pixel_array, array[:, :, k].T)
        first_voxel_ras = np.array(dataset.ImagePositionPatient, dtype=float) * (-1, -1, 1)
        np.testing.assert_allclose(first_voxel_ras, volume.affine @ (0, 0, k, 1) @ np.eye(4, 3), atol=1e-4)
        step_ras = np.array(dataset.ImageOrientationPatient[:3], dtype=float) * (-1, -1, 1) * dataset.PixelSpacing[1]
        np.testing.assert_allclose(step_ras, volume.affine[:3, 0], atol=1e-4)


def test_the_file_names_of_the_series_do_not_follow_the_position() -> None:
    heights_mm = [dataset.ImagePositionPatient[2] for dataset in stored_slices(sample_folder())]
    assert heights_mm != sorted(heights_mm)
    assert heights_mm != sorted(heights_mm, reverse=True)


def test_the_sample_is_oblique_anisotropic_and_holds_three_classes() -> None:
    labels = nib.load(sample_folder() / "phantom_labels.nii.gz")
    zooms_mm = labels.header.get_zooms()
    assert nib.aff2axcodes(labels.affine) == ("L", "P", "S")
    assert np.abs(labels.affine[:3, :3] / zooms_mm).max() < 0.9999
    assert max(zooms_mm) > 2 * min(zooms_mm)
    assert np.unique(labels.dataobj).tolist() == [0, 1, 2, 3]


def test_brightness_alone_does_not_tell_the_classes_apart() -> None:
    image, labels = (np.asarray(nib.load(sample_folder() / name).dataobj) for name in NAMES)
    for value in (1, 2, 3):
        low, high = np.percentile(image[labels == value], [10, 90])
        alike = (image >= low) & (image <= high)
        assert np.mean(labels[alike] == value) < 0.5


def test_the_sample_is_small() -> None:
    files = [path for path in sample_folder().rglob("*") if path.suffix in (".gz", ".dcm")]
    assert sum(path.stat().st_size for path in files) < 700_000


def test_a_missing_sample_is_reported_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowsam, "__file__", str(tmp_path / "src" / "knowsam" / "__init__.py"))
    with pytest.raises(InputError, match="make sample-data"):
        sample_folder()


def test_the_sample_inside_an_installed_package_is_found_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "knowsam" / "sample_data"
    inside.mkdir(parents=True)
    (inside / "phantom.nii.gz").touch()
    monkeypatch.setattr(knowsam, "__file__", str(tmp_path / "knowsam" / "__init__.py"))
    assert sample_folder() == inside
