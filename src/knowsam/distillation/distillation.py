"""Distillation: the compact SAM learns the embeddings and masks of its teacher."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from knowsam.distillation.agreement import Agreement, agreement, latencies_ms
from knowsam.distillation.embedding_cache import EmbeddingCache
from knowsam.distillation.embedding_map import embedding_map, unexplained
from knowsam.distillation.prompts import first_prompts
from knowsam.models.compact_sam import compact_sam_weights
from knowsam.models.prompted_sam import STUDENT, PromptedSam
from knowsam.models.sam import VARIANTS
from knowsam.models.teachers import promptable_sam
from knowsam.pretraining.averaged_network import AveragedNetwork, rate
from knowsam.pretraining.prompting import PromptSource, Shares
from knowsam.pretraining.sam_training import untrained_sam

if TYPE_CHECKING:
    from knowsam.distillation.image_slices import ImageSlices
    from knowsam.models.sam_prompting import Prompts
    from knowsam.training.schedule import Budget

logger = logging.getLogger(__name__)

_BATCH_SLICES = 8
_LEARNING_RATE = 1e-3
_WARM_UP_STEPS = 20
_DECAY_FROM = 0.5

_SHARES = Shares(propagated=0.0, degraded=0.35, boxed=0.3)
_QUALITY_WEIGHT = 0.1
_SMOOTHING_PX = 4.0
"""Areas far below it hardly count in the Dice loss."""

_MAPPED_SLICES = 32
"""The map between two embeddings has a hundred numbers for each channel, and a slice some hundred places."""

_COMPARED_SLICES = 64


class Student(nn.Module):
    """The compact SAM, and the map from its embedding to the teacher's, which is dropped in the end."""

    def __init__(self, sam: nn.Module, to_teacher: nn.Module) -> None:
        super().__init__()
        self.sam, self.to_teacher = sam, to_teacher


def _promptable(sam: nn.Module) -> PromptedSam:
    return PromptedSam(sam, VARIANTS[STUDENT])


class Step(NamedTuple):
    """One step of learning: its number from 1 on, the loss, and how much of the budget is used, in [0, 1]."""

    number: int
    loss: float
    progress: float


