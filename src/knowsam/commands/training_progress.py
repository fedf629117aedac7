"""A training on the terminal: a progress bar, notices, and Ctrl-C that ends it without losing what was learnt."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

from tqdm import tqdm

from knowsam.training.events import Event, Finished, Notice, StepDone, Stop, Validated

if TYPE_CHECKING:
    from types import FrameType

    from knowsam.report import Report
    from knowsam.training.session import TrainingSession


class TrainingProgress:
    """Shows the events of a session and hands them on to a report; use it as the listener of a job."""

    def __init__(self, report: Report) -> None:
        self._report = report
        layout = "{desc} {percentage:3.0f}%|{bar}| {elapsed}{postfix}"
        self._bar = tqdm(total=100, desc="Training", bar_format=layout, file=sys.stderr)
        self._holdout_dice: float | None = None
        self._interrupted = False

    def __call__(self, session: TrainingSession, event: Event) -> None:
        """Take in one event."""
        self._report.add(event)
        if isinstance(event, Notice):
            self._bar.write(event.text, file=sys.stderr)
        elif isinstance(event, StepDone):
            self._bar.update(100 * event.progress - self._bar.n)
            self._bar.set_postfix_str(self._figures(event))
        elif isinstance(event, Validated) and event.adopted:
            self._holdout_dice = event.dice
        elif isinstance(event, Finished):
            self._bar.close()
        if self._interrupted:
            session.submit(Stop())

    def _figures(self, event: StepDone) -> str:
        dice = "" if self._holdout_dice is None else f", hold-out Dice {self._holdout_dice:.3f}"
        return f"step {event.step}, loss {event.losses.total:.3f}{dice}"

    def __enter__(self) -> TrainingProgress:
        """Let the first Ctrl-C end the training early with all that was learnt; a second one aborts."""
        self._previous = signal.signal(signal.SIGINT, self._on_interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._previous)
        self._bar.close()

    def _on_interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        self._interrupted = True
        signal.signal(signal.SIGINT, self._previous)
        self._bar.write("Stopping after this step; press Ctrl-C again to abort.", file=sys.stderr)
