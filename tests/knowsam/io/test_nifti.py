"""NIfTI in and out: values, axis order and header geometry survive; what cannot be used is refused in words."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine, from_matvec
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from knowsam.data.volume import Grid, Volume
from knowsam.errors import InputError, OutputError
from knowsam.io.image import image_choices, read_volume
from knowsam.io.labels import read_labels, write_labels

SHAPE = (4, 5, 6)
OBLIQUE = from_matvec(
    Rotation.from_euler("xyz", [10, -20, 5], degrees=True).as_matrix() @ np.diag([-0.7, 0.8, 2.5]), (12.3, -45.6, 7.89)
)
OTHER = from_matvec(np.diag([0.7, -0.8, 2.5]), (1.0, 2.0, 3.0))
GEOMETRY_FIELDS = (
    *("qform_code", "sform_code", "xyzt_units", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
)
SHARED_DATA = Path(__file__).parents[4] / "shared" / "data"


def ramp(dtype: Any = np.int16) -> NDArray[Any]:
    return np.arange(np.prod(SHAPE), dtype=dtype).reshape(SHAPE)


def image_of(array: NDArray[Any], affine: NDArray[np.float64] = OBLIQUE) -> nib.Nifti1Image:
    return nib.Nifti1Image(array, affine)


def saved(image: nib.Nifti1Image, path: Path) -> Path:
    image.to_filename(path)
    return path


def with_forms(sform: int, qform: int, *, qform_affine: NDArray[np.float64] = OBLIQUE) -> nib.Nifti1Image:
    image = image_of(ramp(np.uint8))
    image.set_sform(OBLIQUE if sform else None, code=sform)
    image.set_qform(qform_affine if qform else None, code=qform)
    return image


def with_patient(image: nib.Nifti1Image) -> nib.Nifti1Image:
    for field in ("descrip", "db_name", "aux_file", "intent_name"):
        image.header[field] = b"DOE JANE"
    return image


def geometry_bytes(path: Path) -> list[bytes]:
    """Return the geometry as it stands in the file, in native byte order."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as opened:
        header_type = nib.load(path).header_class
        header = header_type.from_fileobj(opened, check=False).as_byteswapped("<")
    return [header[field].tobytes() for field in GEOMETRY_FIELDS] + [header["pixdim"][:4].tobytes()]


def raw_edit(path: Path, **fields: Any) -> Path:
    """Change header fields in the file itself, where no library can repair them."""
    content = bytearray(path.read_bytes())
    header = np.frombuffer(content, dtype=nib.nifti1.header_dtype, count=1)
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".NII.GZ"])
def test_unscaled_integers_keep_type_and_place(tmp_path: Path, dtype: type, suffix: str) -> None:
    volume = read_volume(saved(image_of(ramp(dtype)), tmp_path / f"case{suffix}"))
    assert volume.array.dtype == dtype
    index = tuple(np.argwhere(volume.array == ramp()[1, 2, 3])[0])
    np.testing.assert_allclose(apply_affine(volume.affine, index), apply_affine(OBLIQUE, (1, 2, 3)), atol=1e-4)


@pytest.mark.parametrize("name", ["case.7.nii", "case.7.nii.gz", "case.7.NII.GZ"])
def test_the_volume_is_called_after_its_file_without_folder_and_suffix(tmp_path: Path, name: str) -> None:
    assert read_volume(saved(image_of(ramp()), tmp_path / name)).name == "case.7"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_become_float32(tmp_path: Path, dtype: type) -> None:
    volume = read_volume(saved(image_of(ramp(dtype) / 2), tmp_path / "case.nii"))
    assert volume.array.dtype == np.float32
    assert sorted(volume.array.flat) == [value / 2 for value in range(120)]


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.uint32, np.int64])
def test_grey_values_too_far_from_zero_for_float32_are_moved_with_a_notice(tmp_path: Path, dtype: type) -> None:
    values = ramp(dtype) + np.array(2_000_000_000, dtype)
    values[0, 0, 0] = 0
    image = nib.Nifti1Image(values, OBLIQUE, dtype=dtype)
    image.header["cal_min"], image.header["cal_max"] = 2_000_000_000, 2_000_000_256
    volume = read_volume(saved(image, tmp_path / "case.nii.gz"))
    assert sorted(volume.array.flat)[1:] == list(range(119))
    assert "2000000001 was subtracted" in volume.notices[0]
    assert volume.display_range == (-1, 255)


