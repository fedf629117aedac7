"""How a training starts: with new networks, with those of an earlier model, or where the last training ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from knowsam.config import MethodConfig
from knowsam.data.annotation import class_sources
from knowsam.training.learner import Learner
from knowsam.training.semi_supervised.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from knowsam.data.annotation import LabelClass
    from knowsam.models.students import Students
    from knowsam.training.interruption import Interruption
    from knowsam.training.plan import TrainingPlan
    from knowsam.training.processes import Processes
    from knowsam.training.trainer import Trainer


def start_learner(
    plan: TrainingPlan,
    classes: tuple[LabelClass, ...],
    plane: tuple[int, int],
    *,
    seed: int,
    interruption: Interruption,
    sam_weights: Mapping[str, Tensor] | None,
    processes: Processes,
) -> Learner:
    """Return the networks that learn; those of an earlier model, for the classes there are by now."""
    before = classes if plan.earlier is None else plan.earlier.classes
    learner = Learner(
        len(before),
        plane,
        plan.config,
        device=plan.device,
        seed=seed,
        interruption=interruption,
        sam_weights=sam_weights,
        start_from=plan.earlier,
        processes=processes,
    )
    if plan.last is not None:
        learner.go_on(plan.last.learning)
    sources = class_sources(before, classes)
    if sources != list(range(len(before))):
        learner.change_classes(sources)
    return learner


def best_so_far(plan: TrainingPlan, classes: tuple[LabelClass, ...]) -> Students | None:
    """Return the students that predicted last in the training that is gone on with; None if there is none."""
    if plan.last is None:
        return None
    return plan.last.model.students_for(classes).to(plan.device)


def introduction(trainer: Trainer) -> list[str]:
    """Describe teacher and training data before the first step, and how they are used where that is unusual."""
    labelled, held_out = len(trainer.slices.labelled_keys), len(trainer.selection.holdout)
    kept = f", validating on {held_out} more." if held_out else ", none held out."
    teacher = [] if trainer.learner.teacher is None else [str(trainer.learner.teacher.provenance)]
    name = trainer.plan.config.method.semi_supervised
    is_usual = name == MethodConfig().semi_supervised
    method = [] if is_usual else [f"The students learn by {METHODS[name].title}."]
    slices = "one annotated slice" if labelled == 1 else f"{labelled} annotated slices"
    return [*teacher, f"Training began with {slices}{kept}", *method]
