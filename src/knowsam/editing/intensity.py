"""A structure changed by the grey values of the image: what lies in a range, what looks like the centre of a brush."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from knowsam.editing.shape import piece_at, without_holes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from knowsam.editing.shape import Mask

Grey = npt.NDArray[np.number[Any]]

BAND = 2.5
"""Half the grey band of the brush, in standard deviations of its core; chosen by `benchmarks/intensity_brush.py`."""

CORE = 0.5
"""Radius of the core, relative to that of the brush."""


def within_range(mask: Mask, image: Grey, lowest: float, highest: float) -> Mask:
    """Return the pixels of a structure whose grey values lie in a range, its limits included.

    Parameters
    ----------
    mask, image : (H, W) or (Z, Y, X).
    """
    within: Mask = mask & (image >= lowest) & (image <= highest)
    return within


def like_the_core(image: Grey, centre: Sequence[int], radius_px: Sequence[float]) -> Mask:
    """Return what the intensity brush paints: the pixels under it that look like its core and are connected with it.

    Single pixels that are missing inside, because of noise, are taken in.

    Parameters
    ----------
    image : (H, W).
    centre : pixel at the centre of the brush.
    radius_px : of the brush along both axes; a pixel may not be square.
    """
    reach = [math.ceil(radius) for radius in radius_px]
    under = tuple(slice(max(c - far, 0), c + far + 1) for c, far in zip(centre, reach, strict=True))
    place = tuple(c - side.start for c, side in zip(centre, under, strict=True))
    grey = image[under]
    offsets = np.ogrid[tuple(slice(-c, n - c) for c, n in zip(place, grey.shape, strict=True))]
    distance = sum((offset / max(radius, 0.5)) ** 2 for offset, radius in zip(offsets, radius_px, strict=True))
    core = grey[distance <= CORE**2]
    is_alike = np.abs(grey - core.mean()) <= BAND * core.std()
    is_alike[place] = True
    painted = np.zeros(image.shape, np.bool_)
    painted[under] = without_holes(piece_at((distance <= 1) & is_alike, place))
    return painted
