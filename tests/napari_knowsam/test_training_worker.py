"""The thread a training runs in: it tells everything, ends when it is told to, and swallows no error."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import weakref
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from knowsam.errors import TrainingError
from knowsam.training.events import Downloading, Event, Finished, Message, Notice, Pause, Shown, Source, Stop, Validated
from napari_knowsam.training_worker import ProposalWorker, TrainingWorker, lower_priority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from knowsam.models.download import Progress

SHOWN = Shown(Source.STUDENTS, 1.0)


class FakeSession:
    """Yields what it is given; notes what it is told; goes on until a Stop if it is `endless`."""

    def __init__(self, *events: Event, endless: bool = False, error: Exception | None = None) -> None:
        self.events, self.endless, self.error = events, endless, error
        self.received: list[Message] = []
        self.stopped = threading.Event()
        self.thread: threading.Thread | None = None
        self.students: object | None = None
        self.display = None

    def submit(self, message: Message) -> None:
        self.received.append(message)
        if isinstance(message, Stop):
            self.stopped.set()

    def run(self) -> Iterator[Event]:
        self.thread = threading.current_thread()
        yield from self.events
        if self.error is not None:
            raise self.error
        if self.endless:
            self.stopped.wait(10)
        yield Finished(1, 1.0, stopped=self.endless)


def worker_of(session: FakeSession) -> TrainingWorker:
    return TrainingWorker(lambda _: session)  # type: ignore[arg-type, return-value]


def outcomes_of(worker: TrainingWorker) -> list[Event | Exception]:
    worker.start()
    assert worker.wait(5.0)
    assert worker.is_done
    return list(worker.take())


def test_every_event_arrives_in_order_from_another_thread() -> None:
    session = FakeSession(*(Notice(str(number)) for number in range(50)))
    assert outcomes_of(worker_of(session)) == [*session.events, Finished(1, 1.0, stopped=False)]
    assert session.thread is not threading.current_thread()


@pytest.mark.parametrize("error", [TrainingError("no memory"), RuntimeError("shape"), ValueError("anything")])
def test_an_error_is_reported_whatever_its_type(error: Exception) -> None:
    """Thread workers of napari and superqt lose a RuntimeError, which torch raises for most things."""
    assert outcomes_of(worker_of(FakeSession(Notice("begun"), error=error))) == [Notice("begun"), error]


def test_a_proposal_that_is_stopped_reads_no_further_volume() -> None:
    reading = threading.Event()

    def read(check: Callable[[], None]) -> None:
        while True:
            check()
            reading.set()
            time.sleep(0.01)

    worker = ProposalWorker(read)  # type: ignore[arg-type]
    worker.start()
    assert reading.wait(5.0)
    worker.submit(Stop())
    assert worker.wait(5.0)
    (error,) = worker.take()
    assert "stopped while finished volumes were read" in str(error)


def test_a_worker_that_has_ended_is_freed_at_once_with_its_session() -> None:
    session = FakeSession()
    worker, gone = worker_of(session), weakref.ref(session)
    outcomes_of(worker)
    gc.disable()
    try:
        del worker, session
        assert gone() is None
    finally:
        gc.enable()


def test_an_error_while_the_session_is_made_is_reported() -> None:
    error = TrainingError("no weights")

    def fail(_: object) -> None:
        raise error

    assert outcomes_of(TrainingWorker(fail)) == [error]  # type: ignore[arg-type]


def test_messages_left_before_there_is_a_session_reach_it_in_order() -> None:
    session, gate = FakeSession(), threading.Event()

    def make(_: object) -> FakeSession:
        gate.wait(5)
        return session

    worker = TrainingWorker(make)  # type: ignore[arg-type]
    worker.start()
    messages = [Pause(), Stop()]
    for message in messages:
        worker.submit(message)
    gate.set()
    assert worker.wait(5.0)
    assert session.received == messages


def test_a_download_is_reported_regularly_and_a_stop_breaks_it_off() -> None:
    begun, gate = threading.Event(), threading.Event()

    def make(progress: Progress) -> FakeSession:
        for arrived in (1, 2):
            progress(arrived, 9)
        begun.set()
        gate.wait(5)
        progress(3, 9)
        return FakeSession()

    worker = TrainingWorker(make)  # type: ignore[arg-type]
    worker.start()
    assert begun.wait(5)
    worker.submit(Stop())
    gate.set()
    assert worker.wait(5.0)
    told, error = worker.take()
    assert told == Downloading(1, 9)
    assert isinstance(error, TrainingError)
    assert not worker.has_session


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux a thread has a niceness of its own")
def test_the_thread_gives_way_and_the_window_does_not() -> None:
    inside: list[int] = []

    def look() -> None:
        lower_priority()
        inside.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert inside == [10]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def learning(*events: Event) -> FakeSession:
    session = FakeSession(*events)
    session.students = object()
    session.continuation = lambda: SimpleNamespace(model=SimpleNamespace(steps=3))  # type: ignore[attr-defined]
    return session


def test_the_model_is_saved_after_the_first_validation_and_at_the_end() -> None:
    """Further validations come sooner than a minute after the first one."""
    kept: list[object] = []
    session = learning(*(Validated(step, None, adopted=True, shown=SHOWN) for step in range(1, 4)))
    worker = TrainingWorker(lambda _: session, kept.append)  # type: ignore[arg-type, return-value]
    outcomes_of(worker)
    assert len(kept) == 2
    assert kept[-1] is worker.learnt


def test_the_model_is_kept_in_the_thread_also_after_an_error() -> None:
    session = FakeSession(error=TrainingError("no memory"))
    session.students = object()
    session.continuation = lambda: SimpleNamespace(model=SimpleNamespace(steps=3))  # type: ignore[attr-defined]
    worker = worker_of(session)
    outcomes_of(worker)
    assert worker.learnt is not None
    assert worker.learnt.model.steps == 3


def test_a_model_that_cannot_be_copied_is_none_and_no_error() -> None:
    session = FakeSession()
    session.students = object()

    def fail(_: object) -> None:
        raise RuntimeError("the device is gone")

    session.continuation = fail  # type: ignore[attr-defined]
    worker = worker_of(session)
    assert outcomes_of(worker) == [Finished(1, 1.0, stopped=False)]
    assert worker.learnt is None
