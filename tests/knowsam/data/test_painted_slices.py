"""Painted slices on the voxels of another image: only what a painted slice covers is labelled, and nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from nibabel.affines import apply_affine, from_matvec
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from knowsam.data.annotation import IGNORE, SliceState, default_classes
from knowsam.data.orientation import to_working
from knowsam.data.painted_slices import UNLABELLED, PaintedSlices, painted_by_default
from knowsam.data.volume import Grid, Volume
from knowsam.errors import InputError

TURN = Rotation.from_euler("xyz", [12, -7, 20], degrees=True).as_matrix()
AFFINE = from_matvec(TURN @ np.diag([0.8, 1.5, 3.3]), [-31.0, 12.5, 40.25])
SHAPE = (6, 7, 8)
GRID = Grid(SHAPE, AFFINE)
VALUES = np.random.default_rng(0).choice([0, 1, 5], SHAPE).astype(np.uint8)


def grid(shape_zyx: Sequence[int], spacing_mm: Sequence[float], first_mm: Sequence[float], tilt_deg: float = 0) -> Grid:
    """Return a grid in the working orientation, tilted about x, from the place (z, y, x) of its first voxel."""
    turn = Rotation.from_euler("x", tilt_deg, degrees=True).as_matrix()
    z, y, x = shape_zyx
    return Grid((x, y, z), from_matvec(-turn @ np.diag(spacing_mm[::-1]), -np.array(first_mm[::-1])))


def painted(where: Grid, values: NDArray[np.integer], slices: Sequence[int]) -> PaintedSlices:
    labels = np.zeros(where.working_shape, values.dtype)
    labels[list(slices)] = values[list(slices)]
    return painted_by_default(Volume(labels, where, "painted"), 0)


def box(where: Grid) -> NDArray[np.uint8]:
    values = np.zeros(where.working_shape, np.uint8)
    values[:, 3:-3, 3:-3] = 1
    return values


def states(slices: PaintedSlices) -> dict[int, SliceState]:
    annotation = slices.annotation(default_classes(slices.values))
    return {index: annotation.state(index) for index in annotation.annotated}


@pytest.mark.parametrize("seed", range(3))
def test_every_voxel_gets_the_label_of_the_nearest_one(seed: int) -> None:
    random = np.random.default_rng(seed)
    turn = Rotation.from_rotvec(random.normal(scale=0.3, size=3)).as_matrix()
    # Not in the middle, where two voxels would be equally near.
    center = apply_affine(AFFINE, np.array(SHAPE) / 2 + 0.13)
    directions = turn @ TURN @ np.diag(random.uniform(0.5, 1.4, 3))
    image = Grid((9, 5, 6), from_matvec(directions, center - directions @ (4, 2, 3)))
    labels = Volume(to_working(VALUES, AFFINE), GRID, "painted")
    placed = PaintedSlices(labels, 0, tuple(range(labels.shape[0]))).on(image).labels
    places = apply_affine(np.linalg.inv(labels.affine) @ placed.affine, np.argwhere(np.ones(placed.shape)))
    for place, found in zip(places, placed.array.ravel(), strict=True):
        nearest = tuple(np.rint(place).astype(int))
        inside = all(0 <= n < count for n, count in zip(nearest, labels.shape, strict=True))
        covered = -0.5 < place[0] < labels.shape[0] - 0.5
        assert found == (labels.array[nearest] if inside else 0 if covered else UNLABELLED), place
    assert "were resampled to those of the image" in placed.notices[0]


def test_slices_that_the_painted_ones_cut_are_annotated_where_these_run_with_a_notice() -> None:
    image = grid((20, 40, 40), (3, 1, 1), (0, 0, 0))
    tilted = grid((20, 40, 40), (3, 1, 1), (0, 0, 0), tilt_deg=10)
    placed = painted(tilted, box(tilted), [8, 12]).on(image)
    assert set(states(placed).values()) == {SliceState.PARTIAL}
    to_labels = np.linalg.inv(tilted.working_affine) @ image.working_affine
    heights = apply_affine(to_labels, np.argwhere(placed.labels.array != UNLABELLED))[:, 0]
    assert np.minimum(abs(heights - 8), abs(heights - 12)).max() < 0.502
    assert "tilted by 10 degrees" in placed.labels.notices[1]


@pytest.mark.parametrize("tilt_deg", [0.5, 2, 5, 10, 30])
def test_no_voxel_of_the_structure_is_taken_for_background_however_the_slices_are_tilted(tilt_deg: float) -> None:
    image = grid((20, 40, 40), (3, 1, 1), (0, 0, 0))
    tilted = grid((30, 60, 40), (3, 1, 1), (-9, -9, 0), tilt_deg)
    everywhere = np.ones(tilted.working_shape, np.uint8)
    placed = painted(tilted, everywhere, [8, 12]).on(image)
    inside = apply_affine(
        np.linalg.inv(tilted.working_affine) @ image.working_affine, np.argwhere(placed.labels.array == 0)
    )
    assert not ((inside >= -0.5) & (inside < np.array(tilted.working_shape) - 0.5)).all(axis=1).any()


def test_slices_turned_within_their_plane_stay_complete() -> None:
    image = grid((6, 20, 20), (3, 1, 1), (0, 0, 0))
    turned = Grid(
        (40, 40, 6), image.affine @ from_matvec(Rotation.from_euler("z", 30, degrees=True).as_matrix(), (5, -9, 0))
    )
    placed = painted(turned, box(turned), [1, 4]).on(image)
    assert states(placed) == {1: SliceState.COMPLETE, 4: SliceState.COMPLETE}


def test_thick_painted_slices_cover_several_of_the_image_with_a_notice() -> None:
    image, thick = grid((12, 20, 20), (1, 1, 1), (0, 0, 0)), grid((4, 20, 20), (3, 1, 1), (1, 0, 0))
    placed = painted(thick, box(thick), [1, 3]).on(image)
    assert states(placed) == dict.fromkeys([3, 4, 5, 9, 10, 11], SliceState.COMPLETE)
    assert "covers about 3 slices of the image" in placed.labels.notices[1]


def test_slices_shifted_by_half_belong_to_one_slice_of_the_image_each() -> None:
    image, shifted = grid((8, 20, 20), (3, 1, 1), (0, 0, 0)), grid((8, 20, 20), (3, 1, 1), (1.5, 0.5, 0.5))
    assert len(states(painted(shifted, box(shifted), [2, 5]).on(image))) == 2


def test_no_slice_painted_finer_than_the_image_is_lost() -> None:
    image, fine = grid((6, 20, 20), (3, 1, 1), (1, 0, 0)), grid((18, 20, 20), (1, 1, 1), (0, 0, 0))
    placed = painted(fine, box(fine), [2, 9, 13]).on(image)
    assert states(placed) == dict.fromkeys([0, 3, 4], SliceState.COMPLETE)
    assert len(placed.labels.notices) == 1


def test_painted_slices_that_share_one_of_the_image_are_counted_and_no_class_of_them_is_lost() -> None:
    image, fine = grid((6, 20, 20), (3, 1, 1), (1, 0, 0)), grid((18, 20, 20), (1, 1, 1), (0, 0, 0))
    values = box(fine)
    values[5, 0, 0] = 9
    placed = painted(fine, values, [4, 5]).on(image)
    assert "1 of 2 painted slices lie with another one" in placed.labels.notices[1]
    assert placed.labels.array[1, 0, 0] == 9
    assert placed.values == {0, 1, 9}


def test_labels_between_the_voxels_of_the_image_are_kept_on_those_that_hold_them() -> None:
    image, fine = grid((6, 10, 10), (3, 2, 2), (1, 0, 0)), grid((6, 72, 72), (3, 0.25, 0.25), (1, 0, 0))
    values = np.zeros(fine.working_shape, np.uint8)
    values[:, :, 4] = 1
    placed = painted(fine, values, [1, 4]).on(image)
    assert (placed.labels.array[1] == 1).any(axis=1).all()
    assert "2 painted slices are smaller than the voxels of the image" in placed.labels.notices[1]


def test_unlabelled_voxels_stay_so_on_another_grid() -> None:
    image, shifted = grid((4, 8, 8), (3, 1, 1), (0, 0, 0)), grid((4, 8, 8), (3, 1, 1), (0.6, 0, 0))
    values = np.zeros(shifted.working_shape, np.uint8)
    values[1], values[1, 2, 2] = 9, 1
    placed = PaintedSlices(Volume(values, shifted), 0, (1,), ignore_value=9).on(image)
    assert placed.values == {0, 1}
    labels = placed.annotation(default_classes([1])).slices[1].labels
    assert (labels[2, 2], np.count_nonzero(labels == IGNORE)) == (1, 63)


def test_slices_on_the_same_grid_stay_the_object_they_are() -> None:
    slices = PaintedSlices(Volume(to_working(VALUES, AFFINE), GRID), 0, (1, 2))
    assert slices.on(Grid(SHAPE, AFFINE)) is slices


def test_labels_that_lie_elsewhere_are_refused() -> None:
    image, far = grid((4, 8, 8), (3, 1, 1), (0, 0, 0)), grid((4, 8, 8), (3, 1, 1), (100.6, 0, 0))
    with pytest.raises(InputError, match=r"None of the \d+ labelled voxels of painted lies in the image\. Load"):
        painted(far, box(far), [1, 2]).on(image)


def test_large_values_stay_exact() -> None:
    image, shifted = grid((4, 8, 8), (3, 1, 1), (0, 0, 0)), grid((4, 8, 8), (3, 1, 1), (0.6, 0, 0))
    values = box(shifted) * np.int32(2**31 - 1)
    assert painted(shifted, values, [1, 2]).on(image).values == {0, 2**31 - 1}
