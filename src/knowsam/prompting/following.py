"""A structure that was outlined in one slice is followed to the slices beside it, until it looks like another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from knowsam.inference.metrics import dice_score
from knowsam.prompting.slice_prompts import SlicePrompts, logits_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from knowsam.prompting.prompted_volume import PromptedMask, PromptedVolume
    from knowsam.prompting.slice_prompts import Mask

_LEAST_OVERLAP = 0.9
"""Dice of SAM's mask and the first one, brought there by registration."""

_LEAST_SHARE = 0.6
"""Of the area where it began, or the other way round."""

_LEAST_ALIKE = 0.65
"""What the histograms of the grey values inside have in common."""

_BINS = 24
_SMOOTHING = 0.25, 0.5, 0.25


def followed(volume: PromptedVolume, index: int, mask: Mask, direction: int) -> Iterator[tuple[int, PromptedMask]]:
    """Follow a structure from a slice in one direction.

    Each slice is asked for by the mask of the one before, brought to it by registration.

    Parameters
    ----------
    mask : (H, W), the structure in slice `index`. direction : 1 or -1.

    Yields
    ------
    The slices, the nearest first, as long as SAM's mask agrees with registration alone, and area and grey values inside
    are about those of the structure where it began. That stops early rather than late. SAM's own view of its mask, or
    a comparison with the slice before, tells less of where a structure is lost (`benchmarks/prompts.py --stopping`).
    """
    if not mask.any():
        return
    grey, area_px, logits = _histogram(volume.grey_values(index, mask)), int(mask.sum()), logits_of(mask)
    for registered in volume.registered(mask, index, direction):
        logits = volume.moved(logits, index, index + direction)
        if not (logits > 0).any():
            return
        index += direction
        found = volume.ask(index, SlicePrompts(logits=logits))
        now_px, overlap = int(found.mask.sum()), dice_score(found.mask, registered, value=1)
        alike = np.minimum(grey, _histogram(volume.grey_values(index, found.mask))).sum()
        is_of_a_size = min(now_px, area_px) >= _LEAST_SHARE * max(now_px, area_px)
        if overlap < _LEAST_OVERLAP or not is_of_a_size or alike < _LEAST_ALIKE:
            return
        yield index, found
        logits = found.logits


def _histogram(grey_values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return how frequent grey values in [0, 1] are, smoothed, sum one; all zero for none."""
    counts = np.convolve(np.histogram(grey_values, _BINS, (0, 1))[0], _SMOOTHING, mode="same")
    return np.asarray(counts / max(counts.sum(), 1))
