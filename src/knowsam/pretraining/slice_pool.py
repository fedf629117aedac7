"""Slices of the latest synthetic volumes, drawn at random, and random numbers to augment them with."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

_VOLUMES = 100
_INVERTED = 0.3


class SlicePool:
    """Keeps what is known of the slices of the latest volumes: tensors (B, ...), the last one (B, 1, H, W).

    Parameters
    ----------
    seed : of the draws. device : of what is drawn.
    pixels : of a batch; its slices are as many as they are small.
    """

    def __init__(self, seed: int, device: torch.device, pixels: int) -> None:
        self._volumes: deque[list[tuple[Tensor, ...]]] = deque(maxlen=_VOLUMES)
        self.generator = Generator().manual_seed(seed)
        self.device = device
        self._pixels = pixels

    def add(self, stacks: Sequence[tuple[Tensor, ...]]) -> None:
        """Take the slices of one more volume and forget those of the oldest one."""
        self._volumes.append(list(stacks))

    def draw(self) -> tuple[Tensor, ...]:
        """Draw slices of one plane size, from any volumes."""
        by_size: dict[torch.Size, list[tuple[Tensor, ...]]] = {}
        for stack in (stack for volume in self._volumes for stack in volume):
            by_size.setdefault(stack[-1].shape[-2:], []).append(stack)
        sizes = list(by_size)
        pixels = torch.tensor([sum(stack[-1].numel() for stack in by_size[size]) for size in sizes])
        size = sizes[int(torch.multinomial(pixels.float(), 1, generator=self.generator))]
        own = by_size[size]
        places = [(stack, row) for stack in own for row in range(len(stack[-1]))]
        count = max(round(self._pixels / size.numel()), 2)
        drawn = [places[int(i)] for i in torch.randint(len(places), (count,), generator=self.generator)]
        return tuple(torch.stack(rows).to(self.device) for rows in zip(*_rows(drawn), strict=True))

    def flips(self) -> tuple[bool, ...]:
        """Draw whether a batch is mirrored, turned upside down, turned over, and reversed in its slices."""
        return tuple((torch.rand(4, generator=self.generator) < 0.5).tolist())

    def grey_values(self, images: Tensor) -> Tensor:
        """Bend, stretch, shift and at times invert standardised grey values (B, K, H, W), and add noise."""
        count = len(images)
        images = images + self.uniform(count, -0.12, 0.12) * (images**2 - 1)
        images = images + self.uniform(count, -0.02, 0.02) * images**3
        images = images * self.uniform(count, 0.7, 1.3) + self.uniform(count, -0.3, 0.3)
        images = torch.where(self.uniform(count, 0, 1) < _INVERTED, -images, images)
        amplitude = self.uniform(count, 0, 0.35) * (self.uniform(count, 0, 1) < 0.4)
        return images + amplitude * torch.randn(images.shape, generator=self.generator).to(self.device)

    def uniform(self, count: int, low: float, high: float) -> Tensor:
        """Draw (count, 1, 1, 1) between two numbers."""
        return (low + (high - low) * torch.rand((count, 1, 1, 1), generator=self.generator)).to(self.device)


def flipped(maps: Tensor, flips: Sequence[bool]) -> Tensor:
    """Return maps (B, K, H, W) mirrored, turned upside down and turned over, see `SlicePool.flips`."""
    mirrored, upside_down, turned_over = flips[:3]
    maps = maps.flip(3) if mirrored else maps
    maps = maps.flip(2) if upside_down else maps
    return maps.transpose(2, 3).contiguous() if turned_over else maps


def _rows(drawn: Sequence[tuple[tuple[Tensor, ...], int]]) -> list[tuple[Tensor, ...]]:
    return [tuple(tensor[row] for tensor in stack) for stack, row in drawn]
