"""Signed distances to the outlines of painted classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import ndimage

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelArray


def signed_distances_mm(labels: LabelArray, classes: int, spacing_mm: tuple[float, float]) -> npt.NDArray[np.float32]:
    """Return for each class the distance to its outline, positive inside.

    Parameters
    ----------
    labels : (H, W), class indices.
    classes : C, background included.
    spacing_mm : of rows and columns.

    Returns
    -------
    (C, H, W); a class that is absent is further away than the slice is long, everywhere, and one that fills the slice
    as deep.

    >>> signed_distances_mm(np.array([[0, 1, 1, 1]], np.uint8), 2, (1.0, 2.0))[1, 0].tolist()
    [-2.0, 2.0, 4.0, 6.0]
    """
    far = float(np.hypot(labels.shape[0] * spacing_mm[0], labels.shape[1] * spacing_mm[1]))
    distances = np.empty((classes, *labels.shape), np.float32)
    for index in range(classes):
        inside = labels == index
        if inside.any() and not inside.all():
            depth = ndimage.distance_transform_edt(inside, sampling=spacing_mm)
            distances[index] = depth - ndimage.distance_transform_edt(~inside, sampling=spacing_mm)
        else:
            distances[index] = far if inside.any() else -far
    return distances
