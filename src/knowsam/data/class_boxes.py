"""Bounding boxes of the classes of a mask, so that work class by class need not visit all voxels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray
from scipy import ndimage

Box = tuple[slice, ...]

_LARGEST_VALUE = 1 << 20
"""Larger values get the whole mask as their box, since the search takes memory for every smaller value."""


def class_boxes(labels: NDArray[Any], values: Iterable[int]) -> dict[int, Box]:
    """Return the bounding box of each given class that occurs, in one pass over the mask.

    >>> import numpy as np
    >>> class_boxes(np.array([[0, 7, 7], [0, 0, 7]]), [7, 9])
    {7: (slice(0, 2, None), slice(1, 3, None))}
    """
    chosen = list(values)
    indexed = [value for value in chosen if 0 < value <= _LARGEST_VALUE]
    found = ndimage.find_objects(labels, max(indexed, default=1))
    boxes = {value: found[value - 1] for value in indexed if found[value - 1] is not None}
    whole = tuple(slice(0, n) for n in labels.shape)
    return boxes | {value: whole for value in chosen if value not in indexed and (labels == value).any()}


def joined(boxes: Iterable[Box]) -> Box:
    """Return the smallest box that contains all given ones.

    >>> joined([(slice(1, 3),), (slice(5, 6),)])
    (slice(1, 6, None),)
    """
    sides = zip(*boxes, strict=True)
    return tuple(slice(min(s.start for s in side), max(s.stop for s in side)) for side in sides)