def test_labels_and_integers_that_float32_holds_stay_as_they_are(tmp_path: Path) -> None:
    values = ramp(np.int32) + np.int32(16_000_000)
    path = saved(nib.Nifti1Image(values, OBLIQUE), tmp_path / "case.nii")
    assert (read_volume(path).array.dtype, read_volume(path).notices) == (np.int32, ())
    large = saved(nib.Nifti1Image(values + np.int32(2_000_000_000), OBLIQUE), tmp_path / "large.nii")
    assert read_labels(large).array.min() == 2_016_000_000


def test_scaled_integers_are_rescaled(tmp_path: Path) -> None:
    image = image_of(ramp())
    image.header.set_slope_inter(0.5, -10)
    volume = read_volume(raw_edit(saved(image, tmp_path / "case.nii"), scl_slope=0.5, scl_inter=-10))
    assert volume.array.dtype == np.float32
    assert sorted(volume.array.flat) == [value / 2 - 10 for value in range(120)]


def test_big_endian_files_are_read_in_native_order(tmp_path: Path) -> None:
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.dtype(">i2"))
    volume = read_volume(saved(nib.Nifti1Image(ramp(), OBLIQUE, header), tmp_path / "case.nii"))
    assert volume.array.dtype == np.int16
    assert volume.array.dtype.isnative
    assert sorted(volume.array.flat) == list(range(120))


def test_one_frame_of_a_4d_file_is_a_volume(tmp_path: Path) -> None:
    volume = read_volume(saved(image_of(ramp()[..., None]), tmp_path / "case.nii"))
    assert volume.grid.shape == SHAPE


def four_frames(path: Path) -> Path:
    frames = [ramp() + 1000 * number for number in range(1, 5)]
    return saved(image_of(np.stack(frames, axis=-1).reshape(*SHAPE, 2, 2, order="F")), path)


@pytest.mark.parametrize("name", ["case.nii", "case.nii.gz"])
def test_a_chosen_frame_is_read_counted_from_one(tmp_path: Path, name: str) -> None:
    path = four_frames(tmp_path / name)
    assert [choice.description for choice in image_choices(path)] == [f"frame {n} of 4" for n in range(1, 5)]
    for number in range(1, 5):
        assert sorted(read_volume(path, number).array.flat) == [value + 1000 * number for value in range(120)]


@pytest.mark.parametrize("number", [0, 5])
def test_a_frame_that_there_is_not_is_refused(tmp_path: Path, number: int) -> None:
    with pytest.raises(InputError, match=f"There are 4 images, and {number} fits none of them"):
        read_volume(four_frames(tmp_path / "case.nii"), number)


def test_a_volume_does_not_change_with_its_file(tmp_path: Path) -> None:
    path = saved(image_of(ramp(), np.diag([-1.0, -1.0, -1.0, 1.0])), tmp_path / "case.nii")
    volume = read_volume(path)
    with path.open("r+b") as opened:
        opened.write(bytes(path.stat().st_size))
    assert sorted(volume.array.flat) == list(range(120))


@pytest.mark.parametrize(("unit", "mm"), [("meter", 1000.0), ("mm", 1.0), ("micron", 0.001), ("unknown", 1.0)])
def test_spacing_is_in_mm_whatever_the_unit_of_the_file(tmp_path: Path, unit: str, mm: float) -> None:
    image = image_of(ramp())
    image.header.set_xyzt_units(unit, "sec")
    volume = read_volume(saved(image, tmp_path / "case.nii"))
    assert volume.grid.spacing_mm == pytest.approx((0.7 * mm, 0.8 * mm, 2.5 * mm))


@pytest.mark.parametrize(
    ("image", "affine"),
    [
        (with_forms(2, 0), OBLIQUE),
        (with_forms(0, 1), OBLIQUE),
        (with_forms(1, 1, qform_affine=OTHER), OBLIQUE),
    ],
    ids=["sform only", "qform only", "both, different: sform"],
)
def test_the_affine_comes_from_the_form_that_holds(
    tmp_path: Path, image: nib.Nifti1Image, affine: NDArray[np.float64]
) -> None:
    np.testing.assert_allclose(read_volume(saved(image, tmp_path / "a.nii")).grid.affine, affine, atol=1e-5)


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (-50, 60, (-50.0, 60.0)),
        (0, 0, None),
        (60, 10, None),
        (np.nan, 60, None),
        (0, np.inf, None),
    ],
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_the_display_range_of_the_header_is_kept_if_it_is_one(
    tmp_path: Path, suffix: str, low: float, high: float, shown: tuple[float, float] | None
) -> None:
    image = image_of(ramp())
    image.header["cal_min"], image.header["cal_max"] = low, high
    assert read_volume(saved(image, tmp_path / f"case{suffix}")).display_range == shown


def rgb_image() -> nib.Nifti1Image:
    return image_of(np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]))


