"""Sessions, the events they give, and steps that take no time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from knowsam.training.schedule import Budget
from knowsam.training.session import TrainingSession
from knowsam.training.step import StepLosses

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.data.case import Case
    from knowsam.training.batch import Batch
    from knowsam.training.events import Event
    from knowsam.training.learner import Learner


class Steps:
    """Steps that learn nothing.

    Attributes
    ----------
    batches : what the steps were given.
    schedule : their numbers, and the share of the training that was done.
    happens : what a step does instead of learning.
    """

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.schedule: list[tuple[int, float]] = []
        self.happens: Callable[[Learner, Batch], object] = lambda *_: None

    def take(self, learner: Learner, batch: Batch, number: int, progress: float) -> StepLosses:
        self.batches.append(batch)
        self.schedule.append((number, progress))
        self.happens(learner, batch)
        return StepLosses(1.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@torch.no_grad()
def see_the_ball_everywhere(learner: Learner, _: Batch) -> None:
    students = learner.averaged
    for head in (students.unet.head, students.vnet.head, students.fusion.head[-1]):
        head.weight.zero_()
        head.bias.fill_(-1000.0)
        head.bias[1] = 1000.0


def session_of(
    *cases: Case, config: Config, steps: int = 4, budget: Budget | None = None, **given: Any
) -> TrainingSession:
    return TrainingSession(cases, budget=budget or Budget(steps=steps), config=config, device="cpu", **given)


def until(events: Iterator[Event], kind: type[Any]) -> Any:
    return next(event for event in events if isinstance(event, kind))


def of_kind(events: list[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]
