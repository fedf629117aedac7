"""Completion of scribbles by random walks: an unlabelled pixel gets the class that a walker most probably comes from.

L. Grady, "Random Walks for Image Segmentation", TPAMI 2006; the walkers are those of scikit-image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from knowsam.data.annotation import IGNORE

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelArray

COMPLETION_ERROR = 0.21
"""How wrong the completed slices of real scribbles are, in 1 - Dice; benchmarks/README.md has the measurement."""

_FLAT, _EDGE = 0.001, 0.1
"""Differences of neighbours, in standard deviations: beyond noise, and of edges in an image without noise."""

_FEWEST_UNEVEN = 0.1
"""Share of neighbours that differ, below which the image has no noise."""


def completed(scribbles: LabelArray, image: npt.NDArray[Any]) -> LabelArray:
    """Return the class indices (H, W) of all pixels of a slice.

    Parameters
    ----------
    scribbles : (H, W), class indices of at least two classes, IGNORE where unlabelled.
    image : (H, W), grey values in [0, 1].
    """
    # Imported here, since it takes a while, and most slices are painted completely.
    from skimage.segmentation import random_walker

    if (scribbles != IGNORE).all():
        return scribbles
    found, seeds = np.unique(scribbles[scribbles != IGNORE], return_inverse=True)
    # scikit-image takes 0 for unlabelled, so every class moves up by one.
    numbered = np.zeros(scribbles.shape, np.int32)
    numbered[scribbles != IGNORE] = seeds + 1
    in_steps = _in_common_steps(image)
    # scikit-image divides beta by ten deviations of the image.
    labels: LabelArray = found[random_walker(in_steps, numbered, beta=10 * in_steps.std(), mode="bf") - 1]
    return labels


def _in_common_steps(image: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the image in units by which neighbours commonly differ, which is noise for the most part.

    A step of n units then makes a walker's way exp(n^2) times harder. What is flat, as beside the body, tells nothing
    of noise; where nearly all is, steps are edges.
    """
    image = image.astype(np.float64)
    deviation = float(image.std())
    if not deviation:
        # scikit-image would divide by it.
        return np.linspace(0, 1e-3, image.size).reshape(image.shape)
    steps = np.abs(np.concatenate([np.diff(image, axis=axis).ravel() for axis in (0, 1)]))
    uneven = steps[steps > _FLAT * deviation]
    is_noisy = uneven.size >= _FEWEST_UNEVEN * steps.size
    scaled: npt.NDArray[np.float64] = image / (np.median(uneven) if is_noisy else _EDGE * deviation)
    return scaled
