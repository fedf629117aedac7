"""A doubtful geometry in a NIfTI header is reported; a claim beyond the size of its file is refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import from_matvec

from knowsam.data.volume import grid_difference
from knowsam.errors import InputError
from knowsam.io.image import image_choices, read_volume
from knowsam.io.labels import read_labels, write_labels

if TYPE_CHECKING:
    from knowsam.data.volume import Volume

UPRIGHT = from_matvec(np.diag([-0.7, 0.8, 2.5]), (12.3, -45.6, 7.89))
SHIFTED = from_matvec(np.diag([-0.7, 0.8, 2.5]), (12.3, -45.6, 10.89))
SHEARED = from_matvec([[1, 0, 0], [0, 1, 0.3], [0, 0, 1]], (0, 0, 0))


def written(
    path: Path,
    sform: Any = UPRIGHT,
    qform: Any = UPRIGHT,
    unit: str = "mm",
    version: type[nib.Nifti1Image] = nib.Nifti1Image,
) -> Path:
    image = version(np.ones((4, 5, 6), np.uint8), None)
    image.header["pixdim"][1:4] = (0.7, 0.8, 2.5)
    image.set_sform(sform, code=0 if sform is None else 1)
    image.set_qform(qform, code=0 if qform is None else 1, strip_shears=True)
    image.header.set_xyzt_units(unit)
    image.to_filename(path)
    return path


def edited(path: Path, version: type[nib.Nifti1Image] = nib.Nifti1Image, **fields: Any) -> Path:
    """Change header fields in the file itself, where no library can repair them."""
    content = bytearray(path.read_bytes())
    header = np.frombuffer(content, dtype=version.header_class.template_dtype, count=1)
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("read", [read_volume, read_labels])
@pytest.mark.parametrize(
    ("header", "notice"),
    [
        ({"sform": None, "qform": None}, "neither sform nor qform"),
        ({"qform": SHIFTED}, "up to 3 mm apart. The sform is used"),
        ({"unit": "meter"}, "lengths in metres; they were converted"),
        ({"unit": "micron"}, "lengths in micrometres; they were converted"),
        ({"sform": SHEARED, "qform": None}, "miss the right angle by up to 16.7 degrees"),
    ],
)
def test_doubts_about_a_header_are_reported(
    tmp_path: Path, read: Callable[[Path], Volume], header: dict[str, Any], notice: str
) -> None:
    (found,) = read(written(tmp_path / "case.nii", **header)).notices
    assert notice in found


@pytest.mark.parametrize("header", [{}, {"sform": None}, {"qform": None}, {"unit": "unknown"}])
def test_a_header_that_is_in_order_is_no_news(tmp_path: Path, header: dict[str, Any]) -> None:
    assert read_volume(written(tmp_path / "case.nii", **header)).notices == ()


def test_a_qform_that_is_no_rotation_is_refused_where_there_is_no_sform(tmp_path: Path) -> None:
    path = edited(written(tmp_path / "case.nii", sform=None), quatern_b=3.0)
    with pytest.raises(InputError, match=r"The qform in case\.nii is no rotation"):
        read_volume(path)


@pytest.mark.parametrize("value", [3.0, np.nan])
def test_a_qform_that_is_no_rotation_is_reported_and_the_sform_used(tmp_path: Path, value: float) -> None:
    volume = read_volume(edited(written(tmp_path / "case.nii"), quatern_b=value))
    assert "qform of the file is no rotation" in volume.notices[0]
    np.testing.assert_allclose(volume.grid.affine, UPRIGHT, atol=1e-5)


@pytest.mark.parametrize("version", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("excess", [1e-12, 1e-7, 2e-6, 1e-4, 9e-4])
def test_a_quaternion_made_too_long_by_rounding_is_the_half_turn_it_is_nearest_to(
    tmp_path: Path, version: type[nib.Nifti1Image], excess: float
) -> None:
    half_turn = from_matvec([[0, 0.8, 0], [0.7, 0, 0], [0, 0, -2.5]], (12.3, -45.6, 7.89))
    path, b = written(tmp_path / "case.nii", sform=None, qform=half_turn, version=version), np.sqrt((1 + excess) / 2)
    volume = read_volume(edited(path, quatern_b=b, quatern_c=b, quatern_d=0, version=version))
    np.testing.assert_allclose(volume.grid.affine, half_turn, atol=1e-5)
    assert any("few digits" in notice for notice in volume.notices) == (excess > 1e-6)


@pytest.mark.parametrize(
    ("sform", "words"),
    [
        ({"srow_x": 0, "srow_y": 0, "srow_z": 0}, "sform of the file is all zeros; it is not used"),
        ({"srow_x": [0, 0, 0, 5]}, "no three independent axes"),
        ({"srow_x": [1, 2, 3, 4], "srow_y": [2, 4, 6, 4]}, "no three independent axes"),
        ({"srow_z": np.nan}, "no three independent axes"),
        ({"srow_z": np.inf}, "no three independent axes"),
        ({"sform_code": 77, "srow_x": [9, 0, 0, 0]}, "unknown code 77"),
    ],
)
def test_a_qform_replaces_a_useless_sform(tmp_path: Path, sform: dict[str, Any], words: str) -> None:
    path = edited(written(tmp_path / "case.nii"), **sform)
    volume = read_volume(path)
    np.testing.assert_allclose(volume.grid.affine, UPRIGHT, atol=1e-5)
    assert any(words in notice for notice in volume.notices)
    write_labels(tmp_path / "mask.nii", volume.array, volume.grid)
    assert grid_difference(read_labels(tmp_path / "mask.nii").grid, volume.grid) is None
    assert (nib.load(tmp_path / "mask.nii").header["srow_x"] == nib.load(path).header["srow_x"]).all()


def test_an_sform_and_a_qform_that_are_both_useless_are_refused(tmp_path: Path) -> None:
    path = edited(written(tmp_path / "case.nii"), srow_x=0, quatern_b=3.0)
    with pytest.raises(InputError, match=r"The qform in case\.nii is no rotation"):
        read_volume(path)


@pytest.mark.parametrize("version", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("offset", [0, 1, 348, 351, -352])
def test_voxels_with_an_offset_inside_the_header_are_refused(
    tmp_path: Path, version: type[nib.Nifti1Image], offset: int
) -> None:
    path = edited(written(tmp_path / "case.nii", version=version), vox_offset=offset, version=version)
    with pytest.raises(InputError, match=f"begin at byte {offset}, but in one file they cannot before byte"):
        read_volume(path)


def test_a_header_whose_voxels_are_in_another_file_is_refused(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(np.ones((4, 5, 6), np.uint8), UPRIGHT), tmp_path / "case.img")
    with pytest.raises(InputError, match=r"convert both to \.nii"):
        read_labels(tmp_path / "case.hdr")


def test_an_extension_that_the_voxels_lie_on_is_reported(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.ones((4, 5, 6), np.uint8), UPRIGHT)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 40))
    image.to_filename(tmp_path / "case.nii")
    assert read_volume(tmp_path / "case.nii").notices == ()
    (notice,) = read_volume(edited(tmp_path / "case.nii", vox_offset=352)).notices
    assert "holds 48 bytes more than its header tells of" in notice


@pytest.mark.parametrize("spacing", [0.0, np.nan])
def test_a_spacing_that_is_none_does_no_harm_beside_a_sform(tmp_path: Path, spacing: float) -> None:
    path = edited(written(tmp_path / "case.nii", qform=None), pixdim=[1, 1, spacing, 1, 0, 0, 0, 0])
    np.testing.assert_allclose(read_volume(path).grid.affine, UPRIGHT, atol=1e-5)


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
def test_a_slope_that_is_none_scales_nothing(tmp_path: Path, slope: float) -> None:
    volume = read_volume(edited(written(tmp_path / "case.nii"), scl_slope=slope, scl_inter=7))
    assert volume.array.dtype == np.uint8
    assert (volume.array == 1).all()


def test_an_intercept_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a readable NIfTI file"):
        read_volume(edited(written(tmp_path / "case.nii"), scl_slope=1, scl_inter=np.nan))


@pytest.mark.parametrize("read", [read_volume, read_labels, image_choices])
@pytest.mark.parametrize("compress", [False, True])
def test_a_header_that_claims_more_than_its_file_can_hold_is_refused_before_memory_is_taken(
    tmp_path: Path, read: Callable[[Path], object], compress: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = edited(written(tmp_path / "case.nii"), dim=[3, 30000, 30000, 30000, 1, 1, 1, 1])
    if compress:
        path.write_bytes(gzip.compress(path.read_bytes()))
    monkeypatch.setattr("knowsam.io.voxels.empty_for_working", lambda *_: pytest.fail("memory was taken"))
    with pytest.raises(InputError, match="header claims 27000000000352 bytes, but the file can hold"):
        read(path)


@pytest.mark.parametrize("dim", [[3, 4, 0, 6, 1, 1, 1, 1], [3, 4, -5, 6, 1, 1, 1, 1], [2, 4, 5, 6, 1, 1, 1, 1]])
def test_a_shape_that_is_no_volume_is_refused(tmp_path: Path, dim: list[int]) -> None:
    with pytest.raises(InputError, match="3D image is needed"):
        read_volume(edited(written(tmp_path / "case.nii"), dim=dim))


@pytest.mark.parametrize("compress", [False, True])
def test_a_file_is_known_as_compressed_by_its_content_not_by_its_name(tmp_path: Path, compress: bool) -> None:
    path = written(tmp_path / "case.nii")
    content = path.read_bytes()
    misnamed = tmp_path / ("packed.nii" if compress else "plain.nii.gz")
    misnamed.write_bytes(gzip.compress(content) if compress else content)
    np.testing.assert_array_equal(read_volume(misnamed).array, read_volume(path).array)


def test_a_compressed_file_whose_checksum_is_wrong_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "case.nii.gz")
    content = bytearray(path.read_bytes())
    content[-6] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match="CRC check failed"):
        read_volume(path)
