"""Grey values of any scanner brought to [0, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_SAMPLED_VOXELS = 1_000_000


def intensity_range(array: npt.NDArray[Any], clip_percent: float) -> tuple[float, float]:
    """Return the grey values that become 0 and 1: percentiles, or minimum and maximum where these coincide.

    Parameters
    ----------
    clip_percent : share of the voxels beyond each of the two.

    >>> intensity_range(np.arange(101), 10.0)
    (10.0, 90.0)
    """
    # A regular subset keeps this quick on big volumes; percentiles of a million voxels are good to 0.1 %.
    sampled = array.reshape(-1)[:: max(array.size // _SAMPLED_VOXELS, 1)]
    low, high = (float(value) for value in np.percentile(sampled, (clip_percent, 100 - clip_percent)))
    return (low, high) if high > low else (float(array.min()), float(array.max()))


def to_unit_range(array: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.float32]:
    """Map `low` to 0 and `high` to 1 and clip what lies beyond; a single grey value becomes 0."""
    if high == low:
        return np.zeros(array.shape, np.float32)
    scaled = (array.astype(np.float32) - np.float32(low)) / np.float32(high - low)
    return np.clip(scaled, 0.0, 1.0, out=scaled)
