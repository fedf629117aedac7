"""Names of classes stand in the header of a mask as text that anybody can read, and come back from it."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass
from knowsam.data.volume import Grid
from knowsam.io.class_names import classes_as_text, classes_from_text
from knowsam.io.labels import read_labels, write_labels

GRID = Grid((4, 5, 6), np.diag([-0.7, 0.8, 2.5, 1.0]))
CLASSES = (LabelClass(1, "Leber (rechts)", (230, 75, 53)), LabelClass(300, "腎臓 ñ", (0, 160, 135)))


def labels() -> np.ndarray:
    values = np.zeros(GRID.working_shape, np.uint16)
    values[0, 0, :2] = (1, 300)
    return values


def mask(folder: Path, classes: tuple[LabelClass, ...] = CLASSES, name: str = "mask.nii.gz") -> Path:
    write_labels(folder / name, labels(), GRID, classes)
    return folder / name


@pytest.mark.parametrize("name", ["mask.nii", "mask.nii.gz"])
def test_classes_come_back_with_values_names_and_colours(tmp_path: Path, name: str) -> None:
    assert read_labels(mask(tmp_path, (BACKGROUND_CLASS, *CLASSES), name)).classes == CLASSES


def test_a_nifti_2_file_of_the_other_byte_order_keeps_its_classes(tmp_path: Path) -> None:
    image = nib.Nifti2Image(labels(), GRID.affine, nib.Nifti2Header(endianness=">"))
    image.header.extensions.append(nib.nifti1.Nifti1Extension(6, classes_as_text(CLASSES).encode()))
    image.to_filename(tmp_path / "mask.nii")
    assert read_labels(tmp_path / "mask.nii").classes == CLASSES


def test_nibabel_shows_the_names_as_json(tmp_path: Path) -> None:
    (extension,) = nib.load(mask(tmp_path)).header.extensions
    assert extension.get_code() == 6
    content = json.loads(extension.get_content())
    assert content["label_classes"][1] == {"value": 300, "name": "腎臓 ñ", "color": [0, 160, 135]}


def test_voxels_and_place_are_the_same_with_and_without_names(tmp_path: Path) -> None:
    named, plain = nib.load(mask(tmp_path)), nib.load(mask(tmp_path, (), "plain.nii.gz"))
    np.testing.assert_array_equal(np.asarray(named.dataobj), np.asarray(plain.dataobj))
    np.testing.assert_array_equal(named.affine, plain.affine)
    assert not plain.header.extensions


def test_simpleitk_reads_a_mask_with_names(tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK, another reader of NIfTI, is not installed")
    named, plain = sitk.ReadImage(mask(tmp_path)), sitk.ReadImage(mask(tmp_path, (), "plain.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(named), sitk.GetArrayFromImage(plain))
    assert named.GetOrigin() == plain.GetOrigin()
    assert named.GetDirection() == plain.GetDirection()


def test_a_name_becomes_one_short_line(tmp_path: Path) -> None:
    path = mask(tmp_path, (LabelClass(1, '"left"\n\x00 kidney \\ ' + "x" * 1000, (0, 0, 0)),))
    (label_class,) = read_labels(path).classes
    assert label_class.name.startswith('"left" kidney \\ xxx')
    assert len(label_class.name) == 64


def test_a_name_that_no_text_can_hold_does_not_stop_a_mask(tmp_path: Path) -> None:
    (label_class,) = read_labels(mask(tmp_path, (LabelClass(1, "a\ud800b", (0, 0, 0)),))).classes
    assert label_class.name == "a b"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"processed by FSL",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"[1]",
        b'{"label_classes": 3}',
        b'{"label_classes": [3, null, {"value": 1}]}',
        b'{"label_classes": [{"value": 0, "name": "a", "color": [1, 2, 3]}]}',
        b'{"label_classes": [{"value": 1e999, "name": "a", "color": [1, 2, 3]}]}',
        b'{"label_classes": [{"value": 1, "name": "a", "color": [1, 2, 256]}]}',
        b'{"label_classes": [{"value": 1, "name": " ", "color": [1, 2, 3]}]}',
    ],
)
def test_a_comment_of_something_else_names_nothing(text: bytes) -> None:
    assert classes_from_text(text) == ()


def test_of_two_names_for_one_value_the_first_holds() -> None:
    twice = (LabelClass(1, "first", (1, 2, 3)), LabelClass(1, "second", (1, 2, 3)))
    assert classes_from_text(classes_as_text(twice).encode()) == twice[:1]


@pytest.mark.parametrize("size", [0, 7, 8, -16, 1 << 30])
def test_an_extension_of_impossible_size_is_ignored(tmp_path: Path, size: int) -> None:
    path = mask(tmp_path, name="mask.nii")
    content = bytearray(path.read_bytes())
    struct.pack_into("<i", content, 352, size)
    path.write_bytes(content)
    read = read_labels(path)
    assert read.classes == ()
    np.testing.assert_array_equal(read.array, labels())


def test_extensions_of_other_programs_are_passed_over(tmp_path: Path) -> None:
    image = nib.load(mask(tmp_path))
    image.header.extensions.insert(0, nib.nifti1.Nifti1Extension(4, b"<AFNI_attributes/>"))
    image.header.extensions.insert(0, nib.nifti1.Nifti1Extension(6, b"made by hand"))
    image.to_filename(tmp_path / "mask.nii")
    assert read_labels(tmp_path / "mask.nii").classes == CLASSES
