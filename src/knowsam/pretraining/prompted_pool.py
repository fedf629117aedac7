"""Slices of the latest synthetic volumes for SAM, and shuffled, augmented batches of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from knowsam.inference.planes import with_neighbours
from knowsam.pretraining.episodes import questions
from knowsam.pretraining.prompting import PromptSource
from knowsam.pretraining.slice_pool import SlicePool, flipped

if TYPE_CHECKING:
    from collections.abc import Sequence

_BATCH_PIXELS = 12 * 64 * 96
_MIDDLE_GREY, _GREY_DEVIATION = 0.5, 0.25


class PromptedSlices(NamedTuple):
    """Slices in which SAM is asked for one structure.

    Parameters
    ----------
    images : (B, 3, H, W), in [0, 1], with the slices below and above as channels.
    propagated : (B, 1, H, W), the probability that propagated labels give the structure.
    target : (B, 1, H, W).
    """

    images: Tensor
    propagated: Tensor
    target: Tensor


class PromptedBatch(NamedTuple):
    """A batch of slices, and where the prompts for them come from."""

    slices: PromptedSlices
    prompts: PromptSource


def prompted_slices(seed: int) -> list[PromptedSlices]:
    """Return slices of one synthetic volume, for each painter and class, one byte a value."""
    found = []
    for question in questions(seed):
        indices = torch.tensor(question.indices)
        images = with_neighbours(question.volume.image, indices, neighbours=True)
        for index, target in question.targets():
            propagated = question.propagated.probabilities[:, index : index + 1]
            found.append(PromptedSlices(_packed(images), _packed(propagated), target))
    return found


class PromptedPool:
    """Keeps the slices of the latest volumes and draws batches.

    Parameters
    ----------
    seed : of the draws and of the prompts. device : of the batches.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._slices = SlicePool(seed, device, _BATCH_PIXELS)
        self._prompts = PromptSource(self._slices.generator, device)

    def add(self, samples: Sequence[PromptedSlices]) -> None:
        """Take the slices of one more volume and forget those of the oldest one."""
        self._slices.add(samples)

    def batch(self) -> PromptedBatch:
        """Draw slices of one plane size, from any volumes, and augment them."""
        flips = self._slices.flips()
        images, propagated, target = (flipped(maps, flips).float() for maps in self._slices.draw())
        images = images.flip(1) if flips[3] else images
        standardised = self._slices.grey_values((images / 255 - _MIDDLE_GREY) / _GREY_DEVIATION)
        images = (standardised * _GREY_DEVIATION + _MIDDLE_GREY).clamp(0, 1)
        return PromptedBatch(PromptedSlices(images, propagated / 255, target), self._prompts)


def _packed(maps: Tensor) -> Tensor:
    return (255 * maps).round().byte()
