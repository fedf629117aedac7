"""Labels of a part of an image: pasted voxel for voxel, and nothing lost unsaid."""

from __future__ import annotations

import numpy as np
import pytest
from nibabel.affines import apply_affine, from_matvec
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from knowsam.data.annotation import LabelClass
from knowsam.data.orientation import to_working
from knowsam.data.painted_slices import painted_by_default
from knowsam.data.resample import is_part, placed_on
from knowsam.data.volume import Grid, Volume
from knowsam.errors import InputError

TURN = Rotation.from_euler("xyz", [12, -7, 20], degrees=True).as_matrix()
AFFINE = from_matvec(TURN @ np.diag([0.8, 1.5, 3.3]), [-31.0, 12.5, 40.25])
SHAPE = (6, 7, 8)
GRID = Grid(SHAPE, AFFINE)
VALUES = np.random.default_rng(0).choice([0, 1, 5], SHAPE).astype(np.uint8)


def labels_on(grid: Grid, values_ijk: NDArray[np.uint8]) -> Volume:
    liver = LabelClass(5, "liver", (1, 2, 3))
    return Volume(to_working(values_ijk, grid.affine), grid, "painted", notices=("Read.",), classes=(liver,))


def part(first: tuple[int, int, int], shape: tuple[int, int, int], shift_vx: float = 0.0) -> Grid:
    """Return the grid that begins at a voxel of `GRID`."""
    origin = apply_affine(AFFINE, np.array(first) + shift_vx)
    return Grid(shape, from_matvec(AFFINE[:3, :3], origin))


def test_labels_on_the_same_grid_stay_the_object_they_are() -> None:
    labels = labels_on(GRID, VALUES)
    assert placed_on(labels, Grid(SHAPE, AFFINE)) is labels


def test_labels_of_a_part_of_the_image_are_pasted_without_a_word() -> None:
    labels = labels_on(part((1, 2, 3), (4, 4, 2)), VALUES[1:5, 2:6, 3:5])
    placed = placed_on(labels, GRID)
    expected = np.zeros_like(VALUES)
    expected[1:5, 2:6, 3:5] = VALUES[1:5, 2:6, 3:5]
    assert np.array_equal(placed.array, to_working(expected, AFFINE))
    assert placed.grid is GRID
    assert (placed.notices, placed.classes, placed.name) == (("Read.",), labels.classes, "painted")


def test_labels_that_reach_beyond_the_image_are_cut_off_and_the_loss_is_counted() -> None:
    image = part((2, 0, 0), (4, 7, 8))
    placed = placed_on(labels_on(GRID, VALUES), image)
    assert np.array_equal(placed.array, to_working(VALUES[2:], AFFINE))
    lost, all_labelled = np.count_nonzero(VALUES[:2]), np.count_nonzero(VALUES)
    assert placed.notices[1:] == (
        f"{lost} of {all_labelled} labelled voxels lie outside of the image and were left out.",
    )


def test_labels_of_a_larger_image_are_reported_even_if_none_is_lost() -> None:
    image = part((2, 0, 0), (4, 7, 8))
    values = np.where(np.arange(SHAPE[0])[:, None, None] < 2, 0, VALUES)
    placed = placed_on(labels_on(GRID, values), image)
    assert np.array_equal(placed.array, to_working(values[2:], AFFINE))
    assert placed.notices[1:] == (
        f"The labels have shape {SHAPE} and reach beyond the image, which has (4, 7, 8). "
        "Check that they belong to this image.",
    )


@pytest.mark.parametrize("shift_vx", [1, 0.5])
def test_labels_of_as_many_voxels_as_the_image_that_lie_elsewhere_are_reported(shift_vx: float) -> None:
    labels = labels_on(part((0, 0, 0), SHAPE, shift_vx=shift_vx), VALUES)
    placed = placed_on(labels, GRID) or painted_by_default(labels, 0).on(GRID).labels
    assert any("as many voxels as the image, but" in notice and "lost its place" in notice for notice in placed.notices)


def test_a_grid_that_is_off_by_rounding_only_is_pasted() -> None:
    placed = placed_on(labels_on(part((0, 0, 0), SHAPE, shift_vx=0.01), VALUES), GRID)
    assert np.array_equal(placed.array, to_working(VALUES, AFFINE))
    assert placed.notices == ("Read.",)


def test_axes_in_another_order_and_direction_are_no_obstacle() -> None:
    flipped = np.array([[0, 0, -1, 6], [1, 0, 0, 0], [0, -1, 0, 7], [0, 0, 0, 1.0]])
    # Index (a, b, c) of this file is (6 - c, a, 7 - b) of the grid, whose first axis is one voxel longer.
    image = Grid((7, 7, 8), AFFINE)
    file_values = np.zeros((7, 8, 7), np.uint8)
    for index in np.ndindex(file_values.shape):
        i, j, k = (flipped @ (*index, 1))[:3].astype(int)
        file_values[index] = VALUES[i, j, k] if i < 6 else 0
    cropped = Grid((7, 8, 5), AFFINE @ flipped @ from_matvec(np.eye(3), (0, 0, 1)))
    placed = placed_on(labels_on(cropped, file_values[..., 1:6]), image)
    expected = np.zeros((7, 7, 8), np.uint8)
    expected[1:6] = VALUES[1:6]
    assert np.array_equal(placed.array, to_working(expected, AFFINE))


def test_labels_with_voxels_in_other_places_are_left_alone() -> None:
    assert placed_on(labels_on(part((0, 0, 0), SHAPE, shift_vx=0.3), VALUES), GRID) is None


def test_labels_that_lie_elsewhere_are_refused() -> None:
    with pytest.raises(InputError, match=r"None of the \d+ labelled voxels of painted lies in the image\. Load"):
        placed_on(labels_on(part((100, 0, 0), SHAPE), VALUES), GRID)


def test_labels_that_overlap_the_image_only_where_they_are_empty_are_refused() -> None:
    values = VALUES.copy()
    values[:3] = 0
    with pytest.raises(InputError, match="None of the"):
        placed_on(labels_on(GRID, values), part((-3, 0, 0), (6, 7, 8)))


def test_empty_labels_stay_empty_wherever_they_lie() -> None:
    assert not placed_on(labels_on(part((1, 2, 3), (4, 4, 2)), np.zeros((4, 4, 2), np.uint8)), GRID).array.any()


@pytest.mark.parametrize(
    ("first", "shape", "shift_vx", "is_one"),
    [
        ((0, 0, 0), SHAPE, 0.01, False),
        ((1, 2, 3), (5, 5, 5), 0.01, True),
        ((1, 2, 3), (5, 5, 6), 0.0, False),
        ((0, -1, 0), (6, 7, 8), 0.0, False),
        ((1, 2, 3), (4, 4, 4), 0.3, False),
        ((0, 0, 0), (6, 7, 7), 0.0, True),
    ],
)
def test_a_part_of_a_grid_is_smaller_and_has_all_its_voxels_on_those_of_the_grid(
    first: tuple[int, int, int], shape: tuple[int, int, int], shift_vx: float, is_one: bool
) -> None:
    assert is_part(part(first, shape, shift_vx), GRID) is is_one


def test_larger_voxels_are_no_part_of_a_grid() -> None:
    assert not is_part(Grid((3, 3, 4), AFFINE @ np.diag([2.0, 2.0, 2.0, 1.0])), GRID)
