"""Images in the planes somebody painted in: the same world on other voxels, there and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from nibabel.affines import apply_affine, from_matvec
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from knowsam.data.annotation import BACKGROUND
from knowsam.data.painted_slices import PaintedSlices, painted_by_default
from knowsam.data.reformat import brought_back, in_painted_planes
from knowsam.data.volume import Grid, Volume

SHAPE = (24, 40, 32)
SPACING_MM = (3.0, 1.0, 1.0)
TILTS_DEG = [5, 10, 20, 40]


def grid(tilt_deg: float, spacing_mm: Sequence[float] = SPACING_MM) -> Grid:
    """Return a grid in the working orientation round the origin of the world, tilted about two axes."""
    turn = Rotation.from_euler("xy", [tilt_deg, tilt_deg / 4], degrees=True).as_matrix()
    matrix = turn @ -np.eye(3)[:, ::-1] @ np.diag(spacing_mm)
    return Grid(SHAPE, from_matvec(matrix, -matrix @ (np.array(SHAPE) - 1) / 2))


def ellipsoid(where: Grid, radii_mm: Sequence[float] = (9, 12, 24)) -> NDArray[np.bool_]:
    places = apply_affine(where.working_affine, np.moveaxis(np.indices(where.working_shape), 0, -1))
    inside: NDArray[np.bool_] = (places**2 / np.square(radii_mm)).sum(axis=-1) < 1
    return inside


def painted(
    tilt_deg: float, slices: Sequence[int] = (6, 12, 18), spacing_mm: Sequence[float] = SPACING_MM
) -> PaintedSlices:
    """Return a painted ellipsoid, 2 in its left half and 7 in its right one."""
    where = grid(tilt_deg, spacing_mm)
    values = np.where(ellipsoid(where), 7, BACKGROUND).astype(np.uint8)
    values[..., SHAPE[2] // 2 :][values[..., SHAPE[2] // 2 :] == 7] = 2
    kept = np.zeros_like(values)
    kept[list(slices)] = values[list(slices)]
    return painted_by_default(Volume(kept, where, "painted"), 0)


def image(spacing_mm: Sequence[float] = SPACING_MM) -> Volume:
    """Return an image whose grey values grow linearly along a line in the world."""
    where = grid(0, spacing_mm)
    return Volume(linear(where).astype(np.float32), where, "image")


def linear(where: Grid) -> NDArray[np.float64]:
    places = apply_affine(where.working_affine, np.moveaxis(np.indices(where.working_shape), 0, -1))
    return np.asarray(places @ [1.0, -2.0, 0.5])


@pytest.mark.parametrize("tilt_deg", TILTS_DEG)
def test_voxels_of_a_reformatted_image_have_the_grey_values_of_their_places(tilt_deg: float) -> None:
    given = image()
    _, planes = in_painted_planes(painted(tilt_deg), given)
    to_image = np.linalg.inv(given.affine) @ planes.affine
    places = apply_affine(to_image, np.moveaxis(np.indices(planes.shape), 0, -1))
    inside = ((places >= 0) & (places <= np.array(SHAPE) - 1)).all(axis=-1)
    np.testing.assert_allclose(planes.array[inside], linear(planes.grid)[inside], atol=1e-3)
    corners = apply_affine(np.linalg.inv(to_image), np.array([[0, 0, 0], np.array(SHAPE) - 1]))
    assert (corners > -1e-6).all()
    assert (corners < np.array(planes.shape) - 1 + 1e-6).all()


@pytest.mark.parametrize("tilt_deg", TILTS_DEG)
def test_painted_planes_are_complete_slices_of_the_reformatted_image(tilt_deg: float) -> None:
    labels = painted(tilt_deg)
    placed, planes = in_painted_planes(labels, image())
    assert placed.partial == ()
    assert placed.labels.grid is planes.grid
    height = (np.linalg.inv(labels.labels.affine) @ planes.affine)[0]
    covered = height[0] * np.array(placed.indices) + height[3]
    assert np.abs(height[1:3]).max() < 1e-9
    beside = np.abs(covered[:, np.newaxis] - [6, 12, 18])
    assert beside.min(axis=0).max() < 1e-9
    assert beside.min(axis=1).max() < 0.51
    assert placed.values == {0, 2, 7}
    assert "slices are tilted by" in placed.labels.notices[0]


@pytest.mark.parametrize("tilt_deg", TILTS_DEG)
@pytest.mark.parametrize("slice_mm", [0.8, 3.0, 7.0])
def test_labels_come_back_to_where_they_are_in_the_world(tilt_deg: float, slice_mm: float) -> None:
    given = image()
    _, planes = in_painted_planes(painted(tilt_deg, (10, 13, 16), (slice_mm, 1, 1)), given)
    structure = ellipsoid(planes.grid)
    values = np.where(structure, 7, BACKGROUND).astype(np.int32)
    values[structure & (np.indices(planes.shape)[2] > planes.shape[2] / 2)] = 300
    found, where = brought_back(values, planes)
    assert where is given.grid
    expected = ellipsoid(given.grid)
    assert 2 * (expected & (found > 0)).sum() / (expected.sum() + (found > 0).sum()) > 0.97
    assert set(np.unique(found)) == {BACKGROUND, 7, 300}
    assert found.dtype == values.dtype


def test_between_classes_that_touch_there_is_no_gap() -> None:
    _, planes = in_painted_planes(painted(10), image())
    thirds = np.indices(planes.shape).sum(axis=0) % 3 + 1
    assert brought_back(thirds, planes)[0].all()


def test_a_slice_of_one_voxel_comes_back_within_the_image() -> None:
    _, planes = in_painted_planes(painted(20), image())
    corner = np.zeros(planes.shape, np.uint8)
    corner[0, 0, 0] = corner[-1, -1, -1] = 1
    assert not brought_back(corner, planes)[0].any()


def test_padding_does_not_mix_with_the_tissue_beside_it() -> None:
    grey = np.random.default_rng(0).integers(0, 1000, SHAPE).astype(np.int16)
    grey[:, :12] = -32768
    _, planes = in_painted_planes(painted(20), Volume(grey, grid(0), padding=(-32768, -32768)))
    assert (planes.array.min(), planes.array.dtype) == (0, np.int16)


def test_an_image_stays_as_it_is_where_painted_planes_run_along_its_slices() -> None:
    labels, given = painted(0, spacing_mm=(2.5, 0.9, 1.1)), image()
    placed, same = in_painted_planes(labels, given)
    assert same is given
    assert placed.labels.grid is given.grid
    values = np.zeros(SHAPE, np.uint8)
    assert brought_back(values, given) == (values, given.grid)


def test_an_image_stays_as_it_is_beside_tilted_labels_of_the_whole_structure() -> None:
    """Painted planes cut slices at its ends only."""
    placed, same = in_painted_planes(painted(5, range(24)), given := image())
    assert same is given
    assert len(placed.indices) > 2 * len(placed.partial) > 0


def test_labels_outside_of_the_image_are_counted_though_its_planes_reach_them() -> None:
    labels = painted(20)
    values = np.array(labels.labels.array)
    values[12, 0, 0] = values[12, -1, -1] = 2
    beside = painted_by_default(Volume(values, labels.labels.grid, "painted"), 0)
    small = Volume(image().array[:, 8:-8], Grid((24, 24, 32), grid(0).affine @ from_matvec(np.eye(3), (0, 8, 0))))
    assert "2 of " in in_painted_planes(beside, small)[0].labels.notices[-1]