def with_non_finite() -> nib.Nifti1Image:
    array = ramp(np.float32)
    array[0, 0, :3] = (np.nan, np.inf, -np.inf)
    return image_of(array)


@pytest.mark.parametrize(
    ("read", "message"),
    [(read_volume, "There are 3 images(.|\n)*Pick it with --pick"), (read_labels, "holds 3 images.*as their own file")],
)
def test_a_file_of_several_images_is_refused_with_their_number_and_the_remedy(
    tmp_path: Path, read: Callable[[Path], Volume], message: str
) -> None:
    path = saved(image_of(np.zeros((*SHAPE, 3), np.uint8)), tmp_path / "case.nii")
    with pytest.raises(InputError, match=message):
        read(path)


@pytest.mark.parametrize("read", [read_volume, read_labels])
@pytest.mark.parametrize(
    ("image", "message"),
    [
        (image_of(np.zeros((4, 5), np.uint8)), r"shape \(4, 5\).*3D"),
        (rgb_image(), "real numbers"),
        (image_of(np.zeros(SHAPE, np.complex64)), "real numbers"),
        (with_non_finite(), "3 of [0-9]+ voxels of .* are NaN or infinite"),
    ],
    ids=["2D", "RGB", "complex", "not finite"],
)
def test_what_is_no_volume_of_numbers_is_refused(
    tmp_path: Path, read: Callable[[Path], Volume], image: nib.Nifti1Image, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read(saved(image, tmp_path / "case.nii"))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        read_volume(tmp_path / "case.nii")


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x1f\x8bgarbage" * 100, bytes(1000)])
@pytest.mark.parametrize("name", ["case.nii", "case.nii.gz"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="not a readable NIfTI file"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("name", ["case.nii", "case.nii.gz"])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 1000, (20, 20, 20)).astype(np.int16)
    path = saved(image_of(noise), tmp_path / name)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match="damaged or cut off"):
        read_volume(path)


@pytest.mark.parametrize("spacing", [0.0, np.nan])
def test_a_spacing_that_is_none_is_refused(tmp_path: Path, spacing: float) -> None:
    path = raw_edit(saved(with_forms(0, 1), tmp_path / "case.nii"), pixdim=[1, 1, spacing, 1, 0, 0, 0, 0])
    with pytest.raises(InputError, match="must be finite and not zero"):
        read_volume(path)


def test_a_singular_sform_is_refused(tmp_path: Path) -> None:
    path = raw_edit(saved(with_forms(2, 0), tmp_path / "case.nii"), srow_x=[0, 0, 0, 5])
    with pytest.raises(InputError, match="three independent axes"):
        read_volume(path)


@pytest.mark.parametrize(
    ("stored", "largest", "read_as"),
    [(np.float32, 2, np.uint8), (np.int16, 300, np.uint16), (np.uint16, 65535, np.uint16), (np.int32, 70000, np.int32)],
)
def test_labels_come_in_the_smallest_type_that_holds_them(
    tmp_path: Path, stored: type, largest: int, read_as: type
) -> None:
    array = np.zeros(SHAPE, dtype=stored)
    array[0, 0, 0] = largest
    volume = read_labels(saved(image_of(array), tmp_path / "labels.nii.gz"))
    assert volume.array.dtype == read_as
    assert volume.array.max() == largest


@pytest.mark.parametrize(("value", "message"), [(-1.0, "such as -1"), (0.5, "such as 0.5"), (3e9, "such as 3")])
def test_values_that_are_no_labels_are_refused(tmp_path: Path, value: float, message: str) -> None:
    array = np.zeros(SHAPE)
    array[1, 1, 1] = value
    with pytest.raises(InputError, match=f"holds values that are no labels, {message}"):
        read_labels(saved(image_of(array), tmp_path / "labels.nii"))


@pytest.mark.parametrize(
    "image",
    [with_forms(2, 0), with_forms(0, 1), with_forms(1, 3, qform_affine=OTHER), with_forms(0, 0)],
    ids=["sform only", "qform only", "both, different", "none"],
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_mask_gets_values_shape_and_geometry_back_to_the_bit(
    tmp_path: Path, image: nib.Nifti1Image, suffix: str
) -> None:
    source = saved(with_patient(image), tmp_path / f"source{suffix}")
    labels = read_labels(source)
    written = tmp_path / f"mask{suffix}"
    write_labels(written, labels.array, labels.grid)
    np.testing.assert_array_equal(np.asarray(nib.load(written).dataobj), ramp())
    assert geometry_bytes(written) == geometry_bytes(source)


def test_header_values_that_nibabel_would_repair_are_kept(tmp_path: Path) -> None:
    source = raw_edit(saved(with_forms(2, 0), tmp_path / "source.nii"), pixdim=[0, -1, 0, 2, 0, 0, 0, 0], xyzt_units=99)
    labels = read_labels(source)
    write_labels(tmp_path / "mask.nii", labels.array, labels.grid)
    assert geometry_bytes(tmp_path / "mask.nii") == geometry_bytes(source)


def test_a_nifti_2_file_gives_a_nifti_2_mask_with_all_its_digits(tmp_path: Path) -> None:
    source = saved(nib.Nifti2Image(ramp(np.uint8), OBLIQUE), tmp_path / "source.nii")
    labels = read_labels(source)
    write_labels(tmp_path / "mask.nii", labels.array, labels.grid)
    assert geometry_bytes(tmp_path / "mask.nii") == geometry_bytes(source)
    np.testing.assert_array_equal(nib.load(tmp_path / "mask.nii").affine, OBLIQUE)


def test_nothing_but_geometry_is_taken_over_from_the_header(tmp_path: Path) -> None:
    source = saved(with_patient(with_forms(1, 1)), tmp_path / "source.nii")
    labels = read_labels(source)
    write_labels(tmp_path / "mask.nii", labels.array, labels.grid)
    assert b"DOE" in source.read_bytes()
    assert b"DOE" not in (tmp_path / "mask.nii").read_bytes()


def test_a_mask_without_header_has_the_affine_in_both_forms(tmp_path: Path) -> None:
    grid = Grid(SHAPE, OBLIQUE)
    write_labels(tmp_path / "mask.nii.gz", np.ones(grid.working_shape, np.uint8), grid)
    header = nib.load(tmp_path / "mask.nii.gz").header
    assert (header["sform_code"], header["qform_code"]) == (1, 1)
    assert header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(header.get_sform(), OBLIQUE, atol=1e-5)
    np.testing.assert_allclose(header.get_qform(), OBLIQUE, atol=1e-5)


@pytest.mark.parametrize(("largest", "stored"), [(255, np.uint8), (256, np.uint16), (65536, np.int32)])
def test_a_mask_is_stored_as_small_as_its_values_allow(tmp_path: Path, largest: int, stored: type) -> None:
    grid = Grid(SHAPE, OBLIQUE)
    write_labels(tmp_path / "mask.nii", np.full(grid.working_shape, largest, np.int64), grid)
    assert nib.load(tmp_path / "mask.nii").get_data_dtype() == stored


@pytest.mark.parametrize(
    "labels",
    [np.zeros(SHAPE, np.uint8), np.full(SHAPE[::-1], -1), np.full(SHAPE[::-1], 2**40), np.full(SHAPE[::-1], 1.5)],
    ids=["shape", "negative", "too large", "no integers"],
)
def test_labels_that_do_not_fit_are_a_programming_error(tmp_path: Path, labels: NDArray[np.integer]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        write_labels(tmp_path / "mask.nii", labels, Grid(SHAPE, OBLIQUE))


def test_an_existing_file_is_replaced_only_on_request(tmp_path: Path) -> None:
    grid, path = Grid(SHAPE, OBLIQUE), tmp_path / "mask.nii"
    path.write_bytes(b"older")
    labels = np.ones(grid.working_shape, np.uint8)
    with pytest.raises(OutputError, match="exists already"):
        write_labels(path, labels, grid)
    assert path.read_bytes() == b"older"
    write_labels(path, labels, grid, overwrite=True)
    assert read_labels(path).array.all()


def test_a_write_that_fails_leaves_the_older_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_disk(image: nib.Nifti1Image, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nib.Nifti1Image, "to_filename", fill_disk)
    grid, path = Grid(SHAPE, OBLIQUE), tmp_path / "mask.nii"
    path.write_bytes(b"older")
    with pytest.raises(OutputError, match="No space left on device"):
        write_labels(path, np.ones(grid.working_shape, np.uint8), grid, overwrite=True)
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the shared real volumes are not on this machine")
@pytest.mark.parametrize("pattern", ["hippocampus/labels/*_0[01]*.nii.gz", "left_atrium/*_01_label.nii.gz"])
def test_real_labels_come_back_with_their_geometry(tmp_path: Path, pattern: str) -> None:
    sources = sorted(SHARED_DATA.glob(pattern))
    assert sources
    for source in sources:
        labels = read_labels(source)
        written = tmp_path / source.name
        write_labels(written, labels.array, labels.grid)
        np.testing.assert_array_equal(np.asarray(nib.load(written).dataobj), np.asarray(nib.load(source).dataobj))
        assert geometry_bytes(written) == geometry_bytes(source)
