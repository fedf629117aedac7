"""Rival: a random forest on filter responses, the way interactive pixel classifiers (ilastik, convpaint) work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from rival import Effort, Outcome
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier

if TYPE_CHECKING:
    from tasks import Task

FloatArray = npt.NDArray[np.float32]

SCALES_PX = (1.0, 2.0, 4.0)
TREES = 100
TRAINING_PIXELS = 20_000
"""Drawn from all pixels of the annotated slices: far more than anybody scribbles for such a classifier."""


def classify(task: Task, effort: Effort) -> Outcome:
    """Classify pixels by filters of their slice and of the two beside it."""
    return _classify(task, effort, with_position=False)


def classify_with_position(task: Task, effort: Effort) -> Outcome:
    """Classify pixels by the same filters and by where they lie: slice, row and column."""
    return _classify(task, effort, with_position=True)


def _classify(task: Task, effort: Effort, *, with_position: bool) -> Outcome:
    rows, columns = task.region
    filters = _filters(task.images[:, rows, columns].astype(np.float32))
    pixels = np.concatenate([_pixels(filters, index, with_position=with_position) for index in task.annotated])
    classes = np.concatenate([task.labels_of(index)[rows, columns].ravel() for index in task.annotated])
    drawn = np.random.default_rng(effort.seed).permutation(len(classes))[:TRAINING_PIXELS]
    forest = RandomForestClassifier(TREES, n_jobs=effort.threads, random_state=effort.seed)
    forest.fit(pixels[drawn], classes[drawn])
    labels = np.zeros(task.truth.shape, np.uint8)
    for index in range(task.annotated[0], task.annotated[-1] + 1):
        found = forest.predict(_pixels(filters, index, with_position=with_position))
        labels[index, rows, columns] = found.reshape(filters.shape[2:])
    return Outcome(labels)


def _pixels(filters: FloatArray, index: int, *, with_position: bool) -> FloatArray:
    """Return the features of all pixels of a slice, (H W, features)."""
    _, count, height, width = filters.shape
    near = np.clip([index - 1, index, index + 1], 0, count - 1)
    features = filters[:, near].reshape(-1, height * width)
    if with_position:
        position = [np.full((height, width), index), *np.indices((height, width))]
        features = np.concatenate([features, np.reshape(position, (3, -1)).astype(np.float32)])
    return features.T


def _filters(images: FloatArray) -> FloatArray:
    """Return the responses (K, N, H, W) of all filters within each slice of (N, H, W)."""
    return np.stack([images, *(response for scale in SCALES_PX for response in _responses(images, scale))])


def _responses(images: FloatArray, scale_px: float) -> list[FloatArray]:
    """Return Gaussian, gradient, Laplacian and the eigenvalues of Hessian and structure tensor at one scale."""

    def derivative(down: int, across: int) -> Any:
        return ndimage.gaussian_filter(images, (0, scale_px, scale_px), order=(0, down, across))

    def summed(product: Any) -> Any:
        return ndimage.gaussian_filter(product, (0, scale_px, scale_px))

    dy, dx, dyy, dyx, dxx = (derivative(*order) for order in ((1, 0), (0, 1), (2, 0), (1, 1), (0, 2)))
    hessian = _eigenvalues(dyy, dyx, dxx)
    structure = _eigenvalues(summed(dy * dy), summed(dy * dx), summed(dx * dx))
    return [derivative(0, 0), np.hypot(dy, dx), dyy + dxx, *hessian, *structure]


def _eigenvalues(yy: Any, yx: Any, xx: Any) -> tuple[FloatArray, FloatArray]:
    """Return both eigenvalues of the symmetric matrices [[yy, yx], [yx, xx]], the larger one first."""
    middle, radius = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
    return middle + radius, middle - radius
