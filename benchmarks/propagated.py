"""What is shown before the first step: the labels of annotated slices, propagated to the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from knowsam import jobs
from knowsam.training.events import Stage, StageChanged
from knowsam.training.schedule import Budget
from knowsam.training.session import TrainingSession

if TYPE_CHECKING:
    from tasks import Task

    from knowsam.config import Config
    from knowsam.data.annotation import LabelArray


def session_after(steps: int, task: Task, config: Config) -> TrainingSession:
    """Return a session after so many steps; after none, it has propagated labels only."""
    session = TrainingSession([task.case], budget=Budget(steps=max(steps, 1)), config=config)
    for event in session.run():
        if not steps and isinstance(event, StageChanged) and event.stage is Stage.TRAINING:
            break
    return session


def propagated(task: Task, config: Config) -> LabelArray:
    """Return class indices (N, H, W), slices first."""
    case, nothing = task.case, Budget(steps=0)
    found = jobs.segment(case.volume, case.annotation, budget=nothing, config=config, device="cpu")
    return task.slices_first(found.prediction.labels)
