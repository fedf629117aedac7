"""What a training leaves to the next one of the same volumes, so that it goes on where this one ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from knowsam.config import Config
from knowsam.data.sampling import SliceKey
from knowsam.training.tensor_file import read_tensors, with_prefix, write_tensors
from knowsam.training.trained_model import TrainedModel, packed_model, unpacked_model

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from knowsam.training.optimizers import Moments
    from knowsam.training.trainer import Trainer

_FORMAT = 5


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
    chosen : the settings as a person chose them.
    learning : students and optimisers as they were at the end.
    seconds : of training so far.
    holdout, trained : slices kept for validation, and slices whose labels training has seen.
    """

    model: TrainedModel
    chosen: Config
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
        selection = trainer.selection
        return cls(
            model=TrainedModel.of(trainer),
            chosen=trainer.plan.chosen,
            learning=trainer.learner.state(),
            seconds=before + seconds,
            holdout=selection.holdout,
            trained=selection.trained,
        )

    def fits(self, config: Config) -> bool:
        """Return whether networks of these settings are the same, and are shown the same of the slices."""
        before = self.model.config
        return (
            before.students == config.students
            and before.plane == config.plane
            and before.method.shape_prior == config.method.shape_prior
        )


def write_continuation(path: Path, continuation: Continuation) -> None:
    """Write what a training leaves, whole or not at all: no voxel, name or path of its volumes.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    description, model = packed_model(continuation.model)
    learning = continuation.learning
    tensors = _prefixed("model", model) | _prefixed("students", learning.students)
    tensors |= _prefixed("averaged", learning.averaged)
    tensors |= _prefixed("moments", _flat(learning.moments))
    tensors |= _prefixed("teacher_moments", _flat(learning.teacher_moments))
    write_tensors(
        path,
        {
            "continuation": _FORMAT,
            "model": description,
            "chosen": continuation.chosen.to_dict(),
            "seconds": continuation.seconds,
            "holdout": sorted(continuation.holdout),
            "trained": sorted(continuation.trained),
        },
        tensors,
    )


def read_continuation(path: Path) -> Continuation:
    """Read what `write_continuation` wrote.

    Raises
    ------
    CheckpointError
        If the file is not there, damaged, or of another version.
    """
    return read_tensors(path, _unpacked)


def _unpacked(about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Continuation:
    if about["continuation"] != _FORMAT:
        raise ValueError(f"format {about['continuation']}, expected {_FORMAT}")
    learning = LearningState(
        with_prefix(tensors, "students."),
        with_prefix(tensors, "averaged."),
        _nested(with_prefix(tensors, "moments.")),
        _nested(with_prefix(tensors, "teacher_moments.")),
    )
    holdout, trained = (
        frozenset(SliceKey(int(case), int(index)) for case, index in about[keys]) for keys in ("holdout", "trained")
    )
    model = unpacked_model(about["model"], with_prefix(tensors, "model."))
    chosen = Config.from_dict(about["chosen"])
    return Continuation(model, chosen, learning, float(about["seconds"]), holdout, trained)


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _flat(moments: Moments) -> dict[str, Tensor]:
    """Name each tensor by its kind, which holds no dot, and its parameter."""
    return {f"{kind}.{name}": tensor for name, kinds in moments.items() for kind, tensor in kinds.items()}


def _nested(tensors: Mapping[str, Tensor]) -> Moments:
    moments: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        kind, name = key.split(".", 1)
        moments.setdefault(name, {})[kind] = tensor
    return moments