class Distillation:
    """Distils a SAM into the compact one.

    Parameters
    ----------
    variant, weights : of the teacher, a name of the table of teachers and its weights.
    slices : of the images to learn from.
    device : of both networks.
    seed : of the order of the slices and of the prompts.
    start : weights of the compact SAM to begin with; by default those that come with the program.

    Raises
    ------
    CheckpointError
        If the weights are not those of the variant.
    """

    def __init__(
        self,
        variant: str,
        weights: Mapping[str, Tensor],
        slices: ImageSlices,
        *,
        device: torch.device,
        seed: int = 0,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        torch.manual_seed(seed)
        sam = untrained_sam()
        self._new_encoder = copy.deepcopy(sam.image_encoder).to(device)
        sam.load_state_dict(dict(compact_sam_weights() if start is None else start))
        self._slices, self._device, self._seed = slices, device, seed
        self._teacher = promptable_sam(variant, weights, slices.plane)
        self._teacher.sam.to(device)
        self._start = sam.to(device).eval()
        self._cache = EmbeddingCache(self._teacher, slices)
        self._learner: AveragedNetwork[Student] | None = None

    @property
    def sam(self) -> nn.Module:
        """The student as it is by now."""
        return self._start if self._learner is None else self._learner.average.sam

    def embed(self) -> Iterator[int]:
        """Run the teacher once on each slice; yield the size of each batch."""
        return self._cache.fill()

    def learn(self, budget: Budget) -> Iterator[Step]:
        """Learn until the budget is used; ending the iteration earlier keeps what was learnt."""
        learner = AveragedNetwork(self._beginning(), _LEARNING_RATE, self._device)
        generator = Generator().manual_seed(self._seed)
        source = PromptSource(generator, self._device, _SHARES)
        started, progress = monotonic(), 0.0
        while progress < 1:
            rows = [self._slices.learnt[int(i)] for i in self._drawn(generator)]
            factor = rate(learner.step, progress, warm_up_steps=_WARM_UP_STEPS, decay_from=_DECAY_FROM)
            loss = learner.learn(partial(self._loss, rows, source), factor)
            self._learner = learner
            progress = budget.progress(steps=learner.step, seconds=monotonic() - started)
            yield Step(learner.step, float(loss), progress)

    def agreement(self) -> Agreement:
        """Compare student and teacher on the held-out slices."""
        rows = _evenly(self._slices.held_out, _COMPARED_SLICES)
        images, seen = self._slices.images(rows), self._cache.embeddings(rows)
        to_teacher, _ = self._map(self.sam)
        return agreement(self._teacher, _promptable(self.sam), to_teacher, images, seen, self._seed)

    def latencies_ms(self) -> tuple[float, float]:
        """Return how long teacher and student need for one slice and one click, in ms."""
        image = self._slices.images(self._slices.held_out[:1])
        teacher, student = latencies_ms([self._teacher, _promptable(self.sam)], image)
        return teacher, student

    def _drawn(self, generator: Generator) -> Tensor:
        return torch.randint(len(self._slices.learnt), (_BATCH_SLICES,), generator=generator)

    def _beginning(self) -> Student:
        """Return the student to train, with a new encoder if that predicts the embedding of the teacher better.

        An encoder that has collapsed to one embedding for all images hardly recovers.
        """
        kept, begun = copy.deepcopy(self._start), copy.deepcopy(self._start)
        begun.image_encoder = copy.deepcopy(self._new_encoder)
        (to_teacher, kept_error), (to_teacher_anew, error_anew) = self._map(kept), self._map(begun)
        if kept_error <= error_anew:
            return Student(kept, to_teacher)
        logger.info("The encoder is learnt anew: even at random, it tells more of what the teacher sees.")
        return Student(begun, to_teacher_anew)

    @torch.no_grad()
    def _map(self, sam: nn.Module) -> tuple[nn.Module, float]:
        """Fit the map from the embedding of a student to the teacher's, and return its error, on slices learnt from."""
        rows = _evenly(self._slices.learnt, _MAPPED_SLICES)
        own, seen = _promptable(sam).embed(self._slices.images(rows)), self._teacher.image(self._cache.embeddings(rows))
        to_teacher = embedding_map(own, seen)
        return to_teacher, float(unexplained(to_teacher(own), seen))

    def _loss(self, rows: Sequence[int], source: PromptSource, student: Student) -> Tensor:
        """Return the error of the embedding, and that of the answers to some rounds of prompts."""
        seen, asked = self._cache.embeddings(rows), _promptable(student.sam)
        embedding = asked.embed(self._slices.images(rows))
        prompts = first_prompts(self._teacher, seen, self._slices.plane, source)
        rounds, losses = source.rounds(), []
        for number in range(rounds):
            target, its_quality = self._answer(seen, prompts)
            found, quality = asked.masks(embedding, prompts)
            losses.append(answer_loss(found, target) + _QUALITY_WEIGHT * F.mse_loss(quality, its_quality))
            if number + 1 < rounds:
                prompts = source.corrected(prompts, found.detach(), (target > 0.5).float())
        error = unexplained(student.to_teacher(embedding).float(), self._teacher.image(seen))
        return error + torch.stack(losses).mean()

    @torch.no_grad()
    def _answer(self, seen: Tensor, prompts: Prompts) -> tuple[Tensor, Tensor]:
        masks, quality = self._teacher.masks(seen, prompts)
        return masks.sigmoid(), quality


def answer_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return cross-entropy and Dice loss against soft masks, both (B, 1, H, W).

    The Dice loss is that of V-Net (Milletari et al. 2016), with squares: it is 0 where both agree, however unsure.
    """
    probabilities = logits.sigmoid()
    overlap = (probabilities * target).sum(dim=(1, 2, 3))
    size = (probabilities.square() + target.square()).sum(dim=(1, 2, 3))
    dice = (2 * overlap + _SMOOTHING_PX) / (size + _SMOOTHING_PX)
    return F.binary_cross_entropy_with_logits(logits, target) + (1 - dice).mean()


def _evenly(rows: Sequence[int], most: int) -> list[int]:
    """Return some of the rows, evenly from the first to the last one."""
    count = min(most, len(rows))
    return [rows[(2 * i + 1) * len(rows) // (2 * count)] for i in range(count)]
