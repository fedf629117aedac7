"""A training on the terminal: a progress bar, notices, and signals that end it without losing what was learnt."""

from __future__ import annotations

import signal
import sys
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING

from tqdm import tqdm

from knowsam.training.events import Event, Finished, Notice, StepDone, Stop, Validated

if TYPE_CHECKING:
    from types import FrameType

    from knowsam.report import Report
    from knowsam.training.session import TrainingSession

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))
"""What Ctrl-C, a scheduler and a terminal that is closed send; no system has them all."""

_ECHO_S = 1.0
"""A terminal that is closed says so more than once, within such a time."""


class TrainingProgress:
    """Shows the events of a session and hands them on to a report; use it as the listener of a job.

    On a terminal there is a bar; into a file or a pipe goes one line for each validation.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._bar = tqdm(
            total=100,
            desc="Training",
            bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left{postfix}",
            # Progress follows the clock, so the mean rate tells the time left better than the latest one.
            smoothing=0,
            dynamic_ncols=True,
            file=sys.stderr,
            disable=None,
        )
        self._progress = 0.0
        self._figures = ""
        self._holdout_dice: float | None = None
        self._session: TrainingSession | None = None
        self._interrupted_at: float | None = None
        self._stopping: Thread | None = None

    def __call__(self, session: TrainingSession, event: Event) -> None:
        """Take in one event."""
        self._session = session
        self._report.add(event)
        if isinstance(event, Notice):
            self._bar.write(event.text, file=sys.stderr)
        elif isinstance(event, StepDone):
            self._show_step(event)
        elif isinstance(event, Validated):
            self._show_validation(event)
        elif isinstance(event, Finished):
            self._bar.close()
        if self._interrupted_at is not None:
            session.submit(Stop())

    def _show_step(self, event: StepDone) -> None:
        dice = "" if self._holdout_dice is None else f", hold-out Dice {self._holdout_dice:.3f}"
        self._progress = event.progress
        # The total rises with the ramped weights, however well the students learn.
        self._figures = f"step {event.step}, supervised loss {event.losses.supervised:.3f}"
        self._bar.set_postfix_str(self._figures + dice, refresh=False)
        self._bar.update(100 * event.progress - self._bar.n)

    def _show_validation(self, event: Validated) -> None:
        self._holdout_dice = event.shown.dice
        if self._bar.disable:
            dice = "" if event.dice is None else f", hold-out Dice {event.dice:.3f}"
            sys.stderr.write(f"Training {self._progress:4.0%}: {self._figures}{dice}\n")

    @property
    def was_interrupted(self) -> bool:
        """Whether somebody has ended the training early."""
        return self._interrupted_at is not None

    def __enter__(self) -> TrainingProgress:
        """Let the first signal end the training early with all that was learnt; a second one aborts."""
        # Under nohup, and in the background of a script, some signals are to be ignored.
        caught = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        self._previous = {number: signal.signal(number, self._on_signal) for number in caught}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore_signals()
        if self._stopping is not None:
            self._stopping.join()
        self._bar.close()

    def _restore_signals(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._interrupted_at is None:
            self._interrupted_at = monotonic()
            # Not here: what this signal has interrupted may hold the lock of the mailbox or be writing itself.
            self._stopping = Thread(target=self._stop)
            self._stopping.start()
        elif number in (signal.SIGINT, signal.SIGTERM) or monotonic() - self._interrupted_at > _ECHO_S:
            self._restore_signals()
            signal.raise_signal(number)

    def _stop(self) -> None:
        self._bar.write("Finishing with what was learnt so far; press Ctrl-C again to abort.", file=sys.stderr)
        if self._session is not None:
            self._session.submit(Stop())
