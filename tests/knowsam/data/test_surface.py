from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from nibabel.affines import apply_affine, from_matvec
from numpy.typing import NDArray

from knowsam.data.surface import Surface, surface_of

OBLIQUE = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
MIRRORED = np.diag([-1.0, 1.0, 1.0])
RADIUS_MM = 25.0


def ball(rotation: NDArray[Any], spacing_mm: tuple[float, float, float]) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Return (Z, Y, X) and the affine of a ball about the origin."""
    shape = [2 * math.ceil(RADIUS_MM / mm) + 4 for mm in spacing_mm]
    affine = from_matvec(rotation @ np.diag(spacing_mm))
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1.3) / 2)
    distances_mm = np.linalg.norm(apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1)), axis=-1)
    return distances_mm < RADIUS_MM, affine


def is_closed(surface: Surface) -> bool:
    """Whether every side of a triangle is that of another one, in the other direction."""
    sides = np.concatenate([np.roll(surface.triangles, -turn, axis=1)[:, :2] for turn in range(3)])
    there, back = (np.unique(way, axis=0, return_counts=True) for way in (sides, sides[:, ::-1]))
    return all(np.array_equal(one, other) for one, other in zip(there, back, strict=True))


@pytest.mark.parametrize("rotation", [np.eye(3), OBLIQUE, MIRRORED, OBLIQUE @ MIRRORED])
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (3.0, 0.8, 0.8), (1.0, 0.7, 2.5)])
def test_a_ball_keeps_its_volume_and_its_place(rotation: NDArray[Any], spacing_mm: tuple[float, float, float]) -> None:
    surface = surface_of(*ball(rotation, spacing_mm))
    assert surface.volume_ml == pytest.approx(4 / 3 * math.pi * RADIUS_MM**3 / 1000, rel=0.01)
    distances_mm = np.linalg.norm(surface.vertices_mm, axis=1)
    assert np.abs(distances_mm - RADIUS_MM).max() < max(spacing_mm) * 0.6
    assert is_closed(surface)


def test_a_ball_is_smoother_than_its_voxels() -> None:
    normals = surface_of(*ball(np.eye(3), (1.0, 1.0, 1.0))).normals_mm2
    directions = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    # A surface along the sides of voxels would have many that look exactly along an axis.
    assert np.mean(np.abs(directions).max(axis=1) > 0.999) < 0.1


def test_a_structure_at_the_border_of_the_volume_is_closed_there() -> None:
    surface = surface_of(np.ones((4, 5, 6), bool), np.diag([3.0, 1.0, 1.0, 1.0]))
    assert is_closed(surface)
    assert surface.volume_ml == pytest.approx(4 * 5 * 6 * 3 / 1000, rel=1e-3)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 14), (1, 1, 12)])
def test_what_is_one_voxel_thick_keeps_its_volume(shape: tuple[int, int, int]) -> None:
    surface = surface_of(np.ones(shape, bool), np.diag([3.0, 1.0, 0.5, 1.0]))
    assert is_closed(surface)
    assert surface.volume_ml == pytest.approx(math.prod(shape) * 1.5 / 1000, rel=1e-3)


def test_pieces_and_hollows_count() -> None:
    mask = np.zeros((20, 20, 30), bool)
    mask[2:18, 2:18, 2:18], mask[6:14, 6:14, 6:14], mask[4:8, 4:8, 22:26] = True, False, True
    surface = surface_of(mask, np.eye(4))
    assert is_closed(surface)
    assert surface.volume_ml == pytest.approx(np.count_nonzero(mask) / 1000, rel=1e-3)


def test_an_empty_mask_has_none() -> None:
    with pytest.raises(ValueError, match="no surface"):
        surface_of(np.zeros((2, 2, 2), bool), np.eye(4))
