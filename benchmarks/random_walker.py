"""Rival: random walker (Grady 2006) with the annotated slices as seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from rival import Effort, Outcome
from skimage import segmentation

from knowsam.config import Config
from knowsam.data.intensity import unit_scale

if TYPE_CHECKING:
    from tasks import Task

BETA = 130
PROBABILITY_TOLERANCE = 1.0
"""Only the largest counts: an exact solver gave the same mask in forty times the time."""


def walk(task: Task, _: Effort) -> Outcome:
    """Let the walkers go between neighbouring annotated slices, in the region round what was annotated."""
    labels = np.zeros(task.truth.shape, np.uint8)
    rows, columns = task.region
    images = _standardised(task.images[:, rows, columns])
    for before, after in task.gaps():
        gap = (slice(before, after + 1), rows, columns)
        seeds = np.zeros(labels[gap].shape, np.int32)
        # Zero means unknown to the walker, so every class moves up by one.
        seeds[0] = task.labels_of(before)[rows, columns].astype(np.int32) + 1
        seeds[-1] = task.labels_of(after)[rows, columns].astype(np.int32) + 1
        found = segmentation.random_walker(
            images[before : after + 1],
            seeds,
            beta=BETA,
            mode="cg_j",
            prob_tol=PROBABILITY_TOLERANCE,
            spacing=task.spacing_mm,
        )
        labels[gap] = found - 1
    return Outcome(labels)


def _standardised(images: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return grey values of mean 0 and deviation 1, extremes clipped, since beta needs a common unit."""
    clipped = unit_scale(images, Config().plane.clip_percent)(images).astype(np.float64)
    standardised: npt.NDArray[np.float64] = (clipped - clipped.mean()) / clipped.std()
    return standardised
