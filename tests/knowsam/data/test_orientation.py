"""Every axis order there is, upright and oblique: there and back, and no voxel moves in the world."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from nibabel.affines import apply_affine, from_matvec
from nibabel.orientations import aff2axcodes
from scipy.spatial.transform import Rotation

from knowsam.data.orientation import (
    Affine,
    describe_axes,
    file_axis,
    file_index,
    from_working,
    obliqueness_deg,
    to_working,
    working_affine,
    working_axis,
    working_index,
)
from knowsam.data.volume import Grid
from knowsam.errors import InputError

SHAPE = (4, 5, 6)
MARKED = (1, 0, 4)
ALL_ORDERS = tuple(product(permutations(range(3)), product((-1, 1), repeat=3)))


def grid_of(order: tuple[int, ...], signs: tuple[int, ...], tilt_deg: float) -> Grid:
    """Return a grid whose axes point along the world axes in some order, all turned by an angle."""
    axes = np.eye(3)[:, list(order)] * signs * (0.5, 1.25, 3.0)
    turned = Rotation.from_euler("xyz", [tilt_deg, -tilt_deg, tilt_deg / 2], degrees=True).as_matrix() @ axes
    return Grid(SHAPE, from_matvec(turned, (-20.0, 7.0, 31.5)))


@pytest.fixture(params=[0.0, 17.0], ids=["upright", "oblique"])
def tilt_deg(request: pytest.FixtureRequest) -> float:
    angle: float = request.param
    return angle


@pytest.fixture(params=ALL_ORDERS, ids=str)
def grid(request: pytest.FixtureRequest, tilt_deg: float) -> Grid:
    return grid_of(*request.param, tilt_deg)


def marked_array() -> np.ndarray:
    array = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    array[MARKED] = -1
    return array


def test_all_48_orders_are_tried() -> None:
    codes = {aff2axcodes(grid_of(*order, 0.0).affine) for order in ALL_ORDERS}
    assert len(codes) == 48


def test_there_and_back_is_exact(grid: Grid) -> None:
    array = marked_array()
    back = from_working(to_working(array, grid.affine), grid)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_a_marked_voxel_stays_where_it_is_in_the_world(grid: Grid) -> None:
    working = to_working(marked_array(), grid.affine)
    (index,) = np.argwhere(working == -1)
    found_mm = apply_affine(working_affine(grid.affine, grid.shape), index)
    np.testing.assert_allclose(found_mm, apply_affine(grid.affine, MARKED), atol=1e-9)


def test_working_arrays_grow_to_inferior_posterior_and_left(grid: Grid) -> None:
    assert aff2axcodes(working_affine(grid.affine, grid.shape)) == ("I", "P", "L")
    assert to_working(marked_array(), grid.affine).flags.c_contiguous


def test_slices_of_the_file_are_found_in_the_working_array(grid: Grid) -> None:
    array = marked_array()
    working = to_working(array, grid.affine)
    for axis, index in enumerate(MARKED):
        along, at = working_axis(grid, axis), working_index(grid, axis, index)
        assert file_axis(grid, along) == axis
        assert file_index(grid, along, at) == index
        assert set(working.take(at, along).flat) == set(array.take(index, axis).flat)


def test_a_slice_of_a_flipped_axis_is_counted_from_the_other_end() -> None:
    superior_grows = Grid(SHAPE, np.eye(4))
    assert working_axis(superior_grows, 2) == 0
    assert working_index(superior_grows, 2, 0) == 5


def test_axes_are_described_in_words() -> None:
    oblique_lsp = grid_of((0, 2, 1), (-1, 1, -1), 10.0)
    assert describe_axes(oblique_lsp.affine) == ("right to left", "inferior to superior", "anterior to posterior")


@pytest.mark.parametrize("angle_deg", [0.0, 5.0, 30.0, -12.0])
def test_obliqueness_is_the_angle_of_a_rotation_about_one_axis(angle_deg: float) -> None:
    rotation = Rotation.from_euler("x", angle_deg, degrees=True).as_matrix()
    affine = from_matvec(rotation * (1.0, 2.0, 5.0), (1.0, 2.0, 3.0))
    assert obliqueness_deg(affine) == pytest.approx(abs(angle_deg), abs=1e-6)


@pytest.mark.parametrize(
    "affine",
    [
        np.diag([1.0, 0.0, 1.0, 1.0]),
        np.diag([1.0, np.nan, 1.0, 1.0]),
        np.diag([1.0, np.inf, 1.0, 1.0]),
        from_matvec(np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])),
    ],
    ids=["zero spacing", "NaN", "infinite", "two axes in one direction"],
)
def test_a_degenerate_affine_is_refused(affine: Affine) -> None:
    with pytest.raises(InputError, match="three independent axes"):
        to_working(marked_array(), affine)
