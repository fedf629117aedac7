"""Detects stacks whose grey values alternate from slice to slice, as if two images were interleaved."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_FEWEST_SLICES = 6
_MOST_LINES = 64
"""At most this many rows and columns are compared."""

_TURNS = (2, 3)
"""Numbers of images that may be interleaved."""

_ALIKE, _NEARLY_ALL = 0.85, 0.8
"""In volumes of 14 anatomies, in all three directions, a slice differs from the next but one 1.2 to 2 times as much as
from the next; in two interleaved images, often less than half as much."""


def alternate(planes: Array) -> bool:
    """Return whether slices are more like the second or third next than like their neighbours, nearly everywhere.

    Parameters
    ----------
    planes : (slices, rows, columns), in the order of their positions.
    """
    count, rows, columns = planes.shape
    if count < _FEWEST_SLICES:
        return False
    sample = planes[:, :: -(-rows // _MOST_LINES), :: -(-columns // _MOST_LINES)].astype(np.float32)
    return any(_take_turns(sample, images) for images in _TURNS)


def _take_turns(planes: Array, images: int) -> bool:
    to_next = _differences(planes, 1)
    to_neighbours = np.minimum(to_next[: 1 - images], to_next[images - 1 :])
    alike = _differences(planes, images) < _ALIKE * to_neighbours
    return bool(alike.mean() > _NEARLY_ALL)


def _differences(planes: Array, apart: int) -> Array:
    return np.array([np.abs(plane - other).mean() for plane, other in zip(planes, planes[apart:], strict=False)])
