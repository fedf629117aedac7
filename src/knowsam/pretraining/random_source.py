"""Seeded draws of numbers, curves and smooth random fields."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

_BUMP_WIDTH = 0.75
"""Standard deviation of a bump relative to the distance of neighbouring ones."""


class RandomSource:
    """Draws all that is random in one synthetic volume.

    Parameters
    ----------
    seed : two sources of one seed draw the same.

    Attributes
    ----------
    numbers : for whatever has no method here.
    """

    def __init__(self, seed: int) -> None:
        self.numbers = np.random.default_rng(seed)
        self._tensors = torch.Generator().manual_seed(seed)

    def uniform(self, low: float, high: float) -> float:
        """Draw a number between two others."""
        return float(self.numbers.uniform(low, high))

    def log_uniform(self, low: float, high: float) -> float:
        """Draw a number between two positive ones; each factor is as probable."""
        return math.exp(self.numbers.uniform(math.log(low), math.log(high)))

    def whole(self, low: int, high: int) -> int:
        """Draw a whole number from `low` to `high`, both included."""
        return int(self.numbers.integers(low, high + 1))

    def normal(self) -> float:
        """Draw from the standard normal distribution."""
        return float(self.numbers.normal())

    def happens(self, probability: float) -> bool:
        """Return whether something of this probability happens."""
        return bool(self.numbers.random() < probability)

    def white(self, *shape: int) -> Tensor:
        """Draw independent standard normal values."""
        return torch.randn(shape, generator=self._tensors)

    def curve(self, length: int, smoothness: float) -> Tensor:
        """Draw a smooth curve (length,) of unit variance that is correlated over `smoothness` places."""
        bumps = _bumps(length, smoothness)
        return bumps @ self.white(bumps.shape[1])

    def fields(self, count: int, shape: tuple[int, int, int], slices: float, px: float) -> Tensor:
        """Draw smooth fields (count, N, H, W) of unit variance that are correlated over some slices and pixels."""
        bumps = [_bumps(n, smoothness) for n, smoothness in zip(shape, (slices, px, px), strict=True)]
        heights = self.white(count, *(own.shape[1] for own in bumps))
        return torch.einsum("kzyx,nz,hy,wx->knhw", heights, *bumps)


def _bumps(length: int, distance: float) -> Tensor:
    """Return Gaussian bumps (length, M) some distance apart; unit weights give unit variance everywhere."""
    centers = (torch.arange(math.ceil(length / distance) + 3) - 1) * distance
    bumps = torch.exp(-0.5 * ((torch.arange(length)[:, None] - centers) / (_BUMP_WIDTH * distance)) ** 2)
    normalised: Tensor = bumps / bumps.norm(dim=1, keepdim=True)
    return normalised
