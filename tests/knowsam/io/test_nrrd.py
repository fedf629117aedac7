"""NRRD: whatever space a header names, voxels come to their place; what one label per voxel cannot hold is refused."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knowsam.data.annotation import LabelClass
from knowsam.errors import InputError
from knowsam.io.image import read_volume
from knowsam.io.labels import read_labels

HEADER = {
    "type": "int16",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "2 3 4",
    "space directions": "(-0.7,0,0) (0,0.8,0) (0,0,2.5)",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(1,2,3)",
}
VALUES = np.arange(24, dtype="<i2").reshape((2, 3, 4), order="F")


def written(path: Path, voxels: bytes = VALUES.tobytes(order="F"), newline: str = "\n", **fields: str | None) -> Path:
    """Write a file by hand; a field of None is left out, "_" in the name of a field is a space."""
    header = HEADER | {name.replace("_", " ") if name.islower() else name: value for name, value in fields.items()}
    lines = [
        f"{name}{':=' if name[0].isupper() else ': '}{value}" for name, value in header.items() if value is not None
    ]
    path.write_bytes(newline.join(["NRRD0004", "# by hand", *lines, "", ""]).encode() + voxels)
    return path


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (-1, -1, 1)),
        ("LPS", (-1, -1, 1)),
        ("right-anterior-superior", (1, 1, 1)),
        ("left-anterior-superior", (-1, 1, 1)),
    ],
)
def test_the_axes_of_the_space_are_distinguished(tmp_path: Path, space: str, signs: tuple[int, int, int]) -> None:
    volume = read_volume(written(tmp_path / "a.nrrd", space=space))
    expected = np.diag([*signs, 1]) @ np.array([[-0.7, 0, 0, 1], [0, 0.8, 0, 2], [0, 0, 2.5, 3], [0, 0, 0, 1]])
    np.testing.assert_allclose(volume.grid.affine, expected)
    assert volume.notices == ()


def test_a_file_without_anatomical_space_is_reported(tmp_path: Path) -> None:
    scanner = written(tmp_path / "a.nrrd", space="scanner-xyz")
    assert "does not say how it lies in the body" in read_volume(scanner).notices[0]
    bare = written(tmp_path / "b.nrrd", space=None, space_directions=None, space_origin=None, spacings="1 2 3")
    volume = read_volume(bare)
    assert "does not say how it lies in the body" in volume.notices[0]
    assert volume.grid.spacing_mm == (1, 2, 3)


@pytest.mark.parametrize(
    ("centerings", "first"), [(None, (4.5, 6, 7.5)), ("cell cell cell", (4.5, 6, 7.5)), ("node node cell", (4, 5, 7.5))]
)
def test_without_directions_the_first_voxel_lies_at_the_minimum_of_the_axes(
    tmp_path: Path, centerings: str | None, first: tuple[float, float, float]
) -> None:
    bare = {"space": None, "space_directions": None, "space_origin": None, "spacings": "1 2 3"}
    volume = read_volume(written(tmp_path / "a.nrrd", **bare, axis_mins="4 5 6", centerings=centerings))
    assert (volume.grid.affine[:3, 3] * (-1, -1, 1)).tolist() == list(first)


@pytest.mark.parametrize("endian", [None, "middle"])
def test_numbers_of_several_bytes_in_an_unknown_order_are_refused(tmp_path: Path, endian: str | None) -> None:
    with pytest.raises(InputError, match="in which order the bytes of its numbers are"):
        read_volume(written(tmp_path / "a.nrrd", endian=endian))
    assert read_volume(written(tmp_path / "b.nrrd", VALUES.astype("u1").tobytes("F"), type="uchar", endian=endian))


def test_other_units_than_mm_are_converted_with_a_notice(tmp_path: Path) -> None:
    volume = read_volume(written(tmp_path / "a.nrrd", space_units='"cm" "cm" "cm"'))
    assert volume.grid.spacing_mm == pytest.approx((7, 8, 25))
    assert "lengths in cm" in volume.notices[0]


def test_each_axis_may_have_a_unit_of_its_own(tmp_path: Path) -> None:
    mixed = written(tmp_path / "a.nrrd", space_units='"mm" "Millimeters" "cm"')
    assert read_volume(mixed).grid.spacing_mm == pytest.approx((0.7, 0.8, 25))
    bare = written(tmp_path / "b.nrrd", space=None, space_directions=None, spacings="1 2 3", units='"cm" "mm" "m"')
    assert read_volume(bare).grid.spacing_mm == pytest.approx((10, 2, 3000))


@pytest.mark.parametrize("unit", ["inch", "pixel", "s"])
def test_lengths_in_no_known_unit_are_refused(tmp_path: Path, unit: str) -> None:
    with pytest.raises(InputError, match=f"lengths in “{unit}”, but mm"):
        read_volume(written(tmp_path / "a.nrrd", space_units=f'"mm" "mm" "{unit}"'))


@pytest.mark.parametrize(("nrrd_type", "dtype"), [("uchar", "<u1"), ("unsigned short", "<u2"), ("int", ">i4")])
@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_integers_keep_type_and_values(tmp_path: Path, nrrd_type: str, dtype: str, encoding: str, newline: str) -> None:
    voxels = VALUES.astype(dtype).tobytes(order="F")
    packed = gzip.compress(voxels) if encoding == "gzip" else voxels
    endian = "big" if dtype[0] == ">" else "little"
    path = written(tmp_path / "a.nrrd", packed, newline, type=nrrd_type, encoding=encoding, endian=endian)
    volume = read_volume(path)
    assert volume.array.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(np.sort(volume.array, axis=None), np.arange(24))


def test_doubles_become_float32(tmp_path: Path) -> None:
    path = written(tmp_path / "a.nrrd", (VALUES / 2).tobytes(order="F"), type="double")
    assert read_volume(path).array.dtype == np.float32


def test_segments_of_slicer_name_the_classes(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.seg.nrrd",
        type="short",
        Segment0_ID="S7",
        Segment0_Name="rechte Niere ñ: oben",
        Segment0_Color="0.5 0.2 1",
        Segment0_LabelValue="7",
        Segment1_Name="no value of its own",
        Segment2_Name="no number",
        Segment2_LabelValue="seven",
    )
    volume = read_labels(path)
    assert volume.name == "a"
    assert volume.classes == (
        LabelClass(1, "no value of its own", (128, 128, 128)),
        LabelClass(7, "rechte Niere ñ: oben", (128, 51, 255)),
    )


def test_segments_that_give_a_value_two_names_are_refused(tmp_path: Path) -> None:
    twice = {"Segment0_Name": "liver", "Segment0_LabelValue": "3", "Segment1_LabelValue": "3"}
    same = read_labels(written(tmp_path / "a.seg.nrrd", Segment1_Name="liver", **twice))
    assert [(one.value, one.name) for one in same.classes] == [(3, "liver")]
    with pytest.raises(InputError, match="calls the label value 3 both “liver” and “spleen”"):
        read_labels(written(tmp_path / "b.seg.nrrd", Segment1_Name="spleen", **twice))


LAYERS = {"dimension": "4", "sizes": "2 2 3 4", "type": "uchar", "kinds": "list domain domain domain"} | {
    "space_directions": "none (-0.7,0,0) (0,0.8,0) (0,0,2.5)"
}


def layered(path: Path, first: np.ndarray, second: np.ndarray, **fields: str | None) -> Path:
    """Write two layers (2, 3, 4), as 3D Slicer does."""
    voxels = np.stack([first, second]).astype(np.uint8).tobytes(order="F")
    named = {"Segment0_Name": "aorta", "Segment1_Name": "liver", "Segment1_Color": "0 1 0"}
    return written(path, voxels, **LAYERS | named | fields)


def test_layers_of_segments_become_one_in_which_segments_are_numbered(tmp_path: Path) -> None:
    first, second = VALUES < 5, (VALUES > 10) & (VALUES % 3 == 0)
    volume = read_labels(layered(tmp_path / "a.seg.nrrd", first, second))
    plain = read_labels(written(tmp_path / "b.nrrd", (first + 2 * second).astype("<i2").tobytes(order="F")))
    assert np.array_equal(volume.array, plain.array)
    assert np.array_equal(volume.affine, plain.affine)
    assert volume.array.dtype == np.uint8
    assert volume.classes == (LabelClass(1, "aorta", (128, 128, 128)), LabelClass(2, "liver", (0, 255, 0)))


def test_a_layer_may_hold_several_segments(tmp_path: Path) -> None:
    first, second = np.where(VALUES < 3, 4, np.where(VALUES == 7, 9, 0)), VALUES > 20
    path = layered(
        *(tmp_path / "a.seg.nrrd", first, second),
        **{"Segment0_Layer": "0", "Segment0_LabelValue": "9", "Segment1_Layer": "0", "Segment1_LabelValue": "4"},
        **{"Segment2_Layer": "1", "Segment2_LabelValue": "1", "Segment2_Name": "spleen"},
    )
    volume = read_labels(path)
    assert [(c.value, c.name) for c in volume.classes] == [(1, "aorta"), (2, "liver"), (3, "spleen")]
    assert np.bincount(volume.array.ravel()).tolist() == [17, 1, 3, 3]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "the segments aorta and liver overlap in 2 voxels"),
        ({"Segment1_Layer": "7"}, "labels without a segment"),
        ({"Segment1_Name": None}, "labels without a segment"),
        ({"sizes": "2 2 3 0"}, "one 3D image"),
        ({"sizes": "200 2 3 4"}, "header claims"),
        ({"encoding": "bzip2"}, "raw or gzip"),
    ],
)
def test_layers_that_are_no_labels_are_refused(tmp_path: Path, fields: dict[str, str | None], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_labels(layered(tmp_path / "a.seg.nrrd", VALUES < 5, VALUES > 2, **fields))


def test_a_segment_inside_another_one_keeps_its_voxels_with_a_notice(tmp_path: Path) -> None:
    volume = read_labels(layered(tmp_path / "a.seg.nrrd", VALUES == 5, VALUES > 2))
    assert np.bincount(volume.array.ravel()).tolist() == [3, 1, 20]
    assert "aorta in liver" in volume.notices[0]
    assert [c.name for c in volume.classes] == ["aorta", "liver"]


def test_layers_that_follow_the_axes_of_space_are_refused(tmp_path: Path) -> None:
    directions = {"space_directions": "(-0.7,0,0) (0,0.8,0) (0,0,2.5) none"}
    with pytest.raises(InputError, match="three independent axes"):
        read_labels(layered(tmp_path / "a.seg.nrrd", VALUES < 5, VALUES > 10, **directions))


def test_layers_of_segments_are_an_image_as_well(tmp_path: Path) -> None:
    path = layered(tmp_path / "a.seg.nrrd", VALUES < 5, VALUES > 10)
    assert np.array_equal(read_volume(path).array, read_labels(path).array)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dimension": "4", "sizes": "2 2 3 2", "space_directions": "none (1,0,0) (0,1,0) (0,0,1)"}, "one 3D image"),
        ({"sizes": "2 -3 4"}, "one 3D image"),
        ({"sizes": "2 3"}, "one 3D image"),
        ({"sizes": "a b c"}, "not a readable NRRD file"),
        ({"data_file": "../../etc/passwd"}, "another file"),
        ({"encoding": "bzip2"}, "raw or gzip"),
        ({"encoding": None}, "raw or gzip"),
        ({"byte_skip": "-1"}, "raw or gzip"),
        ({"type": "block"}, "real numbers"),
        ({"space_directions": "(1,0) (0,1) (0,0)"}, "no place in 3D"),
        ({"space_directions": "(1,0,0) none (0,0,1)"}, "three independent axes"),
        ({"space_origin": "(1,2)"}, "no place in 3D"),
        ({"sizes": "20 30 40"}, "header claims 48.* bytes"),
        ({"sizes": "2 3 4000000000", "encoding": "gzip"}, "header claims 48000000000 bytes"),
    ],
)
def test_what_is_no_single_image_is_refused(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_labels(written(tmp_path / "a.nrrd", **fields))


def test_more_bytes_than_the_header_claims_are_reported(tmp_path: Path) -> None:
    volume = read_volume(written(tmp_path / "a.nrrd", VALUES.tobytes(order="F") + b"more"))
    assert volume.notices == ("a.nrrd holds 4 bytes more than its header tells of; check that the image looks right.",)


def test_damaged_voxels_are_refused(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(VALUES.tobytes(order="F")))
    packed[-6] ^= 0xFF
    with pytest.raises(InputError, match="damaged or cut off"):
        read_volume(written(tmp_path / "a.nrrd", bytes(packed), encoding="gzip"))
