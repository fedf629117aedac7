"""A structure changed by its shape alone: grown, shrunk, smoothed, without holes, one of its pieces."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

Mask = npt.NDArray[np.bool_]

_ROUNDING = 1e-6
"""A margin of three pixels is three pixels, whatever the last digit of their size."""

REACH_SIGMAS = 3.0
"""A pixel further from a structure than that is in nothing smoothed by it."""


def grown(mask: Mask, margin_mm: float, spacing_mm: Sequence[float]) -> Mask:
    """Return a structure with every pixel whose centre is up to a margin away from the centre of one of its own.

    Parameters
    ----------
    mask : of the structure, in a slice (H, W) or a volume (Z, Y, X).
    margin_mm : a negative one shrinks the structure; beyond the border of the image it goes on, so that it keeps its
        end there.
    spacing_mm : of each axis of the mask.
    """
    grown = mask.copy()
    box = _box(mask, margin_mm, spacing_mm)
    if box is None:
        return grown
    if margin_mm < 0:
        grown[box] = ~_dilated(~mask[box], -margin_mm, spacing_mm)
    else:
        grown[box] = _dilated(mask[box], margin_mm, spacing_mm)
    return grown


def smoothed(mask: Mask, sigma_mm: float, spacing_mm: Sequence[float]) -> Mask:
    """Return a structure blurred by a Gaussian and cut where it has as many pixels as before: it keeps its size.

    Parameters
    ----------
    mask : of the structure, in a slice (H, W) or a volume (Z, Y, X).
    sigma_mm : standard deviation of the Gaussian.
    spacing_mm : of each axis of the mask.
    """
    smoothed = mask.copy()
    box = _box(mask, REACH_SIGMAS * sigma_mm, spacing_mm)
    if box is None:
        return smoothed
    sigma_px = [sigma_mm / mm for mm in spacing_mm]
    blurred = ndimage.gaussian_filter(mask[box].astype(np.float32), sigma_px, mode="nearest", truncate=REACH_SIGMAS)
    count = np.count_nonzero(mask)
    smoothed[box] = blurred >= np.partition(blurred, -count, axis=None)[-count]
    return smoothed


def without_holes(mask: Mask) -> Mask:
    """Return a structure with everything that it encloses completely; in a volume, a tunnel through it is no hole."""
    filled = mask.copy()
    box = _box(mask, 0.0, (1.0,) * mask.ndim)
    if box is not None:
        pieces, _ = ndimage.label(np.pad(~mask[box], 1, constant_values=True))
        inside = (slice(1, -1),) * mask.ndim
        filled[box] = (pieces != pieces[(0,) * mask.ndim])[inside]
    return filled


def piece_at(mask: Mask, point: Sequence[int]) -> Mask:
    """Return the connected piece of a structure that holds a pixel; pixels that touch at a corner are connected.

    Returns
    -------
    (H, W) or (Z, Y, X), empty if the pixel is not in the structure.
    """
    if not mask[tuple(point)]:
        return np.zeros_like(mask)
    pieces, _ = ndimage.label(mask, ndimage.generate_binary_structure(mask.ndim, mask.ndim))
    piece: Mask = pieces == pieces[tuple(point)]
    return piece


def pieces_beside(mask: Mask, other: Mask) -> Mask:
    """Return the pieces of a mask that do not overlap another one; a side, an edge or a corner connects pixels."""
    pieces, _ = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    return mask & ~np.isin(pieces, np.unique(pieces[other & mask]))


def _dilated(mask: Mask, radius_mm: float, spacing_mm: Sequence[float]) -> Mask:
    """Return all pixels within a radius, along as many of the first axes as there are spacings.

    A ball is made of discs, and a disc of rods, so that whole arrays are shifted and united; for a few pixels, that
    takes a tenth of the time of a distance transform.
    """
    if not spacing_mm:
        return mask
    axis, step_mm = len(spacing_mm) - 1, spacing_mm[-1]
    dilated = np.zeros_like(mask)
    target = np.moveaxis(dilated, axis, 0)
    for steps in range(min(math.floor(radius_mm / step_mm + _ROUNDING), len(target) - 1) + 1):
        rest_mm = math.sqrt(max(radius_mm**2 - (steps * step_mm) ** 2, 0.0))
        source = np.moveaxis(_dilated(mask, rest_mm, spacing_mm[:-1]), axis, 0)
        target[steps:] |= source[: len(source) - steps]
        target[: len(target) - steps] |= source[steps:]
    return dilated


def _box(mask: Mask, margin_mm: float, spacing_mm: Sequence[float]) -> tuple[slice, ...] | None:
    """Return where a structure lies, widened by a margin and a pixel; None if there is none."""
    found = ndimage.find_objects(mask.view(np.uint8), 1)[0]
    if found is None:
        return None
    margins = [math.ceil(max(margin_mm, 0.0) / mm) + 1 for mm in spacing_mm]
    return tuple(slice(max(s.start - n, 0), s.stop + n) for s, n in zip(found, margins, strict=True))
