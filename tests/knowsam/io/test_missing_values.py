"""Voxels that are NaN or infinite are refused with the remedy, and are background for whoever says so."""

from __future__ import annotations

import pickle
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from knowsam.errors import InputError, MissingValuesError
from knowsam.io.image import read_image
from knowsam.io.labels import read_labels

GREY = np.arange(100, 160, dtype=np.float32).reshape(3, 4, 5)
MISSING = [(0, 0, 0), (1, 2, 3), (2, 3, 4)]


def with_missing(array: np.ndarray, path: Path) -> Path:
    changed = array.astype(np.float32)
    for place, value in zip(MISSING, (np.nan, np.inf, -np.inf), strict=True):
        changed[place] = value
    # To inferior, posterior and left: the order in which arrays are held here.
    nib.Nifti1Image(changed.T, np.diag([-1, -1, -1, 1])).to_filename(path)
    return path


def test_they_are_refused_and_the_remedy_is_named(tmp_path: Path) -> None:
    path = with_missing(GREY, tmp_path / "case.nii")
    sentence = r"^3 of 60 voxels of case\.nii are NaN or infinite, .*--missing-as-background"
    with pytest.raises(MissingValuesError, match=sentence) as refused:
        read_image(path)
    # The worker of a cluster sends it to where the command was given.
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)
    with pytest.raises(MissingValuesError, match=sentence):
        read_labels(path)


def test_in_an_image_they_get_the_smallest_of_all_other_values_which_counts_as_padding(tmp_path: Path) -> None:
    volume = read_image(with_missing(GREY, tmp_path / "case.nii"), missing_as_background=True)
    expected = GREY.copy()
    for place in MISSING:
        # The first voxel, which held 100, has no value itself.
        expected[place] = 101
    assert (volume.array == expected).all()
    assert volume.padding == (101, 101)
    (notice,) = volume.notices
    assert notice == (
        "3 of 60 voxels of case.nii are NaN or infinite; they were taken for background and got the value 101."
    )


def test_in_a_mask_they_get_no_label_though_all_others_have_one(tmp_path: Path) -> None:
    labels = read_labels(with_missing(np.full_like(GREY, 2), tmp_path / "mask.nii"), missing_as_background=True)
    expected = np.full(GREY.shape, 2)
    for place in MISSING:
        expected[place] = 0
    assert (labels.array == expected).all()


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ((1e39, -1e300), "2 of 60 voxels of case.nii are beyond the 3.4e38 that numbers of 32 bits hold"),
        ((1e39, np.nan), "2 of 60 voxels of case.nii are NaN, infinite or beyond the 3.4e38"),
    ],
)
def test_numbers_too_large_for_32_bits_are_called_so(tmp_path: Path, values: tuple[float, float], fault: str) -> None:
    array = GREY.astype(np.float64)
    array[0, 0, :2] = values
    nib.Nifti1Image(array, np.eye(4)).to_filename(tmp_path / "case.nii")
    with pytest.raises(MissingValuesError, match=fault):
        read_image(tmp_path / "case.nii")


def test_a_whole_image_changes_nothing(tmp_path: Path) -> None:
    nib.Nifti1Image(GREY, np.eye(4)).to_filename(tmp_path / "case.nii")
    asked, plain = (read_image(tmp_path / "case.nii", missing_as_background=yes) for yes in (True, False))
    assert (asked.array == plain.array).all()
    assert (asked.notices, asked.padding) == (plain.notices, plain.padding)


def test_an_image_of_nothing_else_is_refused_in_any_case(tmp_path: Path) -> None:
    nib.Nifti1Image(np.full((2, 3, 4), np.nan), np.eye(4)).to_filename(tmp_path / "case.nii")
    with pytest.raises(InputError, match=r"All voxels of case\.nii are NaN or infinite"):
        read_image(tmp_path / "case.nii", missing_as_background=True)
