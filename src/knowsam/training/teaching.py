"""How the teacher learns and teaches: at every image of every step as published, or at a few slices, round-robin.

Round-robin, the teacher looks at slices as they are. What it saw is kept, and warped along with the image whenever the
slice is drawn; the frozen part of a pretrained SAM sees each slice once and for all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

from knowsam.models.students import IMAGE_CHANNELS
from knowsam.propagation.sampling import warp
from knowsam.training.losses import supervised_loss
from knowsam.training.teacher_bank import TeacherBank
from knowsam.training.trunk_cache import TrunkCache, signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from knowsam.config import Config
    from knowsam.models.prompted_teacher import PromptedTeacher
    from knowsam.models.students import Students
    from knowsam.training.batch import Batch, Origin


class Taught(NamedTuple):
    """What the teacher predicts of a batch.

    Parameters
    ----------
    logits : (B + U, C, H, W), without gradient.
    known : (B + U,), 1 where the teacher has seen the slice, 0 where its logits mean nothing.
    loss : L_sup of the teacher itself, with gradient.
    """

    logits: Tensor
    known: Tensor
    loss: Tensor


class Teaching(Protocol):
    """A way to teach."""

    def __call__(self, batch: Batch, fused: Tensor) -> Taught:
        """Teach a batch; `fused` (B + U, C, H, W) are the students' logits, no gradient flows into them."""

    def end_step(self) -> None:
        """Note that the step has come to its end; one that is broken off leaves nothing behind."""

    def change_classes(self, students: Students) -> None:
        """Go on with a teacher of other classes, and with averaged students of these."""


