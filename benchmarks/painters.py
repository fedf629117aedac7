"""Who annotates: somebody without error, somebody whose outlines are a pixel off, or real scribbles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from knowsam.data.annotation import IGNORE

if TYPE_CHECKING:
    from tasks import Truth

    from knowsam.data.annotation import LabelArray

_SMOOTH_PX = 4.0


def exact(truth: Truth, index: int) -> LabelArray:
    """Return (H, W), the true class indices of a slice."""
    return truth.indices[index]


def a_pixel_off(truth: Truth, index: int, seed: int = 0) -> LabelArray:
    """Return (H, W), class indices whose outlines are off by a smooth error of one pixel, the same for each seed."""
    labels = truth.indices[index]
    error = ndimage.gaussian_filter(np.random.default_rng((index, seed)).normal(size=labels.shape), _SMOOTH_PX)
    error /= error.std()
    depths = [np.full(labels.shape, 0.0)]
    for value in range(1, int(truth.indices.max()) + 1):
        inside = labels == value
        depth = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
        depths.append(depth + error if inside.any() else np.full(labels.shape, -np.inf))
    painted: LabelArray = np.argmax(depths, axis=0).astype(np.uint8)
    return painted


def scribbled(truth: Truth, index: int) -> LabelArray:
    """Return (H, W), class indices of scribbles that somebody drew, IGNORE elsewhere.

    Raises
    ------
    ValueError
        If the volume has none, or its classes are not numbered from 1.
    """
    if truth.scribbles is None:
        raise ValueError(f"{truth.name} has no NAME_scribble.nii.gz beside it.")
    if [one.value for one in truth.annotation.classes] != list(range(len(truth.annotation.classes))):
        raise ValueError(f"The classes of {truth.name} are not numbered from 1, as scribbles are expected to be.")
    drawn = truth.scribbles[index]
    return np.where(drawn > truth.indices.max(), IGNORE, drawn).astype(np.uint8)


Painter = Callable[["Truth", int], "LabelArray"]

PAINTERS: dict[str, Painter] = {"exact": exact, "a pixel off": a_pixel_off, "scribbles": scribbled}
