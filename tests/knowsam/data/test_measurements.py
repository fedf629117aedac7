from __future__ import annotations

import math

import numpy as np
import pytest
from nibabel.affines import from_matvec

from knowsam.data.measurements import Measurement, largest_diameter_mm, measured

OBLIQUE = from_matvec(
    np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]]) @ np.diag([3.0, 1.0, 0.5]), [9.0, -4.0, 70.0]
)


def ellipsoid(radii_vx: tuple[float, float, float]) -> np.ndarray:
    """Return (Z, Y, X), in the middle of an array with a margin of two voxels."""
    axes = [np.arange(-math.ceil(r) - 2, math.ceil(r) + 3) / r for r in radii_vx]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return z**2 + y**2 + x**2 <= 1


@pytest.mark.parametrize("affine", [OBLIQUE, np.diag([3.0, 1.0, 0.5, 1.0])])
def test_a_ball_is_as_wide_as_it_was_drawn(affine: np.ndarray) -> None:
    assert largest_diameter_mm(ellipsoid((10, 30, 60)), affine) == pytest.approx(60, abs=3.1)


def test_the_diameter_is_found_in_any_direction() -> None:
    mask = np.zeros((5, 5, 5), bool)
    mask[0, 0, 0] = mask[4, 4, 4] = True
    # Of two voxels in opposite corners, the farthest faces look along one axis.
    assert largest_diameter_mm(mask, np.eye(4)) == pytest.approx(math.hypot(5, 4, 4))


def test_what_is_one_voxel_thick_and_what_is_one_voxel_have_a_diameter() -> None:
    flat = np.zeros((3, 20, 40), bool)
    flat[1, 2, 5:35] = True
    assert largest_diameter_mm(flat, np.diag([3.0, 1.0, 0.5, 1.0])) == pytest.approx(15)
    assert largest_diameter_mm(np.ones((1, 1, 1), bool), np.diag([3.0, 1.0, 0.5, 1.0])) == pytest.approx(3)


def test_each_class_is_measured_and_absent_ones_are_empty() -> None:
    labels = np.zeros((6, 6, 6), np.uint8)
    labels[1, 2, 1:3], labels[4, 4, 4] = 2, 7
    image = np.zeros(labels.shape, np.int16)
    image[1, 2, 1:3] = 100, 140
    two, five, seven = measured(labels, np.diag([3.0, 1.0, 0.5, 1.0]), [2, 5, 7], image)
    assert two == Measurement(2, pytest.approx(0.003), pytest.approx(math.hypot(3, 0.5)), 1, 120.0, 20.0)
    assert five == Measurement(5, 0.0, 0.0, 0)
    assert (seven.grey_mean, seven.grey_sd) == (0.0, 0.0)


def test_pieces_of_a_class_are_counted_whatever_lies_between_them() -> None:
    labels = np.zeros((4, 5, 9), np.uint8)
    labels[1:3, 1:3, 1:3] = labels[3, 3, 3] = labels[0, 0, 8] = 2
    labels[1, 1, 5:8] = 7
    two, seven = measured(labels, np.eye(4), [2, 7])
    assert (two.pieces, seven.pieces) == (2, 1)


def test_without_an_image_there_are_no_grey_values() -> None:
    (one,) = measured(np.ones((2, 2, 2), np.uint8), np.eye(4), [1])
    assert (one.volume_ml, one.grey_mean, one.grey_sd) == (0.008, None, None)
