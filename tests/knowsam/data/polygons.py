"""Which centres of pixels lie in a polygon, by the two rules that readers of outlines fill them by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Polygon = NDArray[np.float64]


def even_odd(polygon: Polygon, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return (H, W): a ray from the pixel crosses the polygon (points, 2) an odd number of times."""
    up, down = _crossings(polygon, shape)
    return (up + down) % 2 == 1


def non_zero(polygon: Polygon, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return (H, W): the polygon (points, 2) winds round the pixel."""
    up, down = _crossings(polygon, shape)
    return up != down


def _crossings(polygon: Polygon, shape: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many sides cross the ray along the row, beyond each pixel, by their direction."""
    rows, columns = np.indices(shape)
    up, down = np.zeros(shape, int), np.zeros(shape, int)
    for (y0, x0), (y1, x1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        is_beyond = columns < x0 + (rows - y0) * (x1 - x0) / (y1 - y0)
        up += is_beyond & (y0 <= rows) & (rows < y1)
        down += is_beyond & (y1 <= rows) & (rows < y0)
    return up, down
