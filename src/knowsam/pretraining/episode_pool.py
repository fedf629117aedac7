"""The episodes of the latest synthetic volumes, and shuffled, augmented batches of their slices."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from knowsam.pretraining.episodes import Episode
from knowsam.propagation.evidence import IMAGE_MAPS

if TYPE_CHECKING:
    from collections.abc import Sequence

_VOLUMES = 100
_BATCH_VALUES = 18 * 64 * 96
"""Pixels of a batch: its slices are as many as they are small."""

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
        self._volumes: deque[list[Episode]] = deque(maxlen=_VOLUMES)
        self._generator = Generator().manual_seed(seed)
        self._device = device

    def add(self, episodes: Sequence[Episode]) -> None:
        """Take the episodes of one more volume and forget those of the oldest one."""
        self._volumes.append([_packed(episode) for episode in episodes])

    def batch(self) -> Episode:
        """Draw slices of one plane size, from any volumes, and augment them."""
        by_size: dict[tuple[int, int], list[Episode]] = {}
        for episode in (episode for volume in self._volumes for episode in volume):
            height, width = episode.target.shape[-2:]
            by_size.setdefault((height, width), []).append(episode)
        sizes = list(by_size)
        pixels = torch.tensor([sum(episode.target.numel() for episode in by_size[size]) for size in sizes])
        size = sizes[int(torch.multinomial(pixels.float(), 1, generator=self._generator))]
        own = by_size[size]
        places = [(number, row) for number, episode in enumerate(own) for row in range(len(episode.target))]
        count = max(round(_BATCH_VALUES / (size[0] * size[1])), 2)
        drawn = [places[int(i)] for i in torch.randint(len(places), (count,), generator=self._generator)]
        maps, position, target = (
            torch.stack([getattr(own[number], name)[row] for number, row in drawn]).to(self._device)
            for name in ("maps", "position", "target")
        )
        unpacked = maps.float() * (_LARGEST.to(self._device) / 127)
        return self._augmented(Episode(unpacked, position, target.float()))

    def _augmented(self, episode: Episode) -> Episode:
        """Flip, turn and reverse all slices alike; change the grey values of each on its own."""
        maps, position, target = episode.maps, episode.position, episode.target
        if self._happens():
            maps, target = maps.flip(3), target.flip(3)
        if self._happens():
            maps, target = maps.flip(2), target.flip(2)
        if self._happens():
            maps, target = maps.transpose(2, 3), target.transpose(2, 3)
        if self._happens():
            sign = torch.tensor([-1.0, 1, 1, 1, 1], device=self._device)
            maps, position = maps[:, _OTHER_DIRECTION], position * sign
        images = self._grey_values(maps[:, :IMAGE_MAPS])
        ratios = maps[:, -2:] * (self._uniform(len(maps), 0, 1) >= 0.12)
        return Episode(torch.cat([images, maps[:, IMAGE_MAPS:-2], ratios], dim=1), position, target.contiguous())

    def _grey_values(self, images: Tensor) -> Tensor:
        """Bend, stretch, shift and at times invert the grey values, and add noise."""
        count = len(images)
        images = images + self._uniform(count, -0.12, 0.12) * (images**2 - 1)
        images = images + self._uniform(count, -0.02, 0.02) * images**3
        images = images * self._uniform(count, 0.7, 1.3) + self._uniform(count, -0.3, 0.3)
        images = torch.where(self._uniform(count, 0, 1) < 0.3, -images, images)
        amplitude = self._uniform(count, 0, 0.35) * (self._uniform(count, 0, 1) < 0.4)
        noise = torch.randn(images.shape, generator=self._generator)
        return images + amplitude * noise.to(self._device)

    def _happens(self) -> bool:
        return bool(torch.rand((), generator=self._generator) < 0.5)

    def _uniform(self, count: int, low: float, high: float) -> Tensor:
        values = low + (high - low) * torch.rand((count, 1, 1, 1), generator=self._generator)
        return values.to(self._device)


def _packed(episode: Episode) -> Episode:
    """Keep maps as one byte a value."""
    maps = (episode.maps / _LARGEST * 127).round().clamp(-127, 127).to(torch.int8)
    return Episode(maps, episode.position, episode.target)
