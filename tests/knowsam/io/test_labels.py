"""One name of a file decides how it is read and written; what cannot be written is refused beforehand."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import nibabel as nib
import numpy as np
import pytest

from knowsam.data.annotation import LabelClass
from knowsam.data.volume import Grid
from knowsam.errors import InputError, OutputError
from knowsam.io.image import read_volume
from knowsam.io.image_file import MASK_SUFFIXES
from knowsam.io.label_values import as_label_values
from knowsam.io.labels import check_labels_writable, read_labels, write_labels

GRID = Grid((4, 5, 6), np.array([[0.0, -0.8, 0, 3], [0.7, 0, 0, -4], [0, 0, 2.5, 5], [0, 0, 0, 1]]))
CLASSES = (LabelClass(1, "Leber links ñ 肝", (230, 75, 53)), LabelClass(300, "b", (1, 2, 3)))


def labels() -> np.ndarray:
    return np.arange(120, dtype=np.uint16).reshape(GRID.working_shape) % 4 * 100


@pytest.mark.parametrize("suffix", [*MASK_SUFFIXES, ".NRRD"])
def test_values_place_and_classes_come_back_from_every_kind_of_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"case.7{suffix}"
    write_labels(path, labels(), GRID, CLASSES)
    read = read_labels(path)
    np.testing.assert_array_equal(read.array, labels())
    np.testing.assert_allclose(read.grid.affine, GRID.affine, atol=1e-6)
    assert (read.name, read.classes, read.notices) == ("case.7", CLASSES, ())


@pytest.mark.parametrize("suffix", MASK_SUFFIXES)
def test_a_file_of_labels_is_an_image_as_well(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"case{suffix}"
    write_labels(path, labels(), GRID)
    np.testing.assert_array_equal(read_volume(path).array, labels())


@pytest.mark.parametrize("name", ["mask.Nii", "mask.nii.GZ"])
def test_an_ending_in_letters_of_both_cases_is_refused_before_anything_is_computed(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=rf"called {name}, but must end in \.nii\.gz"):
        check_labels_writable(tmp_path / name)


@pytest.mark.parametrize(("name", "twin"), [("mask.nii.gz", "mask.nii"), ("mask.nii", "mask.nii.gz")])
def test_a_mask_beside_one_that_other_programs_would_read_for_it_is_refused(
    tmp_path: Path, name: str, twin: str
) -> None:
    zeros = np.zeros(GRID.working_shape, np.uint8)
    write_labels(tmp_path / twin, zeros, GRID)
    with pytest.raises(OutputError, match=rf"{twin} lies in the folder.*would read the voxels of mask\.nii for both"):
        check_labels_writable(tmp_path / name, overwrite=True)
    write_labels(tmp_path / twin, zeros, GRID, overwrite=True)
    write_labels(tmp_path / "mask.nrrd", zeros, GRID)


@pytest.mark.parametrize("suffix", MASK_SUFFIXES)
def test_an_existing_file_is_replaced_only_on_request(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mask{suffix}"
    path.write_bytes(b"older")
    with pytest.raises(OutputError, match="exists already"):
        write_labels(path, labels(), GRID)
    assert path.read_bytes() == b"older"
    write_labels(path, labels(), GRID, overwrite=True)
    np.testing.assert_array_equal(read_labels(path).array, labels())


@pytest.mark.parametrize("suffix", MASK_SUFFIXES)
def test_a_write_that_fails_leaves_the_older_file_and_nothing_else(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_disk(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fill_disk)
    path = tmp_path / f"mask{suffix}"
    path.write_bytes(b"older")
    with pytest.raises(OutputError, match="No space left on device"):
        write_labels(path, labels(), GRID, overwrite=True)
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", MASK_SUFFIXES)
def test_a_file_that_is_missing_or_something_else_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"case{suffix}"
    with pytest.raises(InputError, match="There is no file"):
        read_volume(path)
    for content in (b"", b"\n", b"garbage\n" * 30, bytes(600), b"NRRD0004\n\n", b"NDims = 3\n"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"case.*(Give|Save)"):
            read_volume(path)


def test_a_file_of_another_name_may_be_nifti(tmp_path: Path) -> None:
    nib.Nifti1Image(np.ones((3, 3, 3), np.uint8), np.eye(4)).to_filename(tmp_path / "a.nii")
    (tmp_path / "a.nii").rename(tmp_path / "upload")
    assert read_labels(tmp_path / "upload").array.all()


def test_without_pynrrd_a_nrrd_file_is_refused_with_the_way_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_labels(tmp_path / "a.nrrd", labels(), GRID)
    imported = builtins.__import__

    def without_pynrrd(name: str, *args: Any) -> Any:
        if name == "nrrd":
            raise ImportError(name)
        return imported(name, *args)

    monkeypatch.setattr(builtins, "__import__", without_pynrrd)
    with pytest.raises(InputError, match=r"pip install 'napari-knowsam\[formats\]'"):
        read_labels(tmp_path / "a.nrrd")
    with pytest.raises(OutputError, match=r"pip install 'napari-knowsam\[formats\]'"):
        check_labels_writable(tmp_path / "b.nrrd")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mask.png", r"must end in \.nii\.gz, .* or \.mha"),
        ("missing/mask.nii", "does not exist"),
        ("folder.nii", "is a folder"),
    ],
)
def test_a_result_that_cannot_be_written_is_refused_beforehand(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.nii").mkdir()
    with pytest.raises(OutputError, match=message):
        check_labels_writable(tmp_path / name, overwrite=True)


def test_a_folder_without_write_permission_is_refused_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not by the folder's mode, which does not bind an administrator.
    monkeypatch.setattr("knowsam.io.atomic.TemporaryDirectory", Mock(side_effect=OSError(13, "Permission denied")))
    with pytest.raises(OutputError, match=r"Nothing can be written to .*mask\.nii: Permission denied"):
        check_labels_writable(tmp_path / "mask.nii")


def test_a_name_that_no_drive_takes_is_refused_beforehand(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"File name too long\. Choose another name"):
        check_labels_writable(tmp_path / f"{'long' * 100}.nii")


@pytest.mark.parametrize("stored", [np.uint8, np.int16, np.float32])
def test_labels_that_miss_whole_numbers_by_rounding_are_rounded(tmp_path: Path, stored: type[np.generic]) -> None:
    """As nibabel scales real numbers into a range of integers by itself."""
    values = np.zeros((4, 5, 6))
    values[1:3], values[3] = 0.9999999, 4.9999999 if stored is not np.uint8 else 0
    image = nib.Nifti1Image(values, np.eye(4))
    image.set_data_dtype(stored)
    image.to_filename(tmp_path / "labels.nii")
    read = read_labels(tmp_path / "labels.nii").array
    assert read.dtype == np.uint8
    assert set(np.unique(read)) == set(np.rint(np.unique(values)))


@pytest.mark.parametrize(("value", "shown"), [(0.5, "0.5"), (1.002, "1.002"), (-0.9, "-0.9"), (100000.4, "100000.4")])
def test_values_further_from_whole_numbers_are_no_labels(value: float, shown: str) -> None:
    with pytest.raises(InputError, match=f"no labels, such as {shown},"):
        as_label_values("probability", np.full((1, 1, 1), value))


@pytest.mark.parametrize(("value", "shown"), [(np.int8(-3), "-3"), (np.float32(2**31), "2147483648")])
def test_no_label_is_negative_or_beyond_the_largest_in_any_type(value: np.generic, shown: str) -> None:
    with pytest.raises(InputError, match=f"no labels, such as {shown},"):
        as_label_values("labels", np.full((1, 1, 1), value))


@pytest.mark.parametrize("name", ["labels.nhdr", "labels.mgz", "labels.img", "labels.png"])
def test_labels_of_another_kind_are_refused_with_the_kinds_that_can_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"NRRD0004\n" * 100)
    with pytest.raises(InputError, match=r"none of \.nii\.gz, \.nii, \.nrrd, \.mha, \.mhd"):
        read_labels(tmp_path / name)
