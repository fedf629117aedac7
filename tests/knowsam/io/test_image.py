"""One way in for all images, which also turns away what nobody could segment."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from knowsam.errors import InputError
from knowsam.io.image import read_image


def saved(array: np.ndarray, path: Path) -> Path:
    nib.Nifti1Image(array, np.eye(4)).to_filename(path)
    return path


@pytest.mark.parametrize("name", ["case.nii", "case.nii.gz"])
def test_a_nifti_file_is_read(tmp_path: Path, name: str) -> None:
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    volume = read_image(saved(array, tmp_path / name))
    assert volume.shape == (4, 3, 2)
    assert (volume.name, volume.folder) == ("case", tmp_path)


def test_a_folder_is_taken_for_a_dicom_series(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No DICOM images"):
        read_image(tmp_path)


@pytest.mark.parametrize("name", ["slice.dcm", "picture.png", "case.nii.gz.txt"])
def test_another_file_is_refused_with_both_ways_in(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(InputError, match=rf"{name} is no image file by its name\. .*folder that holds all slices"):
        read_image(tmp_path / name)


@pytest.mark.parametrize("name", ["case.nii.gz", "case", "slice.dcm"])
def test_a_missing_path_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="no file"):
        read_image(tmp_path / name)


def test_an_image_of_one_grey_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="All voxels of case have the value 7"):
        read_image(saved(np.full((2, 3, 4), 7, np.int16), tmp_path / "case.nii"))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_image_of_a_single_slice_is_refused(tmp_path: Path, axis: int) -> None:
    array = np.arange(27, dtype=np.int16).reshape(3, 3, 3).take([0], axis)
    with pytest.raises(InputError, match="at least two slices"):
        read_image(saved(array, tmp_path / "case.nii"))
