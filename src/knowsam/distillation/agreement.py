"""The agreement of a student with its teacher, and the latency of both."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor, nn

from knowsam.distillation.embedding_map import unexplained
from knowsam.distillation.prompts import boxed, clicked, masked
from knowsam.pretraining.prompting import PromptSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from knowsam.models.promptable_sam import PromptableSam
    from knowsam.models.prompted_sam import PromptedSam
    from knowsam.models.sam_prompting import Prompts

_CLICKS = 3
_TIMED = 5
"""Times each is timed, after once for nothing; the median counts."""


@dataclass(frozen=True)
class Agreement:
    """The agreement of a student with its teacher, on held-out slices.

    Parameters
    ----------
    slices : how many there are.
    embedding_error : mean squared error of the embedding, relative to the variance of the teacher's: 0 the same, 1 no
        better than its mean. Where the widths differ, after the best linear map.
    one_click, three_clicks, box, mask : mean Dice of both masks, each for the same prompts. A click lies anywhere, and
        further ones where both disagree; box and mask lie about round what the teacher finds at the first click.
    """

    slices: int
    embedding_error: float
    one_click: float
    three_clicks: float
    box: float
    mask: float


@torch.no_grad()
def agreement(
    teacher: PromptableSam, student: PromptedSam, to_teacher: nn.Module, images: Tensor, seen: Tensor, seed: int
) -> Agreement:
    """Compare a student with its teacher.

    Parameters
    ----------
    to_teacher : maps embeddings of the student to those of the teacher.
    images : (B, 3, H, W), in [0, 1]. seen : the teacher's embeddings of them, (B, ...).
    seed : of the prompts.
    """
    source = PromptSource(Generator().manual_seed(seed), images.device)
    own = student.embed(images)

    def asked(prompts: Prompts) -> tuple[Tensor, Tensor]:
        return student.masks(own, prompts)[0], teacher.masks(seen, prompts)[0]

    prompts = clicked(source, images[:, :1])
    found, target = asked(prompts)
    structure, one_click = (target > 0).float(), mean_dice(found > 0, target > 0)
    for _ in range(_CLICKS - 1):
        prompts = source.corrected(prompts, found, (target > 0).float())
        found, target = asked(prompts)
    three_clicks = mean_dice(found > 0, target > 0)
    box, mask = (
        mean_dice(*(logits > 0 for logits in asked(own_prompts)))
        for own_prompts in (boxed(source, structure), masked(source, structure))
    )
    error = float(unexplained(to_teacher(own), teacher.image(seen)))
    return Agreement(len(images), error, one_click, three_clicks, box, mask)


def mean_dice(found: Tensor, target: Tensor) -> float:
    """Return the mean Dice of masks (B, 1, H, W), bool; of two empty ones it is 1."""
    overlap, size = (found & target).sum(dim=(1, 2, 3)), found.sum(dim=(1, 2, 3)) + target.sum(dim=(1, 2, 3))
    return float(torch.where(size > 0, 2 * overlap / size.clamp_min(1), 1.0).mean())


@torch.no_grad()
def latencies_ms(sams: Sequence[PromptableSam], image: Tensor) -> list[float]:
    """Return how long each SAM needs for one slice (1, 3, H, W) and one click, in ms, measured in turn."""
    prompts = clicked(PromptSource(Generator().manual_seed(0), image.device), image[:, :1])
    timed: list[list[float]] = [[] for _ in sams]
    for _ in range(1 + _TIMED):
        for sam, own in zip(sams, timed, strict=True):
            started = perf_counter()
            # What is read from the device is done by then.
            sam.masks(sam.embed(image), prompts)[0].sum().item()
            own.append(1000 * (perf_counter() - started))
    return [median(own[1:]) for own in timed]
