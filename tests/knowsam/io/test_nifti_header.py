"""What a NIfTI header says of place and leaves in doubt is told; what it claims beyond its file is refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import from_matvec

from knowsam.errors import InputError
from knowsam.io.nifti import nifti_frames, read_nifti, read_nifti_labels

if TYPE_CHECKING:
    from knowsam.data.volume import Volume

UPRIGHT = from_matvec(np.diag([-0.7, 0.8, 2.5]), (12.3, -45.6, 7.89))
SHIFTED = from_matvec(np.diag([-0.7, 0.8, 2.5]), (12.3, -45.6, 10.89))
SHEARED = from_matvec([[1, 0, 0], [0, 1, 0.3], [0, 0, 1]], (0, 0, 0))


def written(path: Path, sform: Any = UPRIGHT, qform: Any = UPRIGHT, unit: str = "mm") -> Path:
    image = nib.Nifti1Image(np.ones((4, 5, 6), np.uint8), None)
    image.header["pixdim"][1:4] = (0.7, 0.8, 2.5)
    image.set_sform(sform, code=0 if sform is None else 1)
    image.set_qform(qform, code=0 if qform is None else 1, strip_shears=True)
    image.header.set_xyzt_units(unit)
    image.to_filename(path)
    return path


def edited(path: Path, **fields: Any) -> Path:
    """Change header fields in the file itself, where no library can repair them."""
    content = bytearray(path.read_bytes())
    header = np.frombuffer(content, dtype=nib.nifti1.header_dtype, count=1)
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("read", [read_nifti, read_nifti_labels])
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
def test_what_a_header_leaves_in_doubt_is_told(
    tmp_path: Path, read: Callable[[Path], Volume], header: dict[str, Any], notice: str
) -> None:
    (told,) = read(written(tmp_path / "case.nii", **header)).notices
    assert notice in told


@pytest.mark.parametrize("header", [{}, {"sform": None}, {"qform": None}, {"unit": "unknown"}])
def test_a_header_that_is_in_order_is_no_news(tmp_path: Path, header: dict[str, Any]) -> None:
    assert read_nifti(written(tmp_path / "case.nii", **header)).notices == ()


def test_a_qform_that_is_no_rotation_is_refused_where_there_is_no_sform(tmp_path: Path) -> None:
    path = edited(written(tmp_path / "case.nii", sform=None), quatern_b=3.0)
    with pytest.raises(InputError, match=r"The qform in case\.nii is no rotation"):
        read_nifti(path)


def test_a_qform_that_is_no_rotation_is_told_and_the_sform_used(tmp_path: Path) -> None:
    volume = read_nifti(edited(written(tmp_path / "case.nii"), quatern_b=3.0))
    assert "qform of the file is no rotation" in volume.notices[0]
    np.testing.assert_allclose(volume.grid.affine, UPRIGHT, atol=1e-5)


@pytest.mark.parametrize("spacing", [0.0, np.nan])
def test_a_spacing_that_is_none_does_no_harm_beside_a_sform(tmp_path: Path, spacing: float) -> None:
    path = edited(written(tmp_path / "case.nii", qform=None), pixdim=[1, 1, spacing, 1, 0, 0, 0, 0])
    np.testing.assert_allclose(read_nifti(path).grid.affine, UPRIGHT, atol=1e-5)


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
def test_a_slope_that_is_none_scales_nothing(tmp_path: Path, slope: float) -> None:
    volume = read_nifti(edited(written(tmp_path / "case.nii"), scl_slope=slope, scl_inter=7))
    assert volume.array.dtype == np.uint8
    assert (volume.array == 1).all()


def test_an_intercept_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a readable NIfTI file"):
        read_nifti(edited(written(tmp_path / "case.nii"), scl_slope=1, scl_inter=np.nan))


@pytest.mark.parametrize("read", [read_nifti, read_nifti_labels, nifti_frames])
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
        read_nifti(edited(written(tmp_path / "case.nii"), dim=dim))


@pytest.mark.parametrize("compress", [False, True])
def test_a_file_is_known_as_compressed_by_its_content_not_by_its_name(tmp_path: Path, compress: bool) -> None:
    path = written(tmp_path / "case.nii")
    content = path.read_bytes()
    misnamed = tmp_path / ("packed.nii" if compress else "plain.nii.gz")
    misnamed.write_bytes(gzip.compress(content) if compress else content)
    np.testing.assert_array_equal(read_nifti(misnamed).array, read_nifti(path).array)


def test_a_compressed_file_whose_checksum_is_wrong_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "case.nii.gz")
    content = bytearray(path.read_bytes())
    content[-6] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match="CRC check failed"):
        read_nifti(path)
