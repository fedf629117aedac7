"""A long training in pieces, each of which begins with what the piece before has left in a folder.

A training that was killed goes on at the last of these checkpoints. One that was not killed does the same at each of
them, so that both end with the same weights on the same processor with the same number of threads.
"""

from __future__ import annotations

import csv
import gc
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from provenance import commit
from result_store import ResultStore

from knowsam.errors import TrainingError
from knowsam.io.atomic import written_whole
from knowsam.training.batch_sizes import BatchSizes
from knowsam.training.continuation import Continuation, read_continuation, write_continuation
from knowsam.training.events import Notice, StepDone, Stop
from knowsam.training.schedule import Budget
from knowsam.training.session import TrainingSession
from knowsam.training.step import StepLosses

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.data.case import Case
    from knowsam.models.teachers import Teacher

_COLUMNS = ("step", "seconds", *(field.name for field in fields(StepLosses)))


@dataclass(frozen=True)
class Note:
    """Something that was said in the training, and the step at which it was said first."""

    text: str
    step: int

    @property
    def key(self) -> str:
        """What was said."""
        return self.text


@dataclass(frozen=True)
class ResumableTraining:
    """A training whose steps, losses, notes and checkpoints are in a folder.

    Parameters
    ----------
    steps : in all; learning rates and weights of losses follow them.
    every : steps between two checkpoints.
    """

    folder: Path
    cases: Sequence[Case]
    config: Config
    teacher: Teacher
    steps: int
    every: int
    seed: int
    device: str

    @property
    def notes(self) -> ResultStore[Note]:
        """What was said."""
        return ResultStore(self.folder / "notes.json", Note)

    def checkpoints(self) -> Iterator[Continuation]:
        """Yield the last checkpoint there is, then train and yield one after each piece."""
        file = self.folder / "continuation.safetensors"
        last = read_continuation(file) if file.exists() else None
        self._forget_after(0 if last is None else last.model.steps)
        if last is not None:
            yield last
        while last is None or last.model.steps < self.steps:
            last = self._piece(last)
            # Networks are parts of cycles, and the collector does not know how much memory of a GPU they hold.
            gc.collect()
            write_continuation(file, last)
            yield last

    def note(self, text: str, step: int) -> None:
        """Keep what was said, if it was not said before."""
        if text not in self.notes:
            self.notes.add(Note(text, step))

    def _piece(self, last: Continuation | None) -> Continuation:
        done, seconds = (0, 0.0) if last is None else (last.model.steps, last.seconds)
        session = TrainingSession(
            self.cases,
            # Of all that is left, since the schedules follow the budget.
            budget=Budget(steps=self.steps - done),
            config=self.config,
            # Other slices in each piece, and the same whenever this one is repeated.
            seed=int(np.random.SeedSequence((self.seed, done)).generate_state(1)[0]),
            device=self.device,
            sam_weights=self.teacher.weights,
            last=last,
        )
        self.note(f"commit {commit() or 'not known'}, on {_name(session.device)}", done)
        with self._log.open("a", buffering=1, newline="") as file:
            log = csv.writer(file)
            for event in session.run():
                if isinstance(event, StepDone):
                    losses = (f"{loss:.6g}" for loss in asdict(event.losses).values())
                    log.writerow([done + event.step, f"{seconds + event.seconds:.2f}", *losses])
                    if event.step == self.every:
                        session.submit(Stop())
                elif isinstance(event, Notice):
                    self.note(event.text, done)
                    _require_whole_batches(session)
        return session.continuation()

    @property
    def _log(self) -> Path:
        return self.folder / "log.csv"

    def _forget_after(self, step: int) -> None:
        """Take steps out of the log that no checkpoint knows of."""
        rows = []
        if self._log.exists():
            with self._log.open(newline="") as file:
                # The last line of a killed training may be a part of one.
                whole = [row for row in csv.reader(file) if len(row) == len(_COLUMNS)][1:]
            rows = [row for row in whole if int(row[0]) <= step]
        with written_whole(self._log) as complete, complete.open("w", newline="") as file:
            csv.writer(file).writerows([_COLUMNS, *rows])


def _require_whole_batches(session: TrainingSession) -> None:
    """End a training that would go on with fewer slices a step, and so would be another one."""
    training = session.config.training
    wanted = BatchSizes(training.labelled_batch, training.unlabelled_batch)
    if session.trainer.batch_sizes != wanted:
        raise TrainingError(
            f"Memory does not hold a step of {wanted}, as the settings have it. Take a device with more memory, or "
            "smaller batches in a new folder."
        )


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
