"""A structure that was outlined in one slice is followed to the slices beside it, until it looks like another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from knowsam.prompting.slice_prompts import SlicePrompts, logits_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from knowsam.prompting.prompted_volume import PromptedMask, PromptedVolume
    from knowsam.prompting.slice_prompts import Mask

_LEAST_ALIKE = 0.65
_LEAST_SHARE = 0.4
"""Of the area from one slice to the next, or the other way round."""

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
    The slices, the nearest first, as long as the grey values inside are those of the structure where it began, and its
    area does not leap. SAM's own view of its masks tells less of where a structure ends (`benchmarks/prompts.py`).
    """
    if not mask.any():
        return
    grey = _histogram(volume.grey_values(index, mask))
    area, logits = int(mask.sum()), logits_of(mask)
    while 0 <= index + direction < volume.slice_count:
        logits = volume.moved(logits, index, index + direction)
        if not (logits > 0).any():
            return
        index += direction
        found = volume.ask(index, SlicePrompts(logits=logits))
        now = int(found.mask.sum())
        alike = np.minimum(grey, _histogram(volume.grey_values(index, found.mask))).sum()
        if alike < _LEAST_ALIKE or min(now, area) < _LEAST_SHARE * max(now, area):
            return
        yield index, found
        area, logits = now, found.logits


def _histogram(grey_values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return how frequent grey values in [0, 1] are, smoothed, sum one; all zero for none."""
    counts = np.convolve(np.histogram(grey_values, _BINS, (0, 1))[0], _SMOOTHING, mode="same")
    return np.asarray(counts / max(counts.sum(), 1))
