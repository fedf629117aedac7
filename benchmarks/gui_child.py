"""A training session in a child process, steered like one in a thread: what a plugin that used processes would do."""

from __future__ import annotations

import math
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from knowsam.config import Config
    from knowsam.data.annotation import LabelClass, LabelSlice
    from knowsam.data.case import Case
    from knowsam.data.volume import Volume
    from knowsam.training.events import Event, Message
    from knowsam.training.schedule import Budget
    from napari_knowsam.sessions import TrainingSettings


@dataclass(frozen=True)
class _Job:
    """What the child needs; a case itself cannot be pickled."""

    volume: Volume
    axis: int
    classes: tuple[LabelClass, ...]
    slices: Mapping[int, LabelSlice]
    budget: Budget
    config: Config
    teacher: str
    niceness: int


class ChildSession:
    """Stands in for a `TrainingSession`: the thread that runs it only hands on what the child says.

    Attributes
    ----------
    start_s : seconds from the start of the process to its first event.
    end_s : seconds from the last event to the end of the process.
    """

    students = None
    """The networks live in the child, so that the next training starts from scratch."""

    def __init__(self, case: Case, settings: TrainingSettings, niceness: int) -> None:
        annotation = case.annotation
        self._job = _Job(
            case.volume,
            annotation.axis,
            annotation.classes,
            dict(annotation.slices),
            settings.budget,
            settings.config,
            settings.teacher,
            niceness,
        )
        self._pipe, self._far_end = multiprocessing.get_context("spawn").Pipe()
        self.start_s = self.end_s = float("nan")

    def submit(self, message: Message) -> None:
        """Leave a message for the session in the child."""
        self._pipe.send(message)

    def run(self) -> Iterator[Event]:
        """Start the child and yield its events."""
        started = time.perf_counter()
        child = multiprocessing.get_context("spawn").Process(
            target=_train, args=(self._far_end, self._job), daemon=True
        )
        child.start()
        self._far_end.close()
        try:
            while (event := self._pipe.recv()) is not None:
                if math.isnan(self.start_s):
                    self.start_s = time.perf_counter() - started
                yield event
        finally:
            ended = time.perf_counter()
            child.join()
            self.end_s = time.perf_counter() - ended


def _train(pipe: Connection, job: _Job) -> None:
    os.setpriority(os.PRIO_PROCESS, 0, job.niceness)
    from knowsam.data.annotation import Annotation
    from knowsam.data.case import Case
    from knowsam.models.teachers import choose_teacher
    from knowsam.training.session import TrainingSession

    annotation = Annotation(job.volume.shape, job.axis, job.classes, MappingProxyType(dict(job.slices)))
    teacher = choose_teacher(job.teacher)
    session = TrainingSession(
        [Case(job.volume, annotation)],
        budget=job.budget,
        config=job.config.with_values(variant=teacher.variant),
        sam_weights=teacher.weights,
    )
    threading.Thread(target=_listen, args=(pipe, session), daemon=True).start()
    for event in session.run():
        pipe.send(event)
    pipe.send(None)


def _listen(pipe: Connection, session: Any) -> None:
    while True:
        try:
            session.submit(pipe.recv())
        except EOFError:
            return
