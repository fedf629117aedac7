from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from knowsam.data.intensity import HOUNSFIELD, UnitScale, intensity_range, shown_range, unit_scale
from knowsam.data.volume import Grid, Volume

SHAPE = (8, 64, 64)
Z, Y, X = np.indices(SHAPE)
BODY = (Y - 32) ** 2 + (X - 32) ** 2 < 24**2
OUTSIDE_CIRCLE = (Y - 31.5) ** 2 + (X - 31.5) ** 2 > 31.5**2
NOISE = np.random.default_rng(0).normal(0, 12, SHAPE)

Image = NDArray[np.float64]


def ct() -> Image:
    """Air, fat, muscle and an organ, in HU."""
    hu = np.where(BODY, 40.0, -1000.0)
    hu[BODY & ((Y - 32) ** 2 + (X - 32) ** 2 > 21**2)] = -100
    hu[(Y - 32) ** 2 + (X - 32) ** 2 < 8**2] = 130
    return np.rint(hu + NOISE).clip(-1024, 3071)


def brain() -> Image:
    """A brain of 100 to 500 on a ground of 0, as skull-stripping leaves it."""
    return np.where(BODY, np.rint(300 + 180 * np.sin(Y / 5) + NOISE), 0)


def volume_of(array: Image, **attributes: tuple[float, float]) -> Volume:
    affine = np.array([[0.0, 0, -1, 0], [0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]])
    return Volume(array, Grid(array.shape, affine), **attributes)  # type: ignore[arg-type]


def test_the_range_leaves_out_the_given_share_at_both_ends() -> None:
    assert intensity_range(np.arange(1001), 0.5) == (5.0, 995.0)


def test_without_clipping_the_range_is_that_of_the_voxels() -> None:
    assert intensity_range(np.array([[3, -7], [5, 1]], dtype=np.int16), 0.0) == (-7.0, 5.0)


@pytest.mark.parametrize("clip_percent", [0.0, 0.5, 3.7])
@pytest.mark.parametrize("count", [40, 999, 1000])
def test_the_range_of_an_ordinary_image_is_that_of_its_percentiles(count: int, clip_percent: float) -> None:
    array = np.random.default_rng(count).gamma(2.0, 100.0, count)
    expected = np.percentile(array, (clip_percent, 100 - clip_percent))
    np.testing.assert_allclose(intensity_range(array, clip_percent), expected)


def test_a_few_bright_voxels_on_flat_ground_do_not_vanish() -> None:
    array = np.zeros(10_000, dtype=np.uint8)
    array[:3] = 200
    assert intensity_range(array, 0.5) == (0.0, 200.0)


@pytest.mark.parametrize("columns", [1000, 1024, 3000])
def test_a_big_volume_is_measured_on_a_sample_that_meets_every_column(columns: int) -> None:
    array = np.broadcast_to(np.arange(columns), (3, 1000, columns))
    low, high = intensity_range(array, 1.0)
    assert (low, high) == pytest.approx((0.01 * columns, 0.99 * columns), abs=0.005 * columns)
    assert intensity_range(array, 1.0) == (low, high)


@pytest.mark.parametrize("padding", [-32768, 32767, 65535])
@pytest.mark.parametrize("padded", [OUTSIDE_CIRCLE, OUTSIDE_CIRCLE & (Z < 1), Z > 0], ids=["ring", "slice", "most"])
def test_padding_has_no_part_in_the_range(padding: int, padded: NDArray[np.bool_]) -> None:
    array = 1000 + 10 * NOISE
    array[padded] = padding
    np.testing.assert_allclose(intensity_range(array, 0.5), np.percentile(array[~padded], (0.5, 99.5)))


def test_two_kinds_of_padding_and_an_annotation_burnt_in_have_no_part_in_the_range() -> None:
    array = 1000 + 10 * NOISE
    array[OUTSIDE_CIRCLE], array[:, :5], array[:, :5, :20] = -2000, -2048, 65535
    measured = array[(array > -2000) & (array < 65535)]
    np.testing.assert_allclose(intensity_range(array, 0.5), np.percentile(measured, (0.5, 99.5)))


def test_one_extreme_voxel_has_no_part_in_the_range() -> None:
    array = (1000 + 10 * NOISE).astype(np.float32)
    before = intensity_range(array, 0.5)
    array[0, 0, 0] = 3e38
    assert intensity_range(array, 0.5) == pytest.approx(before, abs=1.0)


def test_known_padding_has_no_part_in_the_range_even_among_the_measured_values() -> None:
    array = np.repeat(np.arange(100), 10)
    assert intensity_range(array, 0.0, padding=(0, 9)) == (10.0, 99.0)


def test_known_padding_that_is_all_there_is_counts() -> None:
    assert intensity_range(np.arange(100), 0.0, padding=(-5, 200)) == (0.0, 99.0)


@pytest.mark.parametrize("ground", [0.7, 0.99])
def test_the_more_ground_there_is_the_range_of_the_brain_stays(ground: float) -> None:
    values = np.arange(10_000) % 1000
    voxels = np.concatenate([values, np.zeros(round(10_000 * ground / (1 - ground)))])
    assert intensity_range(voxels, 0.5) == pytest.approx((0, 994), abs=1)


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (0, 1, 255), (0, 100, 200)])
def test_of_a_mask_no_value_is_padding(values: tuple[int, ...]) -> None:
    mask = np.repeat(np.array(values), 1000)
    assert intensity_range(mask, 0.0) == (values[0], values[-1])


