"""Steps and validations on the clock: what they take of the budget, and when the next validation is due."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from knowsam.training.events import Notice, StepDone
from knowsam.training.interruption import Interrupted
from knowsam.training.trainer import OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from knowsam.training.events import Validated
    from knowsam.training.schedule import Budget
    from knowsam.training.trainer import Trainer


class TimedTraining:
    """Runs a trainer and counts its time, without preparation, pauses and the time that consumers of events take.

    Attributes
    ----------
    seconds, steps : of training so far.
    """

    def __init__(self, trainer: Trainer, budget: Budget) -> None:
        self.seconds, self.steps = 0.0, 0
        self._trainer, self._budget = trainer, budget
        last = trainer.plan.last
        self._before_s, self._steps_before = (0.0, 0) if last is None else (last.seconds, last.model.steps)
        training = trainer.config.training
        self._interval = 1 / training.validations
        # One of zero ends before there is anything to validate.
        if budget.seconds:
            self._interval = min(self._interval, training.validate_every_s / budget.seconds)
        self._validated_at = 0.0

    @property
    def progress(self) -> float:
        """Share of the budget that is used, in [0, 1]."""
        return self._budget.progress(steps=self.steps, seconds=self.seconds)

    def step(self) -> StepDone | Notice | None:
        """Take one step; return a notice if memory ran out, and None if it was broken off."""
        event = self._take_step()
        self._agree_on_time()
        return event

    def _take_step(self) -> StepDone | Notice | None:
        try:
            with self._counted():
                losses = self._trainer.step(self._schedule_progress)
        except Interrupted:
            return None
        except OutOfMemory as exc:
            return Notice(str(exc))
        self.steps += 1
        return StepDone(self.steps, self.progress, self.seconds, losses)

    def validate(self) -> Validated | None:
        """Measure the learning students; None if that was broken off."""
        try:
            with self._counted():
                validated = self._trainer.processes.together(partial(self._trainer.validate, self.steps))
        except Interrupted:
            validated = None
        self._agree_on_time()
        if validated is None:
            return None
        self._validated_at = self.progress
        return validated

    @property
    def is_time_to_validate(self) -> bool:
        """Whether the last validation is long enough ago."""
        return self.progress >= self._validated_at + self._interval

    @property
    def _schedule_progress(self) -> float:
        """The progress that learning rates and loss weights follow: as if the last training had had this budget too."""
        whole = self._budget.after(steps=self._steps_before, seconds=self._before_s)
        return whole.progress(steps=self._steps_before + self.steps, seconds=self._before_s + self.seconds)

    def _agree_on_time(self) -> None:
        """Share the used budget, by the clock of the first process, among all processes."""
        self.seconds = self._trainer.processes.first_decides(lambda: self.seconds)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - started
