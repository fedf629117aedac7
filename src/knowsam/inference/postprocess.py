"""Clean-up of predicted masks: stray pieces and holes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from knowsam.data.annotation import BACKGROUND
from knowsam.data.class_boxes import class_boxes

Label = TypeVar("Label", bound=np.integer)


def keep_largest_component(labels: NDArray[Label], values: Iterable[int]) -> NDArray[Label]:
    """Return the labels with only the largest connected piece of each given class; the rest becomes background.

    Voxels are connected through faces, edges and corners. Of pieces of equal size the first in array order is kept.

    Parameters
    ----------
    labels : (Z, Y, X) class values.
    values : the classes to clean up; all others stay as they are.
    """
    cleaned = labels.copy()
    for value, box in class_boxes(labels, values).items():
        pieces, count = ndimage.label(labels[box] == value, structure=np.ones((3,) * labels.ndim))
        if count > 1:
            largest = 1 + np.argmax(np.bincount(pieces.ravel())[1:])
            cleaned[box][(pieces > 0) & (pieces != largest)] = BACKGROUND
    return cleaned


def fill_holes(labels: NDArray[Label], values: Iterable[int]) -> NDArray[Label]:
    """Return the labels with the holes of each given class filled.

    A hole is a piece of background that one class encloses on all sides in 3D. What also touches another class, or
    reaches the border of the volume, is no hole; no other class is ever overwritten.

    Parameters
    ----------
    labels : (Z, Y, X) class values.
    values : the classes to fill; all others stay as they are.
    """
    filled = labels.copy()
    for value, box in class_boxes(labels, values).items():
        own = labels[box] == value
        pockets, count = ndimage.label(ndimage.binary_fill_holes(own) & ~own)
        is_hole = np.ones(count + 1, dtype=bool)
        is_hole[pockets[labels[box] != BACKGROUND]] = False
        is_hole[0] = False
        filled[box][is_hole[pockets]] = value
    return filled
