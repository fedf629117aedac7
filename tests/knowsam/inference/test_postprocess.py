from __future__ import annotations

import numpy as np
import pytest

from knowsam.inference.postprocess import fill_holes, keep_largest_component


def volume() -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    return np.zeros((7, 7, 7), dtype=np.uint8)


def test_only_the_largest_piece_of_a_class_is_kept() -> None:
    labels = volume()
    labels[0:2, 0:2, 0:2] = 1
    labels[4:6, 4:6, 4:7] = 1
    labels[3, 0, 6] = 1
    expected = volume()
    expected[4:6, 4:6, 4:7] = 1
    np.testing.assert_array_equal(keep_largest_component(labels, [1]), expected)


def test_pieces_that_touch_at_a_corner_are_one() -> None:
    labels = volume()
    labels[1, 1, 1] = labels[2, 2, 2] = 1
    np.testing.assert_array_equal(keep_largest_component(labels, [1]), labels)


def test_of_equal_pieces_the_first_is_kept() -> None:
    labels = volume()
    labels[0, 0, 0] = labels[6, 6, 6] = 1
    assert np.flatnonzero(keep_largest_component(labels, [1])).tolist() == [0]


def test_classes_that_are_not_named_keep_their_pieces() -> None:
    labels = volume()
    labels[0, 0, 0] = labels[6, 6, 6] = 2
    labels[0, 0, 6] = labels[6, 0, 0] = 1
    cleaned = keep_largest_component(labels, [1])
    assert np.count_nonzero(cleaned == 2) == 2
    assert np.count_nonzero(cleaned == 1) == 1


@pytest.mark.parametrize("clean", [keep_largest_component, fill_holes])
def test_an_absent_class_changes_nothing_and_the_input_stays_as_it_was(clean: type[keep_largest_component]) -> None:
    labels = volume()
    labels[2, 2, 2] = labels[4, 4, 4] = 1
    labels.flags.writeable = False
    np.testing.assert_array_equal(clean(labels, [3]), labels)


def test_a_cavity_of_background_is_filled_with_the_class_round_it() -> None:
    labels = volume()
    labels[1:6, 1:6, 1:6] = 2
    expected = labels.copy()
    labels[2:4, 3, 3] = 0
    filled = fill_holes(labels, [2])
    np.testing.assert_array_equal(filled, expected)
    assert filled.dtype == labels.dtype


def test_a_tunnel_to_the_border_is_no_hole() -> None:
    labels = volume()
    labels[1:6, 1:6, 1:6] = 1
    labels[3:, 3, 3] = 0
    np.testing.assert_array_equal(fill_holes(labels, [1]), labels)


def test_a_hole_of_one_slice_that_is_open_in_3d_stays() -> None:
    labels = volume()
    labels[3, 1:6, 1:6] = 1
    labels[3, 3, 3] = 0
    np.testing.assert_array_equal(fill_holes(labels, [1]), labels)


def test_another_class_inside_is_never_overwritten() -> None:
    labels = volume()
    labels[1:6, 1:6, 1:6] = 1
    labels[3, 3, 3] = 3
    np.testing.assert_array_equal(fill_holes(labels, [1]), labels)


def test_background_between_two_classes_belongs_to_neither() -> None:
    labels = volume()
    labels[1:6, 1:6, 1:6] = 1
    labels[3, 3, 2:4] = (3, 0)
    np.testing.assert_array_equal(fill_holes(labels, [1, 3]), labels)


def test_a_hole_in_a_lesion_is_filled_as_lesion_not_as_the_organ_round_it() -> None:
    labels = volume()
    labels[:] = 1
    labels[2:5, 2:5, 2:5] = 3
    expected = labels.copy()
    labels[3, 3, 3] = 0
    np.testing.assert_array_equal(fill_holes(labels, [1, 3]), expected)
