"""Sentences for the user on the geometry in a file."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes

from knowsam.data.orientation import corners

if TYPE_CHECKING:
    from knowsam.data.orientation import Affine

_UPRIGHT_DEG = 0.1
"""Angles this close to a right angle count as one; far above the rounding of headers."""


def notice_of_shear(affine: Affine) -> str | None:
    """Return a notice of axes that are not at right angles."""
    directions = affine[:3, :3] / voxel_sizes(affine)
    cosines = [abs(directions[:, first] @ directions[:, second]) for first, second in combinations(range(3), 2)]
    skew_deg = float(np.degrees(np.arcsin(min(max(cosines), 1.0))))
    if not skew_deg > _UPRIGHT_DEG:
        return None
    return (
        f"The axes are sheared: they miss the right angle by up to {skew_deg:.1f} degrees. Places are kept as they "
        "are; distances are measured as if the axes were upright."
    )


def notice_of_unit(unit: str, mm: float) -> str | None:
    """Return a notice of converted lengths, if the file has another unit than mm."""
    return None if mm == 1 else f"The file gives lengths in {unit}; they were converted to mm."


def corners_apart_mm(first: Affine, second: Affine, shape: tuple[int, int, int]) -> float:
    """Return the largest distance at which two affines place a corner voxel of an image."""
    apart = apply_affine(first, corners(shape)) - apply_affine(second, corners(shape))
    return float(np.linalg.norm(apart, axis=1).max())
