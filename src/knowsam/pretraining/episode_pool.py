"""The episodes of the latest synthetic volumes, and shuffled, augmented batches of their slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from knowsam.pretraining.episodes import Episode
from knowsam.pretraining.slice_pool import SlicePool, flipped
from knowsam.propagation.evidence import IMAGE_MAPS

if TYPE_CHECKING:
    from collections.abc import Sequence

_BATCH_PIXELS = 18 * 64 * 96

_LARGEST = torch.tensor([4.0] * IMAGE_MAPS + [1.0] * 2 + [1.5] + [3.0] * 2).view(1, -1, 1, 1)
"""Largest absolute value of each map, since they are kept as whole numbers of one byte."""

_OTHER_DIRECTION = (2, 1, 0, 4, 3, 6, 5, 7, 8, 9)
"""The maps of a volume whose slices run the other way."""


class EpisodePool:
    """Keeps the slices of the latest volumes and draws batches.

    Parameters
    ----------
    seed : of the draws. device : of the batches.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._slices = SlicePool(seed, device, _BATCH_PIXELS)

    def add(self, samples: Sequence[Episode]) -> None:
        """Take the episodes of one more volume and forget those of the oldest one."""
        self._slices.add([(_packed(own.maps), own.position, own.target) for own in samples])

    def batch(self) -> Episode:
        """Draw slices of one plane size, from any volumes, and augment them."""
        maps, position, target = self._slices.draw()
        unpacked = maps.float() * (_LARGEST.to(self._slices.device) / 127)
        return self._augmented(Episode(unpacked, position, target.float()))

    def _augmented(self, episode: Episode) -> Episode:
        """Flip, turn and reverse all slices alike; change the grey values of each on its own."""
        flips = self._slices.flips()
        maps, target, position = flipped(episode.maps, flips), flipped(episode.target, flips), episode.position
        if flips[3]:
            sign = torch.tensor([-1.0, 1, 1, 1, 1], device=maps.device)
            maps, position = maps[:, _OTHER_DIRECTION], position * sign
        images = self._slices.grey_values(maps[:, :IMAGE_MAPS])
        ratios = maps[:, -2:] * (self._slices.uniform(len(maps), 0, 1) >= 0.12)
        return Episode(torch.cat([images, maps[:, IMAGE_MAPS:-2], ratios], dim=1), position, target)


def _packed(maps: Tensor) -> Tensor:
    """Keep maps as one byte a value."""
    return (maps / _LARGEST * 127).round().clamp(-127, 127).to(torch.int8)
