from __future__ import annotations

import numpy as np
import pytest

from knowsam.data.intensity import intensity_range, to_unit_range


def test_the_range_leaves_out_the_given_share_at_both_ends() -> None:
    assert intensity_range(np.arange(1001), 0.5) == (5.0, 995.0)


def test_without_clipping_the_range_is_that_of_the_voxels() -> None:
    assert intensity_range(np.array([[3, -7], [5, 1]], dtype=np.int16), 0.0) == (-7.0, 5.0)


def test_a_few_bright_voxels_on_flat_ground_do_not_vanish() -> None:
    array = np.zeros(10_000, dtype=np.uint8)
    array[:3] = 200
    assert intensity_range(array, 0.5) == (0.0, 200.0)


def test_a_big_volume_is_measured_on_a_subset() -> None:
    array = np.arange(3_000_000, dtype=np.int32).reshape(3, 1000, 1000)
    assert intensity_range(array, 1.0) == pytest.approx((30_000, 2_970_000), rel=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
def test_grey_values_of_any_type_come_out_in_the_unit_range(dtype: type[np.generic]) -> None:
    scaled = to_unit_range(np.array([0, 10, 15, 20, 99], dtype=dtype), 10.0, 20.0)
    assert scaled.dtype == np.float32
    assert scaled.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_the_given_array_is_not_changed() -> None:
    array = np.array([0.0, 30.0], dtype=np.float32)
    to_unit_range(array, 10.0, 20.0)
    assert array.tolist() == [0.0, 30.0]


def test_a_volume_of_one_grey_value_becomes_finite() -> None:
    flat = np.full((2, 3, 3), 7, dtype=np.int16)
    assert np.isfinite(to_unit_range(flat, *intensity_range(flat, 0.5))).all()
