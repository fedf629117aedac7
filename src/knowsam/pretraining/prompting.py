"""Prompts as a person or the students might give them: boxes, clicks, and masks that are not quite right."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from knowsam.models.sam_prompting import BOTTOM_RIGHT, INSIDE, MOST_LOGIT, NO_POINT, OUTSIDE, TOP_LEFT, Prompts
from knowsam.propagation.registration import displaced, gaussian

_ALSO = 0.1
"""How often a box, or a click, comes with a prompt of another kind."""

_ROUNDS = (1, 1, 2, 3)
_BOX_JITTER = 0.1
_LEAST_PROBABILITY = 2e-3


class Shares(NamedTuple):
    """How often a slice is first prompted by a propagated mask, a degraded one and a box; otherwise by a click."""

    propagated: float
    degraded: float
    boxed: float


_PRETRAINING = Shares(propagated=0.25, degraded=0.15, boxed=0.35)


class PromptSource:
    """Draws prompts.

    Parameters
    ----------
    generator : of the draws. device : of the prompts.
    shares : of the kinds of first prompts.
    """

    def __init__(self, generator: Generator, device: torch.device, shares: Shares = _PRETRAINING) -> None:
        self._generator, self._device, self._shares = generator, device, shares

    def first(self, target: Tensor, propagated: Tensor) -> Prompts:
        """Ask for the target (B, 1, H, W) of each slice in one way or another.

        Parameters
        ----------
        propagated : (B, 1, H, W), probabilities; the only prompt where the target is empty.
        """
        count = len(target)
        kind, there = self._uniform(count, 0, 1), target.amax(dim=(2, 3), keepdim=True) > 0
        is_propagated = (kind < self._shares.propagated) | ~there
        is_masked = (kind < self._shares.propagated + self._shares.degraded) | ~there
        is_boxed = ~is_masked & (kind < sum(self._shares))
        masks = torch.where(is_propagated, self.propagated_mask(propagated), self.degraded_mask(target))
        box, corners = self.box(target)
        click, clicked = self.click(target, target)
        corners = torch.where((is_boxed | self._happens(count, _ALSO) & there).view(-1, 1), corners, NO_POINT)
        clicked = torch.where((~is_masked & ~is_boxed | self._happens(count, _ALSO)).view(-1, 1), clicked, NO_POINT)
        kinds = torch.cat([corners, clicked], dim=1)
        return Prompts(torch.cat([box, click], dim=1), kinds, masks * is_masked, is_masked.float())

    def rounds(self) -> int:
        """Draw how often SAM is prompted for one mask."""
        return _ROUNDS[int(torch.randint(len(_ROUNDS), (), generator=self._generator))]

    def corrected(self, prompts: Prompts, found: Tensor, target: Tensor) -> Prompts:
        """Add a click where the mask found, logits (B, 1, H, W), is wrong, and go on from that mask."""
        click, clicked = self.click(((found > 0) != (target > 0)).float(), target)
        points, kinds = torch.cat([prompts.points, click], dim=1), torch.cat([prompts.kinds, clicked], dim=1)
        return Prompts(points, kinds, found, torch.ones_like(prompts.has_mask))

    def propagated_mask(self, probabilities: Tensor) -> Tensor:
        """Return propagated labels as mask prompts, more or less sure of themselves."""
        return torch.logit(probabilities, eps=_LEAST_PROBABILITY) * self._uniform(len(probabilities), 0.5, 1.5)

    def degraded_mask(self, target: Tensor) -> Tensor:
        """Return masks (B, 1, H, W) that are bent, shifted, too large or too small, torn, or have false pieces."""
        count, side = len(target), math.sqrt(target[0].numel())
        width = target.sum(dim=(1, 2, 3), keepdim=True).sqrt()
        bent = 0.12 * width * self._uniform(count, 0, 1) ** 2 * self._fields(target, 2, cells=5)
        shifted = 0.15 * width * self._uniform(count, 0, 1) ** 2 * self._randn(count, 2, 1, 1)
        mask = gaussian(displaced(2 * target - 1, bent + shifted), 0.01 * side) + self._uniform(count, -0.6, 0.6)
        waves = self._fields(target, 1, cells=4)
        is_missing = (waves > self._uniform(count, 1, 2)) & self._happens(count, 0.4)
        is_false = (waves < self._uniform(count, -3, -2)) & self._happens(count, 0.2)
        mask = torch.where(is_missing, -1.0, torch.where(is_false, 1.0, mask))
        return mask * self._uniform(count, 1, MOST_LOGIT)

    def box(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the corners (B, 2, 2) of boxes round the targets, not quite in place, and their kinds (B, 2)."""
        corners = []
        for axis in (3, 2):
            is_held = target.amax(dim=5 - axis)[:, 0] > 0
            places = torch.arange(is_held.shape[1], device=self._device)
            low = torch.where(is_held, places, len(places)).amin(dim=1)
            high = torch.where(is_held, places, -1).amax(dim=1)
            jitter = _BOX_JITTER * (high - low + 1).clamp_min(0) * self._randn(2, len(target)).clamp(-1, 1)
            corners.append(torch.stack([low, high]) + jitter)
        kinds = torch.tensor([TOP_LEFT, BOTTOM_RIGHT], device=self._device).expand(len(target), -1)
        return torch.stack(corners, dim=-1).movedim(0, 1), kinds

    def click(self, region: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return a click (B, 1, 2) somewhere in a region (B, 1, H, W), and its kind (B, 1); none where it is empty."""
        chance = region.flatten(1) * torch.rand(region.flatten(1).shape, generator=self._generator).to(self._device)
        place = chance.argmax(dim=1, keepdim=True)
        is_inside = target.flatten(1).gather(1, place) > 0
        kinds = torch.where(is_inside, INSIDE, OUTSIDE)
        kinds = torch.where(chance.amax(dim=1, keepdim=True) > 0, kinds, NO_POINT)
        width = region.shape[3]
        return torch.stack([place % width, place // width], dim=-1).float(), kinds

    def _fields(self, like: Tensor, channels: int, *, cells: int) -> Tensor:
        """Draw smooth fields (B, channels, H, W) of about unit variance."""
        coarse = self._randn(len(like), channels, cells, cells)
        return 1.5 * F.interpolate(coarse, size=like.shape[-2:], mode="bicubic", align_corners=False)

    def _happens(self, count: int, probability: float) -> Tensor:
        return self._uniform(count, 0, 1) < probability

    def _uniform(self, count: int, low: float, high: float) -> Tensor:
        values = low + (high - low) * torch.rand((count, 1, 1, 1), generator=self._generator)
        return values.to(self._device)

    def _randn(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._generator).to(self._device)
