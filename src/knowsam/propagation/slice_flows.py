"""How the tissue moves from each slice of a volume to its neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from knowsam.propagation.registration import displaced, register

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_CHUNK_SLICES = 64
"""Slices registered at a time, so that a volume of many slices needs no more memory than one of few."""


class SliceFlows:
    """Displacements between neighbouring slices, and by them between distant ones.

    Parameters
    ----------
    planes : (N, H, W), the slices of one volume.
    sigma_px : radius of the neighbourhood that moves together; 0 leaves everything where it is, without a look at the
        image.
    check : called regularly; an exception it raises stops the work.
    """

    def __init__(self, planes: Tensor, sigma_px: float, check: Callable[[], None] | None = None) -> None:
        self.slices, self.plane = len(planes), (planes.shape[1], planes.shape[2])
        if sigma_px == 0 or self.slices < 2:
            still = planes.new_zeros(()).half()
            self._down = self._up = still.expand(max(self.slices - 1, 0), 2, *self.plane)
            return
        images = (planes - planes.mean()) / planes.std().clamp_min(1e-6)
        self._down = _registered(images[1:], images[:-1], sigma_px, check)
        self._up = _registered(images[:-1], images[1:], sigma_px, check)

    def still(self) -> Tensor:
        """Return no displacement, (2, H, W), float16."""
        return torch.zeros((2, *self.plane), dtype=torch.float16, device=self._down.device)

    def chains(self, sources: Sequence[int], ends: Sequence[int]) -> list[Tensor]:
        """Follow the tissue from slices to distant ones, slice by slice and for all of them at once.

        Parameters
        ----------
        sources : slices to start from.
        ends : for each the last slice to reach, below or above it.

        Returns
        -------
        For each source (K, 2, H, W), float16: the displacements, in px, that bring it to the K slices on the way, the
        nearest first; ``displaced(source, displacements)`` lies in these slices.
        """
        directions = [1 if end > source else -1 for source, end in zip(sources, ends, strict=True)]
        lengths = [abs(end - source) for source, end in zip(sources, ends, strict=True)]
        found: list[list[Tensor]] = [[] for _ in sources]
        reach = list(range(len(sources)))
        flow = torch.zeros((len(sources), 2, *self.plane), device=self._down.device)
        for distance in range(1, max(lengths, default=0) + 1):
            kept = [place for place, position in enumerate(reach) if lengths[position] >= distance]
            reach = [reach[place] for place in kept]
            step = torch.stack([self._step(sources[p] + directions[p] * distance, directions[p]) for p in reach])
            flow = step + displaced(flow[kept] if len(kept) < len(flow) else flow, step)
            for position, own in zip(reach, flow.half(), strict=True):
                found[position].append(own)
        nothing = flow.new_zeros((0, 2, *self.plane), dtype=torch.float16)
        return [torch.stack(own) if own else nothing for own in found]

    def _step(self, index: int, direction: int) -> Tensor:
        """Return the displacements (2, H, W) from a slice to the one before it on the way in a direction."""
        return (self._down[index - 1] if direction > 0 else self._up[index]).float()


def _registered(fixed: Tensor, moving: Tensor, sigma_px: float, check: Callable[[], None] | None) -> Tensor:
    chunks = [
        register(fixed[start : start + _CHUNK_SLICES], moving[start : start + _CHUNK_SLICES], sigma_px, check).half()
        for start in range(0, len(fixed), _CHUNK_SLICES)
    ]
    return torch.cat(chunks)
