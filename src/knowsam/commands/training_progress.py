"""A training on the terminal: a progress bar, notices, and signals that end it early and keep the model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tqdm import tqdm

from knowsam.commands.early_end import ENDING_SENTENCE, EarlyEnd
from knowsam.training.events import Event, Finished, Notice, StepDone, Stop, Validated

if TYPE_CHECKING:
    from knowsam.report import Report
    from knowsam.training.session import TrainingSession


class TrainingProgress:
    """Shows the events of a session and passes them to a report; use it as the listener of a job.

    A terminal shows a bar; a file or a pipe gets one line for each validation.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._bar = tqdm(
            total=100,
            desc="Training",
            bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left{postfix}",
            # Progress follows the clock, so the mean rate predicts the time left better than the latest one.
            smoothing=0,
            dynamic_ncols=True,
            file=sys.stderr,
            disable=None,
        )
        self._progress = 0.0
        self._figures = ""
        self._holdout_dice: float | None = None
        self._session: TrainingSession | None = None
        self._end = EarlyEnd(self._stop)

    def __call__(self, session: TrainingSession, event: Event) -> None:
        """Handle one event."""
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
        if self._end.is_asked:
            session.submit(Stop())

    def _show_step(self, event: StepDone) -> None:
        dice = "" if self._holdout_dice is None else f", hold-out Dice {self._holdout_dice:.3f}"
        self._progress = event.progress
        # The total rises with the ramped weights, even if the students learn well.
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
        """Whether the user has ended the training early."""
        return self._end.is_asked

    def __enter__(self) -> TrainingProgress:
        """Let the first signal end the training early and keep the model; a second one aborts."""
        self._end.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.__exit__()
        self._bar.close()

    def _stop(self) -> None:
        self._bar.write(ENDING_SENTENCE, file=sys.stderr)
        if self._session is not None:
            self._session.submit(Stop())