@pytest.mark.parametrize("padding", [None, -1024, -1200, -2000, -2048, -3024, -32768, 32767])
def test_a_ct_has_one_scale_whatever_pads_it(padding: int | None) -> None:
    array = ct()
    if padding is not None:
        array[OUTSIDE_CIRCLE] = padding
    assert unit_scale(array, 0.5) is HOUNSFIELD
    assert intensity_range(array, 0.5) == pytest.approx((-1024, 160), abs=15)


def test_padding_that_was_resampled_with_a_ct_has_no_part_in_the_range() -> None:
    array = ct()
    array[OUTSIDE_CIRCLE] = -2000
    resampled = (array[:, 1:, 1:] + array[:, :-1, 1:] + array[:, 1:, :-1] + array[:, :-1, :-1]) / 4
    assert unit_scale(resampled, 0.5) is HOUNSFIELD
    assert intensity_range(resampled, 0.5) == pytest.approx((-1024, 150), abs=20)


@pytest.mark.parametrize("padded", [OUTSIDE_CIRCLE, ~BODY], ids=["ring", "round the body"])
def test_an_mr_padded_with_the_value_of_air_is_no_ct(padded: NDArray[np.bool_]) -> None:
    array = 300 + 180 * np.sin(Y / 5) + NOISE
    measured = array[~padded]
    array[padded] = -1000
    assert unit_scale(array, 0.5) == UnitScale(tuple(np.percentile(measured, (0.5, 99.5))))


@pytest.mark.parametrize("ground", [-1000, -1024])
def test_an_organ_cut_out_of_a_ct_is_a_ct(ground: int) -> None:
    assert unit_scale(np.where(BODY, 100 + NOISE, ground), 0.5) is HOUNSFIELD


def test_a_crop_of_a_ct_without_air_is_a_ct() -> None:
    assert unit_scale(ct()[:, 10:54, 22:42], 0.5) is HOUNSFIELD


@pytest.mark.parametrize(
    "array",
    [
        brain(),
        brain() - brain().mean(),
        NOISE,
        80 * NOISE,
        ct() + 1024,
        np.linspace(-4096, 4095, 5000),
        BODY.astype(np.uint8),
    ],
    ids=["MR", "MR of mean 0", "difference", "wide difference", "CT with offset", "phase", "mask"],
)
def test_other_images_are_scaled_by_their_range(array: Image) -> None:
    assert unit_scale(array, 0.5) == UnitScale(intensity_range(array, 0.5))


def test_half_of_the_scale_of_ct_is_the_window_of_soft_tissue() -> None:
    levels = HOUNSFIELD(np.array([-32768, -1024, -592, -160, 40, 240, 1000, 3071, 30000], dtype=np.int32))
    np.testing.assert_allclose(levels, [0, 0, 0.125, 0.25, 0.5, 0.75, 0.95, 1, 1], atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
def test_grey_values_of_any_type_come_out_in_the_unit_range(dtype: type[np.generic]) -> None:
    scaled = UnitScale((10.0, 20.0))(np.array([0, 10, 15, 20, 99], dtype=dtype))
    assert scaled.dtype == np.float32
    assert scaled.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.uint32])
def test_grey_values_far_from_zero_are_distinguished(dtype: type[np.generic]) -> None:
    array = 4_000_000_000 + np.arange(5, dtype=dtype)
    np.testing.assert_allclose(UnitScale((4e9, 4e9 + 4))(array), np.linspace(0, 1, 5))


def test_values_beyond_the_range_of_floats_are_clipped() -> None:
    assert UnitScale((0.0, 0.5))(np.array([-1e300, 3e38, 1e300])).tolist() == [0.0, 1.0, 1.0]


def test_the_given_array_is_not_changed() -> None:
    array = np.array([0.0, 30.0], dtype=np.float32)
    UnitScale((10.0, 20.0))(array)
    assert array.tolist() == [0.0, 30.0]


def test_a_volume_of_one_grey_value_becomes_finite() -> None:
    flat = np.full((2, 3, 3), 7, dtype=np.int16)
    assert np.isfinite(unit_scale(flat, 0.5)(flat)).all()


@pytest.mark.parametrize("asked", [(-160, 240), (-1350, 150), (-500, 900)], ids=["abdomen", "lung", "bone"])
def test_an_image_is_shown_in_the_window_its_file_asks_for(asked: tuple[float, float]) -> None:
    assert shown_range(volume_of(ct(), display_range=asked)) == asked


@pytest.mark.parametrize("asked", [None, (-32768, 32767), (-3024, 3071), (2000, 2100), (5000, 9000)])
def test_a_window_that_the_grey_values_do_not_fill_is_passed_over(asked: tuple[float, float] | None) -> None:
    array = ct()
    array[OUTSIDE_CIRCLE] = -3024
    attributes = {} if asked is None else {"display_range": asked}
    assert shown_range(volume_of(array, **attributes)) == intensity_range(array, 0.5)


def test_known_padding_is_not_shown() -> None:
    assert shown_range(volume_of(brain(), padding=(0.0, 0.0)))[0] > 90


def test_one_grey_value_is_shown_in_a_range_of_some_width() -> None:
    assert shown_range(volume_of(np.full((2, 2, 2), 3.0))) == (3.0, 4.0)
