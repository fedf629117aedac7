"""The surface of a structure: triangles that close round it, smooth and of its volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage, sparse

from knowsam.data.measurements import volume_ml

if TYPE_CHECKING:
    from knowsam.data.orientation import Affine

_ROUNDS = 15
_SHRINK, _INFLATE = 0.5, -0.53
"""Weights of G. Taubin, A Signal Processing Approach to Fair Surface Design, 1995: steps vanish, shapes stay."""


_MOST_MOVES, _TOLERANCE = 20, 1e-4
"""How often a surface is moved, and the share of its volume by which it may then be too large or too small."""


@dataclass(frozen=True, eq=False)
class Surface:
    """A closed surface.

    Parameters
    ----------
    vertices_mm : (V, 3), RAS+.
    triangles : (T, 3), indices of vertices, counter-clockwise as seen from outside.
    """

    vertices_mm: npt.NDArray[np.float64]
    triangles: npt.NDArray[np.int64]

    @property
    def normals_mm2(self) -> npt.NDArray[np.float64]:
        """(T, 3), outwards, as long as twice the area of the triangle."""
        a, b, c = (self.vertices_mm[corners] for corners in self.triangles.T)
        return np.cross(b - a, c - a)

    @property
    def volume_ml(self) -> float:
        """The enclosed volume."""
        # Relative to the middle, since coordinates far from the origin lose precision.
        corners = self.vertices_mm[self.triangles[:, 0]] - self.vertices_mm.mean(axis=0)
        return float(np.einsum("ij,ij->", corners, self.normals_mm2)) / 6 / 1000


def surface_of(mask: npt.NDArray[np.bool_], affine: Affine) -> Surface:
    """Return the surface of a mask, smoothed at the volume of its voxels.

    It runs half-way between voxels inside and outside, and closes where the structure touches the border of the array.

    Parameters
    ----------
    mask : (Z, Y, X).
    affine : (4, 4), from (z, y, x) to RAS+ mm.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    # Imported here, since it is slow and few need it.
    from skimage.measure import marching_cubes

    boxes = ndimage.find_objects(mask.astype(np.uint8))
    if not boxes:
        raise ValueError("An empty mask has no surface.")
    padded = np.pad(mask[boxes[0]], 1).astype(np.float32)
    vertices, triangles, _, _ = marching_cubes(padded, 0.5)
    first = [side.start - 1 for side in boxes[0]]
    # The order of corners depends on whether the affine mirrors, which working arrays do.
    if np.linalg.det(affine[:3, :3]) > 0:
        triangles = triangles[:, ::-1]
    surface = Surface(apply_affine(affine, vertices + first), triangles.astype(np.int64))
    return _with_volume(_smoothed(surface), volume_ml(mask, affine), float(voxel_sizes(affine).min()) / 4)


def _smoothed(surface: Surface) -> Surface:
    """Move each vertex towards the middle of its neighbours and away again, in turns."""
    count = len(surface.vertices_mm)
    starts, ends = surface.triangles.ravel(), np.roll(surface.triangles, -1, axis=1).ravel()
    beside = sparse.csr_array((np.ones(len(starts)), (starts, ends)), shape=(count, count))
    beside = beside + beside.T
    weights = 1 / beside.sum(axis=1)
    vertices = surface.vertices_mm
    for step in (_SHRINK, _INFLATE) * _ROUNDS:
        vertices = vertices + step * (weights[:, None] * (beside @ vertices) - vertices)
    return Surface(vertices, surface.triangles)


def _with_volume(surface: Surface, wanted_ml: float, farthest_mm: float) -> Surface:
    """Move a surface outwards or inwards until it encloses a volume, by at most `farthest_mm` at once."""
    for _ in range(_MOST_MOVES):
        normals = surface.normals_mm2
        area_mm2 = np.linalg.norm(normals, axis=1).sum() / 2
        missing_ml = wanted_ml - surface.volume_ml
        if abs(missing_ml) < _TOLERANCE * wanted_ml:
            break
        # A surface that smoothing has made tiny grows step by step.
        distance_mm = float(np.clip(missing_ml * 1000 / area_mm2, -farthest_mm, farthest_mm))
        at_vertices = np.zeros_like(surface.vertices_mm)
        for corner in surface.triangles.T:
            np.add.at(at_vertices, corner, normals)
        outwards = at_vertices / np.linalg.norm(at_vertices, axis=1, keepdims=True).clip(min=1e-12)
        surface = Surface(surface.vertices_mm + distance_mm * outwards, surface.triangles)
    return surface