class EveryImageTeaching:
    """The published way: the teacher sees every augmented image; only the annotated ones carry gradient."""

    def __init__(self, teacher: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._teacher = teacher
        self._seen: set[int] = set()
        self._shown: tuple[int, ...] = ()

    def __call__(self, batch: Batch, fused: Tensor) -> Taught:
        """Teach a batch; `fused` (B + U, C, H, W) are the students' logits, no gradient flows into them."""
        n = len(batch.labelled)
        fused = self._prompts(batch.origin, fused.detach())
        taught = self._teacher(batch.labelled[:, :IMAGE_CHANNELS], fused[:n])
        logits = taught.detach()
        if len(batch.unlabelled):
            # In this order: weights that autocast has cast without gradient would serve the labelled images too.
            with torch.no_grad():
                logits = torch.cat([logits, self._teacher(batch.unlabelled[:, :IMAGE_CHANNELS], fused[n:])])
        return Taught(logits, torch.ones(len(logits), device=logits.device), supervised_loss(taught, batch.labels))

    def _prompts(self, origin: Origin | None, fused: Tensor) -> Tensor:
        """Return mask prompts (B + U, C, H, W): for slices never seen before labels propagated to them, if any."""
        if origin is None or origin.mask_prompts is None:
            return fused
        self._shown = origin.rows
        first = warp(origin.mask_prompts, origin.grid).to(fused.dtype)
        rows = zip(origin.rows, fused, first, strict=True)
        return torch.stack([own if row in self._seen else propagated for row, own, propagated in rows])

    def end_step(self) -> None:
        """Note that the step has come to its end, and which slices were seen in it."""
        self._seen.update(self._shown)

    def change_classes(self, students: Students) -> None:
        """Go on with a teacher of other classes, and with averaged students of these."""


class RoundRobinTeaching:
    """In each step the teacher learns from a few annotated slices and looks at a few others, longest unseen first.

    Parameters
    ----------
    students : that make the mask prompts, in evaluation mode.
    """

    def __init__(self, teacher: PromptedTeacher, students: Students, config: Config) -> None:
        self._teacher, self._students = teacher, students
        self._config = config.teacher
        self._neighbours = config.plane.neighbours
        self._bank = TeacherBank()
        self._trunk: TrunkCache | None = None
        self._planes: tuple[Tensor, ...] | None = None

    def __call__(self, batch: Batch, fused: Tensor) -> Taught:
        """Teach a batch; `fused` (B + U, C, H, W) are the students' logits, no gradient flows into them."""
        if batch.origin is None:
            raise ValueError("a round-robin teacher needs to know where the images of a batch come from")
        self._turn_to(batch.origin)
        self._bank.begin_step()
        learnt = min(self._config.teacher_slices, len(batch.labelled))
        refreshed = self._due(batch, learnt)
        tokens, prompts = self._seen(batch.origin, [*range(learnt), *refreshed])
        masks = self._teacher.masks(tokens[:learnt], _part(prompts, slice(learnt)))
        loss = supervised_loss(self._teacher.upsampled(masks), batch.origin.labels[:learnt])
        self._remember(batch.origin, range(learnt), masks)
        if refreshed:
            with torch.no_grad():
                shown = self._teacher.masks(tokens[learnt:], _part(prompts, slice(learnt, None)))
            self._remember(batch.origin, refreshed, shown)
        return Taught(*self._remembered(batch.origin), loss)

    def end_step(self) -> None:
        """Keep what the teacher saw in this step."""
        self._bank.end_step()

    def change_classes(self, students: Students) -> None:
        """Go on with a teacher of other classes; what it saw of the old ones is void, its frozen part sees the same."""
        self._students = students
        self._bank.clear()

    def _turn_to(self, origin: Origin) -> None:
        """Clear the caches if the planes have changed since the step before."""
        if origin.planes is self._planes:
            return
        self._planes = origin.planes
        self._bank.clear()
        self._trunk = None
        if self._config.cache_trunk and self._teacher.frozen_blocks:
            # Not a method of this object: the two would keep each other, and the networks, alive.
            sign = partial(_signature, origin.planes, self._teacher, self._config.variant, neighbours=self._neighbours)
            self._trunk = TrunkCache(sum(map(len, origin.planes)), self._config, sign)

    def _due(self, batch: Batch, learnt: int) -> list[int]:
        """Return positions in the batch of the slices to look at, besides the ones learnt from."""
        assert batch.origin is not None
        rows = batch.origin.rows
        places = {row: position for position, row in enumerate(rows) if row not in rows[:learnt]}
        count = min(self._config.teacher_refreshes, len(batch.unlabelled))
        due = self._bank.due(places, count, self._config.teacher_refresh_after)
        return [places[row] for row in due]

    def _seen(self, origin: Origin, positions: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Return what the teacher is shown of some slices as they are: tokens (K, h, w, E) and mask prompts."""
        images = [origin.images[position, :IMAGE_CHANNELS] for position in positions]
        if self._trunk is None:
            tokens = self._teacher.trunk(torch.stack(images))
        else:
            tokens = self._trunk.tokens([origin.rows[p] for p in positions], images, self._teacher.trunk)
        return tokens, self._prompts(origin, positions)

    @torch.no_grad()
    def _prompts(self, origin: Origin, positions: Sequence[int]) -> Tensor | None:
        """Return the mask prompts (K, C, H, W) of some slices as they are, None where the teacher needs none.

        These are propagated labels, if there are any. In annotated slices, the students' masks are nearly the labels,
        and the teacher would learn to copy them; in others, they stay wrong for long, and SAM repeats the error.
        """
        if not self._teacher.mask_prompts:
            return None
        if origin.mask_prompts is not None:
            return origin.mask_prompts[list(positions)]
        fused: Tensor = self._students(torch.stack([origin.images[position] for position in positions])).fused
        return fused

    def _remember(self, origin: Origin, positions: Sequence[int], masks: Tensor) -> None:
        self._bank.store([origin.rows[position] for position in positions], masks)

    def _remembered(self, origin: Origin) -> tuple[Tensor, Tensor]:
        """Return what the teacher saw of the slices, warped as their images were, and which of them it saw at all."""
        blank = torch.zeros(self._teacher.classes, *self._teacher.mask_size, device=origin.grid.device)
        logits, known = self._bank.look_up(origin.rows, blank)
        return warp(logits, origin.grid), known


def _signature(planes: tuple[Tensor, ...], teacher: PromptedTeacher, variant: str, *, neighbours: bool) -> str:
    """Return a signature of the frozen blocks, the planes and the dtype."""
    device = planes[0].device.type
    arithmetic = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
    return signature(planes, teacher.frozen_state(), variant, neighbours, arithmetic)


def _part(prompts: Tensor | None, rows: slice) -> Tensor | None:
    return None if prompts is None else prompts[rows]
