"""MetaImage: fields old and new are understood, voxels beside the header found, and damage is noticed."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from knowsam.data.orientation import from_working
from knowsam.errors import InputError
from knowsam.io.image import read_volume
from knowsam.io.labels import read_labels

HEADER = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "TransformMatrix": "0 1 0 -1 0 0 0 0 1",
    "Offset": "1 2 3",
    "ElementSpacing": "0.7 0.8 2.5",
    "DimSize": "2 3 4",
    "ElementType": "MET_SHORT",
}
AFFINE = np.array([[0, 0.8, 0, -1], [-0.7, 0, 0, -2], [0, 0, 2.5, 3], [0, 0, 0, 1]])
VALUES = np.arange(24, dtype="<i2").reshape((2, 3, 4), order="F")
VOXELS = VALUES.tobytes(order="F")


def written(path: Path, voxels: bytes = VOXELS, file: str = "LOCAL", **fields: str | None) -> Path:
    """Write a file by hand; a field of None is left out."""
    header = HEADER | fields | {"ElementDataFile": file}
    lines = "".join(f"{name} = {value}\n" for name, value in header.items() if value is not None)
    path.write_bytes(lines.encode() + voxels)
    return path


def test_voxels_come_to_their_place(tmp_path: Path) -> None:
    volume = read_volume(written(tmp_path / "a.mha"))
    np.testing.assert_allclose(volume.grid.affine, AFFINE)
    np.testing.assert_array_equal(np.sort(volume.array, axis=None), np.arange(24))
    assert (volume.array.dtype, volume.name, volume.notices) == (np.int16, "a", ())


@pytest.mark.parametrize(
    "older",
    [
        {"Offset": "Position"},
        {"Offset": "Origin"},
        {"TransformMatrix": "Rotation"},
        {"TransformMatrix": "Orientation"},
    ],
)
def test_older_names_of_fields_mean_the_same(tmp_path: Path, older: dict[str, str]) -> None:
    renamed = dict.fromkeys(older) | {old: HEADER[new] for new, old in older.items()}
    np.testing.assert_allclose(read_volume(written(tmp_path / "a.mha", **renamed)).grid.affine, AFFINE)


def test_other_units_than_mm_are_converted_with_a_notice(tmp_path: Path) -> None:
    volume = read_volume(written(tmp_path / "a.mha", DistanceUnits="cm"))
    np.testing.assert_allclose(volume.grid.affine, np.diag([10, 10, 10, 1]) @ AFFINE)
    assert "lengths in cm" in volume.notices[0]
    assert read_volume(written(tmp_path / "b.mha", DistanceUnits="?")).notices == ()


def test_big_endian_voxels_are_read_in_native_order(tmp_path: Path) -> None:
    voxels = VALUES.astype(">i2").tobytes(order="F")
    volume = read_volume(written(tmp_path / "a.mha", voxels, BinaryDataByteOrderMSB="True"))
    np.testing.assert_array_equal(np.sort(volume.array, axis=None), np.arange(24))
    assert volume.array.dtype.isnative


@pytest.mark.parametrize("compress", [False, True])
def test_voxels_beside_the_header_are_found(tmp_path: Path, compress: bool) -> None:
    (tmp_path / "a.raw").write_bytes(zlib.compress(VOXELS) if compress else VOXELS)
    volume = read_volume(written(tmp_path / "a.mhd", b"", "a.raw", CompressedData=str(compress)))
    np.testing.assert_array_equal(np.sort(volume.array, axis=None), np.arange(24))


@pytest.mark.parametrize(
    ("header_size", "before", "compress"),
    [("-1", 348, False), ("-1", 0, False), ("348", 348, False), ("+348", 348, False), ("348", 348, True)],
)
def test_the_header_of_another_kind_of_file_is_skipped(
    tmp_path: Path, header_size: str, before: int, compress: bool
) -> None:
    (tmp_path / "a.raw").write_bytes(b"\x11" * before + (zlib.compress(VOXELS) if compress else VOXELS))
    fields = {"HeaderSize": header_size, "CompressedData": str(compress)}
    volume = read_volume(written(tmp_path / "a.mhd", b"", "./a.raw", **fields))
    np.testing.assert_array_equal(from_working(volume.array, volume.grid), VALUES)
    assert volume.notices == ()


@pytest.mark.parametrize("compress", [False, True])
def test_a_header_of_another_kind_that_is_longer_than_the_file_is_refused(tmp_path: Path, compress: bool) -> None:
    (tmp_path / "a.raw").write_bytes(zlib.compress(VOXELS) if compress else VOXELS)
    fields = {"HeaderSize": "1" * 30, "CompressedData": str(compress)}
    with pytest.raises(InputError, match="damaged or cut off: its header claims 11111"):
        read_volume(written(tmp_path / "a.mhd", b"", "a.raw", **fields))


def test_a_header_of_another_kind_that_nobody_mentions_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(b"\x11" * 348 + VOXELS)
    (notice,) = read_volume(written(tmp_path / "a.mhd", b"", "a.raw")).notices
    assert "a.raw holds 348 bytes more than its header tells of" in notice


@pytest.mark.parametrize("flag", ["True", "TRUE", "t", "1"])
@pytest.mark.parametrize("name", ["BinaryDataByteOrderMSB", "ElementByteOrderMSB"])
def test_a_flag_may_be_spelt_in_all_ways_that_itk_knows(tmp_path: Path, name: str, flag: str) -> None:
    voxels = VALUES.astype(">i2").tobytes(order="F")
    fields = {"BinaryDataByteOrderMSB": None, "BinaryData": flag, name: flag}
    volume = read_volume(written(tmp_path / "a.mha", voxels, **fields))
    np.testing.assert_array_equal(from_working(volume.array, volume.grid), VALUES)


@pytest.mark.parametrize("file", ["../a.raw", "/etc/passwd", "LIST", "slice%03d.raw 1 4 1", "missing.raw", "", "a.mhd"])
def test_only_a_file_in_the_same_folder_is_taken_for_voxels(tmp_path: Path, file: str) -> None:
    (tmp_path / "below").mkdir()
    for name in ("LIST", "slice%03d.raw 1 4 1"):
        (tmp_path / "below" / name).write_bytes(VOXELS)
    (tmp_path / "a.raw").write_bytes(VOXELS)
    with pytest.raises(InputError, match="one file beside it is needed"):
        read_volume(written(tmp_path / "below" / "a.mhd", b"", file))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"DimSize": "2 3"}, "one 3D image"),
        ({"DimSize": "2 3 4 5", "NDims": "4"}, "one 3D image"),
        ({"DimSize": "2 0 4"}, "one 3D image"),
        ({"DimSize": "a b c"}, "makes no sense"),
        ({"TransformMatrix": "1 0 0"}, "makes no sense"),
        ({"TransformMatrix": "0 0 0 0 0 0 0 0 0"}, "three independent axes"),
        ({"ElementSpacing": "nan 1 1"}, "three independent axes"),
        ({"ElementType": "MET_UCHAR_ARRAY"}, "one real number"),
        ({"ElementNumberOfChannels": "3"}, "one real number"),
        ({"BinaryData": "False"}, "as text"),
        ({"BinaryDataByteOrderMSB": "yes"}, "MSB is yes, but True or False was expected"),
        ({"ElementByteOrderMSB": "True"}, "MSB is False and True, but True or False was expected"),
        ({"CompressedData": ""}, "CompressedData is empty"),
        *(
            ({"HeaderSize": size}, "HeaderSize is")
            for size in ("", "-2", "-348", "348.0", "1e2", "348 bytes", "\u0663")
        ),
        ({"HeaderSize": "348"}, "HeaderSize is"),
        ({"HeaderSize": "-1", "CompressedData": "True"}, "HeaderSize is"),
        ({"DimSize": "200 300 400"}, "header claims 48000.* bytes"),
        ({"DimSize": "2 3 4000000000", "CompressedData": "True"}, "header claims 48000000000 bytes"),
        ({"DimSize": "2 3 40", "CompressedData": "True"}, "damaged or cut off"),
    ],
)
def test_what_is_no_single_image_is_refused(tmp_path: Path, fields: dict[str, str], message: str) -> None:
    compressed = fields.get("CompressedData") == "True"
    with pytest.raises(InputError, match=message):
        read_volume(written(tmp_path / "a.mha", zlib.compress(VOXELS) if compressed else VOXELS, **fields))


@pytest.mark.parametrize("at", [3, 40, -2])
def test_damaged_voxels_are_refused(tmp_path: Path, at: int) -> None:
    noise = np.random.default_rng(0).integers(0, 99, 24, dtype=np.int16).tobytes()
    packed = bytearray(zlib.compress(noise))
    packed[at] ^= 0xFF
    with pytest.raises(InputError, match="damaged or cut off"):
        read_volume(written(tmp_path / "a.mha", bytes(packed), CompressedData="True"))


def test_an_image_is_not_taken_for_labels(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no labels, such as -"):
        read_labels(written(tmp_path / "a.mha", (VALUES - 5).astype("<i2").tobytes(order="F")))
