"""Slices of labels that take their places among the slices of an image."""

from __future__ import annotations

import numpy as np
import pytest
from nibabel.affines import apply_affine

from knowsam.data.orientation import from_working, to_working
from knowsam.data.sparse_slices import SparseSlices, respaced
from knowsam.data.volume import Grid, Volume

AFFINE = np.array([[-1.0, 0, 0, 8], [0, 2.0, 0, -4], [0, 0, 4.4, 7], [0, 0, 0, 1]])
IMAGE = Grid((4, 5, 24), AFFINE)
SAYS = "assumed"


def labels(slices: list[int], spacing: float, beside: float = 0.0) -> Volume:
    """Return labels n + 1 in the n-th of these slices of the image, `spacing` of them apart in their grid."""
    indices = np.rint((np.array(slices) - slices[0]) / spacing).astype(np.intp)
    affine = AFFINE @ np.diag([1, 1, spacing, 1])
    affine[:3, 3] += (slices[0] + beside) * AFFINE[:3, 2]
    grid = Grid((4, 5, int(indices[-1]) + 1), affine)
    array = np.zeros(grid.shape, np.uint8)
    array[..., indices] = np.arange(1, len(slices) + 1)
    positions_mm = apply_affine(AFFINE, [(0, 0, index + beside) for index in slices])
    return Volume(to_working(array, affine), grid, notices=(SAYS,), sparse=SparseSlices(indices, positions_mm, SAYS))


@pytest.mark.parametrize("spacing", [6.0, 0.9, 2.0])
def test_each_slice_lies_on_that_of_the_image_with_empty_ones_between(spacing: float) -> None:
    placed = respaced(labels([5, 11, 17], spacing), IMAGE)
    assert placed.grid.shape == (4, 5, 13)
    np.testing.assert_allclose(placed.grid.affine[:3, 3], apply_affine(AFFINE, (0, 0, 5)))
    values = from_working(placed.array, placed.grid)[0, 0]
    assert values.tolist() == [1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 3]
    assert (placed.sparse, placed.notices) == (None, ())


def test_an_image_whose_slices_run_the_other_way_is_followed_as_well() -> None:
    turned = Grid(IMAGE.shape, AFFINE @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 23], [0, 0, 0, 1.0]]))
    placed, expected = (respaced(labels([5, 7], 2), grid) for grid in (turned, IMAGE))
    np.testing.assert_allclose(placed.affine, expected.affine)
    assert np.array_equal(placed.array, expected.array)


@pytest.mark.parametrize("beside", [0.5, -0.3])
def test_slices_between_those_of_the_image_stay_as_they_are(beside: float) -> None:
    given = labels([5, 11], 6, beside)
    assert respaced(given, IMAGE) is given


def test_an_image_that_is_tilted_against_the_slices_does_not_respace_them() -> None:
    tilt = np.eye(4)
    tilt[1:3, 1:3] = [[0.99, -0.141], [0.141, 0.99]]
    given = labels([5, 11], 6)
    assert respaced(given, Grid(IMAGE.shape, tilt @ AFFINE)) is given
