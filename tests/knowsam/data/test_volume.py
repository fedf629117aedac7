"""Volumes know their geometry, cannot be changed by accident and tell when labels belong elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from nibabel.affines import apply_affine, from_matvec

from knowsam.data.volume import Grid, Volume, grid_difference, require_same_grid
from knowsam.errors import InputError

SHAPE = (4, 5, 6)
AFFINE = from_matvec(np.diag([-0.5, 0.75, 3.0]), (10.0, -20.0, 30.0))
"""From (i, j, k): right to left, posterior to anterior, inferior to superior."""


def volume_on(grid: Grid, name: str = "") -> Volume:
    return Volume(np.zeros(grid.working_shape, dtype=np.uint8), grid, name)


def shifted(vx: float) -> Grid:
    """Return the grid moved along its third axis by a part of a voxel."""
    affine = AFFINE.copy()
    affine[2, 3] += 3.0 * vx
    return Grid(SHAPE, affine)


def test_shape_and_spacing_stand_in_the_order_of_the_array() -> None:
    volume = volume_on(Grid(SHAPE, AFFINE))
    assert volume.shape == volume.array.shape == (6, 5, 4)
    assert volume.spacing_mm == (3.0, 0.75, 0.5)
    assert volume.grid.spacing_mm == (0.5, 0.75, 3.0)


def test_the_affine_leads_from_working_indices_to_the_world() -> None:
    volume = volume_on(Grid(SHAPE, AFFINE))
    # z and y run against k and j: index 0 is the last slice and the last row of the file.
    np.testing.assert_allclose(apply_affine(volume.affine, (0, 0, 0)), apply_affine(AFFINE, (0, 4, 5)))


def test_the_voxel_volume_is_the_product_of_the_spacings() -> None:
    assert volume_on(Grid(SHAPE, AFFINE)).voxel_volume_ml == pytest.approx(0.5 * 0.75 * 3.0 / 1000)


def test_neither_array_nor_affine_can_be_written() -> None:
    given = np.zeros((6, 5, 4), dtype=np.uint8)
    volume = Volume(given, Grid(SHAPE, AFFINE))
    with pytest.raises(ValueError, match="read-only"):
        volume.array[0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        volume.grid.affine[0, 0] = 1
    assert given.flags.writeable


def test_a_grid_does_not_follow_the_affine_it_was_made_from() -> None:
    affine = AFFINE.copy()
    grid = Grid(SHAPE, affine)
    affine[0, 3] = 99.0
    np.testing.assert_array_equal(grid.affine, AFFINE)


def test_an_array_of_another_shape_than_its_grid_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="shape"):
        Volume(np.zeros(SHAPE), Grid(SHAPE, AFFINE))


@pytest.mark.parametrize("vx", [0.0, 9e-4, -9e-4])
def test_grids_less_than_a_thousandth_of_a_voxel_apart_agree(vx: float) -> None:
    assert grid_difference(shifted(vx), Grid(SHAPE, AFFINE)) is None


def test_grids_further_apart_differ_by_the_distance_in_mm() -> None:
    difference = grid_difference(shifted(0.5), Grid(SHAPE, AFFINE))
    assert difference == "The voxels lie up to 1.5 mm away from where they were expected."


def test_a_small_rotation_shows_at_the_corners() -> None:
    turned = AFFINE.copy()
    turned[0, 1] = 1e-3
    assert grid_difference(Grid(SHAPE, turned), Grid(SHAPE, AFFINE)) is not None


def test_another_shape_is_named_with_the_expected_one() -> None:
    difference = grid_difference(Grid((4, 5, 7), AFFINE), Grid(SHAPE, AFFINE))
    assert difference == "The shape in (z, y, x) is (7, 5, 4), but (6, 5, 4) was expected."


def test_the_same_voxels_in_another_axis_order_agree() -> None:
    flipped = from_matvec(np.diag([0.5, 0.75, 3.0]), apply_affine(AFFINE, (SHAPE[0] - 1, 0, 0)))
    assert grid_difference(Grid(SHAPE, flipped), Grid(SHAPE, AFFINE)) is None


def test_labels_of_another_image_are_refused_with_both_names() -> None:
    image, labels = volume_on(Grid(SHAPE, AFFINE), "brain"), volume_on(shifted(1.0), "liver")
    require_same_grid(image, image)
    with pytest.raises(InputError, match=r"labels liver .* image brain\. .*3 mm away.* Load the labels"):
        require_same_grid(image, labels)
