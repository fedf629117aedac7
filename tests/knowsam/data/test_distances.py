from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from knowsam.data.distances import signed_distances_mm

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelArray


@pytest.fixture
def square() -> LabelArray:
    """(9, 9): 1 in rows and columns 2 to 6."""
    labels = np.zeros((9, 9), np.uint8)
    labels[2:7, 2:7] = 1
    return labels


def test_distances_grow_inward_and_fall_outward(square: LabelArray) -> None:
    distances = signed_distances_mm(square, 2, (1.0, 1.0))[1]
    assert distances[4].tolist() == [-2, -1, 1, 2, 3, 2, 1, -1, -2]
    assert distances[0, 0] == pytest.approx(-np.sqrt(8))


def test_of_two_classes_each_is_the_inverse_of_the_other(square: LabelArray) -> None:
    background, foreground = signed_distances_mm(square, 2, (1.0, 3.0))
    np.testing.assert_array_equal(background, -foreground)


def test_distances_are_millimetres_along_rows_and_columns(square: LabelArray) -> None:
    distances = signed_distances_mm(square, 2, (2.0, 0.5))[1]
    assert distances[:, 4].tolist() == [-4, -2, 1.5, 1.5, 1.5, 1.5, 1.5, -2, -4]
    assert distances[4].tolist() == [-1, -0.5, 0.5, 1, 1.5, 1, 0.5, -0.5, -1]


@pytest.mark.parametrize(("value", "sign"), [(0, -1), (1, 1)], ids=["absent", "everywhere"])
def test_a_class_without_an_outline_is_as_far_away_or_as_deep_as_the_slice_is_long(value: int, sign: int) -> None:
    distances = signed_distances_mm(np.full((6, 4), value, np.uint8), 2, (0.5, 1.0))
    np.testing.assert_array_equal(distances[1], np.float32(sign * 5.0))
    np.testing.assert_array_equal(distances[0], np.float32(-sign * 5.0))


def test_each_of_several_classes_has_its_own_outline(square: LabelArray) -> None:
    square[2:7, 4:7] = 2
    distances = signed_distances_mm(square, 4, (1.0, 1.0))
    np.testing.assert_array_equal(distances[:3].argmax(0), square)
    np.testing.assert_array_equal((distances > 0).argmax(0), square)
    assert (distances[3] < -9).all()


@pytest.mark.parametrize("most_mm", [0.5, 1.5, 4.0, 7.0, 100.0])
def test_a_limit_changes_nothing_nearer_than_it(most_mm: float) -> None:
    labels = np.kron(np.random.default_rng(0).integers(0, 4, (5, 6)), np.ones((4, 3))).astype(np.uint8)
    labels[:, 12:] = 3
    whole, near = (signed_distances_mm(labels, 6, (1.0, 1.5), most) for most in (1e6, most_mm))
    np.testing.assert_allclose(near, whole.clip(-most_mm, most_mm), rtol=1e-6)
