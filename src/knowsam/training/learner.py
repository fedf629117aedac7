"""The networks while they learn: students, teacher and their optimisers, moved one step at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from knowsam.inference.device import resolve_dtype
from knowsam.models.class_heads import remapped, students_with_classes
from knowsam.models.students import Students
from knowsam.models.teachers import build_teacher
from knowsam.training.continuation import LearningState
from knowsam.training.interruption import Interruption
from knowsam.training.optimizers import moments_of, student_optimizer, take_moments, teacher_optimizer
from knowsam.training.processes import Processes
from knowsam.training.schedule import decayed
from knowsam.training.semi_supervised.averaged_students import AveragedStudents
from knowsam.training.semi_supervised.methods import METHODS
from knowsam.training.step import StepLosses, step_losses, uses_unlabelled
from knowsam.training.teaching import EveryImageTeaching, RoundRobinTeaching, Teaching
from knowsam.training.update import ExactUpdate, LateUpdate

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.training.batch import Batch
    from knowsam.training.trained_model import TrainedModel


class Learner:
    """Students, teacher and optimisers.

    Parameters
    ----------
    plane : (H, W) of the network.
    interruption : breaks off a step.
    sam_weights : official SAM weights for the variant of the configuration; None trains the compact SAM from scratch.
    start_from : an earlier model whose weights are taken over.
    late : whether losses come a step late, so that the device is never waited for; by default on CUDA.
    processes : that share the batches out; by default this one has all of them.

    Attributes
    ----------
    students : the students as the last step left them.
    averaged : the running average of their weights, which predicts better.
    """

    def __init__(
        self,
        classes: int,
        plane: tuple[int, int],
        config: Config,
        *,
        device: torch.device,
        seed: int,
        interruption: Interruption | None = None,
        sam_weights: Mapping[str, Tensor] | None = None,
        start_from: TrainedModel | None = None,
        late: bool | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.config = config
        self.device = device
        self._seed = seed
        self._sam_weights = sam_weights
        self._interruption = interruption or Interruption()
        late = device.type == "cuda" if late is None else late
        self._processes = processes or Processes()
        self._update: ExactUpdate | LateUpdate = (LateUpdate if late else ExactUpdate)(self._processes)
        self._dtype = resolve_dtype(config.training.precision, device)
        with _seeded(seed, device):
            self.students = Students(classes, config=config.students, prior=config.method.shape_prior)
            self.teacher = build_teacher(classes, plane, config, sam_weights)
        if start_from is not None:
            self._take_over(start_from)
        self.students = _laid_out(self.students.to(device), config)
        self.averaged = copy.deepcopy(self.students).requires_grad_(False).eval()
        self._begin_method()
        self._interruption.watch(self.students)
        self._teacher_optimizer: torch.optim.Optimizer | None = None
        self._teaching: Teaching | None = None
        self._begin_teaching()

    @property
    def uses_unlabelled(self) -> bool:
        """Whether any term of the loss uses unlabelled slices."""
        return uses_unlabelled(self.config)

    def step(self, batch: Batch, number: int, progress: float) -> StepLosses:
        """Take one training step.

        Parameters
        ----------
        number : of the step; with the seed it fixes the dropout.
        progress : share of the training that is done, in [0, 1].

        Raises
        ------
        TrainingError
            If the loss or a gradient is not finite; no weight has changed by it.
        Interrupted
            If an interruption was requested; no weight has changed then.
        """
        self.students.train()
        if self.teacher is not None:
            self.teacher.train()
        self._set_learning_rates(progress)
        terms = self._processes.together(lambda: self._losses(batch, number, progress))
        optimizers = list(self._optimizers())
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        candidates: list[nn.Module | None] = [self.students, self.teacher, self._method]
        networks = [network for network in candidates if network is not None and list(network.parameters())]
        losses, applied = self._update(terms, networks, optimizers, self.config.training.gradient_norm, number)
        self._processes.average(_statistics(self.students))
        self._average(number, applied)
        if self._teaching is not None:
            self._teaching.end_step()
        return losses

    def _losses(self, batch: Batch, number: int, progress: float) -> Tensor:
        students = self._processes.shared(self._method.network(self.students))
        random = np.random.default_rng((self._seed, number))
        # No two processes drop the same channels.
        with _seeded(self._seed + number * self._processes.count + self._processes.rank, self.device):
            return step_losses(
                students,
                self._teaching,
                self._method,
                batch,
                progress,
                self.config,
                self._dtype,
                random=random,
                number=number,
            )

    def forget_step(self) -> None:
        """Free what a step that ran out of memory left behind."""
        for optimizer in self._optimizers():
            optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.device.type == "mps":
            torch.mps.empty_cache()

    def teacher_state(self) -> dict[str, Tensor]:
        """Return what the teacher has learnt, on the CPU: its state without the frozen weights of SAM."""
        if self.teacher is None:
            return {}
        frozen = {name for name, parameter in self.teacher.named_parameters() if not parameter.requires_grad}
        return {n: t.detach().cpu().clone() for n, t in self.teacher.state_dict().items() if n not in frozen}

    def state(self) -> LearningState:
        """Return what another learner needs to go on from here, besides a `TrainedModel`."""
        students, averaged = (
            {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
            for network in (self.students, self.averaged)
        )
        return LearningState(
            students,
            averaged,
            moments_of(self._student_optimizer, self.students),
            moments_of(self._teacher_optimizer, self.teacher),
        )

    def go_on(self, state: LearningState) -> None:
        """Take over the students and the states of the optimisers of students and teacher."""
        self.students.load_state_dict(state.students)
        self.averaged.load_state_dict(state.averaged)
        take_moments(self._student_optimizer, self.students, state.moments)
        if self.teacher is not None and self._teacher_optimizer is not None:
            take_moments(self._teacher_optimizer, self.teacher, state.teacher_moments)

    def change_classes(self, sources: Sequence[int | None]) -> None:
        """Go on with other classes: for each its index so far, or None for a new one."""
        before, optimizer = self.students, self._student_optimizer
        self.students = _laid_out(students_with_classes(before, sources), self.config)
        self.averaged = _laid_out(students_with_classes(self.averaged, sources), self.config).requires_grad_(False)
        self._begin_method()
        for (name, old), new in zip(before.named_parameters(), self.students.parameters(), strict=True):
            self._student_optimizer.state[new] = {
                key: remapped(name, value, sources, fresh=0.0) if value.shape == old.shape else value
                for key, value in optimizer.state[old].items()
            }
        self._interruption.watch(self.students)
        if self.teacher is not None:
            with _seeded(self._seed, self.device):
                self.teacher.change_classes(sources)
            self._renew_teacher_optimizer()
        if self._teaching is not None:
            self._teaching.change_classes(self.averaged)

    def change_plane(self, plane: tuple[int, int]) -> None:
        """Go on with network planes of another size; what the teacher saw on others it forgets by itself."""
        if self.teacher is None or self.teacher.plane == plane:
            return
        state = self.teacher_state()
        with _seeded(self._seed, self.device):
            self.teacher = build_teacher(self.teacher.classes, plane, self.config, self._sam_weights)
        self._teach_as(state)
        self._begin_teaching()

    def _begin_method(self) -> None:
        """Make a semi-supervised method ready, and an optimiser of the students and of what it adds to them."""
        averaged = AveragedStudents(self.averaged, self._processes.shared(self.averaged), self._dtype)
        kind = METHODS[self.config.method.semi_supervised]
        with _seeded(self._seed, self.device):
            self._method = kind(self.students.classes, self.config.students, averaged).to(self.device)
        learning = [*self.students.parameters(), *self._method.parameters()]
        self._student_optimizer = student_optimizer(learning, self.config, self.device)

    def _begin_teaching(self) -> None:
        """Make a new teacher ready."""
        if self.teacher is None:
            return
        self._renew_teacher_optimizer()
        in_turn = self.config.teacher.teacher_in_turn
        if in_turn == "always" or (in_turn == "pretrained" and self.teacher.provenance.pretrained):
            self._teaching = RoundRobinTeaching(self.teacher, self.averaged, self.config)
        else:
            self._teaching = EveryImageTeaching(self._processes.shared(self.teacher))

    def _renew_teacher_optimizer(self) -> None:
        """Make an optimiser of the present parameters; those that stayed keep their state."""
        assert self.teacher is not None
        known = self._teacher_optimizer.state if self._teacher_optimizer is not None else {}
        self._teacher_optimizer = teacher_optimizer(self.teacher.to(self.device), self.config, self.device)
        parameters = self.teacher.trainable_parameters()
        self._teacher_optimizer.state.update({p: known[p] for p in parameters if p in known})
        self._interruption.watch(self.teacher)

    def _take_over(self, model: TrainedModel) -> None:
        self.students.load_state_dict(model.students.state_dict())
        self._teach_as(model.teacher)

    def _teach_as(self, state: Mapping[str, Tensor]) -> None:
        """Let the teacher take over what another one has learnt."""
        if self.teacher is None:
            return
        own = self.teacher.state_dict()
        # Position tables belong to one plane size; those of another start anew.
        fitting = {n: t for n, t in state.items() if not n.endswith(_POSITION_TABLES) or own[n].shape == t.shape}
        self.teacher.load_state_dict(fitting, strict=False)

    @torch.no_grad()
    def _average(self, number: int, applied: Tensor | None) -> None:
        """Let the averaged students follow: fast at first, then as slowly as configured, if the step was `applied`."""
        keep = min(self.config.training.averaging, (number + 1) / (number + 10))
        averages, states = _statistics(self.averaged), _statistics(self.students)
        if applied is not None:
            # Unlike weights, running statistics of a step that was not applied need not be finite.
            states = [torch.where(applied, state, average) for average, state in zip(averages, states, strict=True)]
        averages += list(self.averaged.parameters())
        states += list(self.students.parameters())
        get_ema_multi_avg_fn(keep)(averages, states, number)

    def _optimizers(self) -> Iterator[torch.optim.Optimizer]:
        yield self._student_optimizer
        if self._teacher_optimizer is not None:
            yield self._teacher_optimizer

    def _set_learning_rates(self, progress: float) -> None:
        for optimizer in self._optimizers():
            for group in optimizer.param_groups:
                group["lr"] = decayed(group.setdefault("initial_lr", group["lr"]), progress)


_POSITION_TABLES = (".pos_embed", ".rel_pos_h", ".rel_pos_w")
"""Endings of the teacher's tensors whose shape follows the plane."""


def _statistics(students: Students) -> list[Tensor]:
    """Return the running statistics of the normalisation layers."""
    return [buffer for buffer in students.buffers() if buffer.is_floating_point()]


def _laid_out(students: Students, config: Config) -> Students:
    """Lay the students' convolutions out as is fastest."""
    # MPS has its own layout, and errors in this one in some versions of PyTorch.
    is_mps = next(students.parameters()).device.type == "mps"
    fast = config.training.channels_last and config.students.norm == "batch" and not is_mps
    return students.to(memory_format=torch.channels_last) if fast else students  # type: ignore[call-overload]


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Fix the global random state that dropout and initialisation draw from, and give it back afterwards."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
