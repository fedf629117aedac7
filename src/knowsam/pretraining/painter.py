"""A simulated annotator: which slices, and how far the outlines lie from the edges in the image."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from knowsam.propagation.registration import displaced, gaussian

if TYPE_CHECKING:
    from knowsam.pretraining.random_source import RandomSource


def as_painted(source: RandomSource, labels: Tensor) -> Tensor:
    """Return class indices (N, H, W) as one hand would paint every slice.

    Its outlines are smooth and lie somewhat inside or outside of the edge, by an amount that changes slowly from slice
    to slice. What is asked for is drawn by the same hand.
    """
    classes = int(labels.max()) + 1
    if classes == 2 and source.happens(0.6):
        smooth = gaussian(labels.float(), source.log_uniform(0.6, 2.5)) > source.uniform(0.3, 0.7)
        if int(smooth.sum()) > 0.4 * int(labels.sum()):
            labels = smooth.long()
    if source.happens(0.7):
        shape = (len(labels), labels.shape[1], labels.shape[2])
        deviation = source.fields(2, shape, source.uniform(2, 10), source.uniform(4, 14)).movedim(0, 1)
        labels = _bent(labels, classes, source.log_uniform(0.2, 1.3) * deviation)
    return labels


def with_jitter(source: RandomSource, labels: Tensor) -> Tensor:
    """Return class indices (K, H, W) with each slice bent on its own: no hand draws the same line twice."""
    if not source.happens(0.85):
        return labels
    amplitude, px = source.log_uniform(0.1, 0.8), source.log_uniform(3, 10)
    shape = (1, labels.shape[1], labels.shape[2])
    deviation = torch.cat([source.fields(2, shape, 1, px).movedim(0, 1) for _ in labels])
    return _bent(labels, int(labels.max()) + 1, amplitude * deviation)


def chosen_slices(source: RandomSource, first: int, last: int, radius_slices: float) -> list[int]:
    """Choose two or more slices to annotate, ascending.

    In one of three cases they leave out a part of the structure at one end or at both.

    Parameters
    ----------
    first, last : slices that hold the structure. radius_slices : its mean radius over the distance of slices.
    """
    length = last - first
    if source.happens(0.35):
        first += round(source.uniform(0, 0.35) * length)
        last -= round(source.uniform(0, 0.35) * length)
        length = last - first
    gap = (
        source.log_uniform(0.25, 2.2) * radius_slices if source.happens(0.7) else source.log_uniform(2, max(length, 3))
    )
    count = min(max(round(length / max(gap, 2)), 1), max(length // 2, 1)) + 1
    places = torch.linspace(first, last, count)
    if source.happens(0.5):
        places = places + 0.2 * length / max(count - 1, 1) * source.white(count)
    return sorted({min(max(round(place), first), last) for place in places.tolist()})


def radius_of(labels: Tensor) -> float:
    """Return the radius, in px, of a circle as large as the structure is on average where it is present."""
    areas = (labels > 0).flatten(1).sum(dim=1).float()
    return math.sqrt(float(areas[areas > 0].mean()) / math.pi)


def _bent(labels: Tensor, classes: int, deviation: Tensor) -> Tensor:
    """Displace class indices (N, H, W) by (N, 2, H, W), in px."""
    shares = F.one_hot(labels, classes).movedim(-1, 1).float()
    return displaced(shares, deviation).argmax(dim=1)
