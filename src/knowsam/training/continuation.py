"""What a training leaves to the next one of the same volumes, so that it goes on where this one ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from knowsam.training.trained_model import TrainedModel

if TYPE_CHECKING:
    from torch import Tensor

    from knowsam.config import Config
    from knowsam.data.sampling import SliceKey
    from knowsam.training.optimizers import Moments
    from knowsam.training.trainer import Trainer


@dataclass(frozen=True)
class LearningState:
    """Students as the last step left them, and what the optimisers know, all on the CPU.

    Parameters
    ----------
    students, averaged : states of the learning students, and of the running average of their weights.
    moments, teacher_moments : of their optimiser, and of that of the teacher.
    """

    students: Mapping[str, Tensor]
    averaged: Mapping[str, Tensor]
    moments: Moments
    teacher_moments: Moments


@dataclass(frozen=True)
class Continuation:
    """Everything that goes on.

    Parameters
    ----------
    model : the students that predicted last, the teacher, and the steps taken so far.
    learning : students and optimisers as they were at the end.
    seconds : of training so far.
    holdout, trained : slices kept for validation, and slices whose labels training has seen.
    """

    model: TrainedModel
    learning: LearningState
    seconds: float
    holdout: frozenset[SliceKey]
    trained: frozenset[SliceKey]

    @classmethod
    def of(cls, trainer: Trainer, seconds: float) -> Continuation:
        """Return what a training leaves after so many seconds, and those of the one it went on with.

        Raises
        ------
        TrainingError
            If training has not begun.
        """
        before = 0.0 if trainer.plan.last is None else trainer.plan.last.seconds
        selection, model = trainer.selection, TrainedModel.of(trainer)
        return cls(model, trainer.learner.state(), before + seconds, selection.holdout, selection.trained)

    def fits(self, config: Config) -> bool:
        """Tell whether networks of these settings are the same, and are shown the same of the slices."""
        before = self.model.config
        return (
            before.students == config.students
            and before.plane == config.plane
            and before.method.shape_prior == config.method.shape_prior
        )
