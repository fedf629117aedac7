"""What the window hears of a training, and what a training hears of the window; without torch."""

from __future__ import annotations

import gc
import threading
import weakref
from dataclasses import replace
from queue import SimpleQueue
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from knowsam.config import Config
from knowsam.data.annotation import Annotation
from knowsam.data.case import Case
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.errors import TrainingError
from knowsam.training.events import (
    Event,
    Finished,
    Message,
    Notice,
    Pause,
    PredictionReady,
    Resume,
    Shown,
    SliceAnnotated,
    Source,
    Stage,
    StageChanged,
    StepDone,
    Stop,
    Validated,
    Watch,
)
from knowsam.training.schedule import Budget
from napari_knowsam import training_controller
from napari_knowsam.sessions import TrainingSettings
from napari_knowsam.training_controller import TrainingController

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytestqt.qtbot import QtBot

    from knowsam.data.volume import Volume

SETTINGS = TrainingSettings(Budget(seconds=60.0), Config())
SHOWN = Shown(Source.STUDENTS, 1.0, 0.75)
VALIDATED, READY = Validated(1, 0.75, adopted=True, shown=SHOWN), PredictionReady(0, (), (), 0, SHOWN)
LOSSES: Any = SimpleNamespace(total=1.0)


class FakeSession:
    """Tells one event of each kind, then waits for a Stop."""

    display: Any = None
    students = object()

    def __init__(self, error: Exception | None = None) -> None:
        self.received: list[Message] = []
        self.running, self.stopped = threading.Event(), threading.Event()
        self.error = error
        self.after_stop: list[tuple[Event, threading.Event]] = []

    def submit(self, message: Message) -> None:
        self.received.append(message)
        if isinstance(message, Stop):
            self.stopped.set()

    def run(self) -> Iterator[Event]:
        self.running.set()
        yield StageChanged(Stage.TRAINING)
        yield StepDone(1, 0.5, 20.0, LOSSES)
        yield VALIDATED
        yield READY
        yield Notice("half way")
        if self.error is not None:
            raise self.error
        self.stopped.wait(10)
        for event, until in self.after_stop:
            yield event
            until.wait(10)
        yield Finished(1, 20.0, stopped=True)

    def continuation(self) -> Any:
        return SimpleNamespace(model=SimpleNamespace(steps=1))


@pytest.fixture
def case(tiny: Volume) -> Case:
    labels = np.zeros(tiny.shape, np.uint8)
    labels[2, 2:5, 2:5] = 1
    return Case(tiny, Annotation.from_labels(labels, axis=0))


@pytest.fixture
def work(case: Case) -> AnnotationDocument:
    return AnnotationDocument(case.volume, 0, case.annotation.classes)


Controlled = tuple[TrainingController, FakeSession, list[tuple[str, Any]]]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> FakeSession:
    """The session of every training."""
    session = FakeSession()
    monkeypatch.setattr(training_controller, "training_session", lambda *_: session)
    return session


@pytest.fixture
def controlled(qtbot: QtBot, session: FakeSession) -> Iterator[Controlled]:
    controller, emitted = TrainingController(), list[tuple[str, Any]]()
    for name in ("stage_changed", "validated", "predicted", "noticed", "failed", "finished"):
        getattr(controller, name).connect(lambda value, name=name: emitted.append((name, value)))
    controller.stepped.connect(lambda step, left: emitted.append(("stepped", (step.step, left))))
    yield controller, session, emitted
    controller.close()


def test_every_event_becomes_its_signal(
    qtbot: QtBot, controlled: Controlled, case: Case, work: AnnotationDocument
) -> None:
    controller, _, emitted = controlled
    controller.train(case, SETTINGS, work)
    qtbot.waitUntil(lambda: ("noticed", Notice("half way")) in emitted, timeout=30_000)
    assert emitted == [
        ("stage_changed", Stage.PREPARING),
        ("stage_changed", Stage.TRAINING),
        ("stepped", (1, 40.0)),
        ("validated", VALIDATED),
        ("predicted", READY),
        ("noticed", Notice("half way")),
    ]


def test_a_stopped_training_ends_idle_and_can_be_started_again(
    qtbot: QtBot, controlled: Controlled, case: Case, work: AnnotationDocument
) -> None:
    controller, session, emitted = controlled
    controller.train(case, SETTINGS, work)
    qtbot.waitUntil(session.running.is_set, timeout=30_000)
    qtbot.waitUntil(lambda: ("noticed", Notice("half way")) in emitted, timeout=30_000)
    controller.stop()
    qtbot.waitUntil(lambda: not controller.is_running, timeout=30_000)
    assert emitted[-2:] == [("finished", Finished(1, 20.0, stopped=True)), ("stage_changed", None)]
    controller.train(case, SETTINGS, work)
    assert controller.is_running


class FakePropagation:
    """Answers every painted slice with a prediction, until it is stopped."""

    display = None

    def __init__(self) -> None:
        self.mailbox: SimpleQueue[Message] = SimpleQueue()
        self.ended = threading.Event()

    def submit(self, message: Message) -> None:
        self.mailbox.put(message)

    def run(self) -> Iterator[Event]:
        while not isinstance(message := self.mailbox.get(), Stop):
            if isinstance(message, SliceAnnotated):
                yield READY
        self.ended.set()


def test_while_a_training_gets_ready_the_propagation_answers_corrections(
    qtbot: QtBot, controlled: Controlled, case: Case, work: AnnotationDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller, session, emitted = controlled
    propagation, is_ready = FakePropagation(), threading.Event()
    monkeypatch.setattr(training_controller, "propagation_session", lambda *_: propagation)
    monkeypatch.setattr(training_controller, "training_session", lambda *_: is_ready.wait(30) and session)
    painted = SliceAnnotated(case.annotation.slices[2])
    controller.propagate(work, SETTINGS.config)
    controller.train(case, SETTINGS, work)
    controller.submit(painted)
    qtbot.waitUntil(lambda: ("predicted", READY) in emitted, timeout=30_000)
    assert not propagation.ended.is_set()
    is_ready.set()
    qtbot.waitUntil(lambda: ("stage_changed", Stage.TRAINING) in emitted, timeout=30_000)
    assert propagation.ended.wait(30)
    assert painted in session.received


def test_what_the_window_says_reaches_the_session(
    qtbot: QtBot, controlled: Controlled, case: Case, work: AnnotationDocument
) -> None:
    controller, session, _ = controlled
    controller.submit(Watch(1))
    controller.train(case, SETTINGS, work)
    controller.submit(Watch(2))
    controller.pause()
    controller.resume()
    qtbot.waitUntil(lambda: len(session.received) == 3, timeout=30_000)
    assert session.received == [Watch(2), Pause(), Resume()]


def test_a_second_training_beside_the_first_is_refused(
    controlled: Controlled, case: Case, work: AnnotationDocument
) -> None:
    controller, _, _ = controlled
    controller.train(case, SETTINGS, work)
    with pytest.raises(RuntimeError, match="going on already"):
        controller.train(case, SETTINGS, work)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TrainingError("No annotated slice is left."), "No annotated slice is left."),
        (RuntimeError("shape"), "Training ended with an unexpected error: RuntimeError('shape'). Train again."),
    ],
)
def test_an_error_is_shown_in_a_sentence_and_leaves_nothing_running(
    qtbot: QtBot, controlled: Controlled, case: Case, work: AnnotationDocument, error: Exception, said: str
) -> None:
    controller, session, emitted = controlled
    session.error = error
    controller.train(case, SETTINGS, work)
    qtbot.waitUntil(lambda: not controller.is_running, timeout=30_000)
    assert emitted[-2:] == [("failed", said), ("stage_changed", None)]


def test_stop_while_torch_loads_is_obeyed_at_once(
    qtbot: QtBot, controlled: Controlled, case: Case, work: AnnotationDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller, session, emitted = controlled
    loading = threading.Event()

    def load(*_: object) -> FakeSession:
        loading.wait(5)
        return session

    monkeypatch.setattr(training_controller, "training_session", load)
    controller.train(case, SETTINGS, work)
    controller.stop()
    assert not controller.is_running
    assert emitted[-2:] == [("finished", Finished(0, 0.0, stopped=True)), ("stage_changed", None)]
    loading.set()
    qtbot.waitUntil(session.stopped.is_set, timeout=30_000)
    qtbot.wait(50)
    assert ("stage_changed", Stage.TRAINING) not in emitted


def test_closing_ends_the_thread_within_a_second(
    qtbot: QtBot, controlled: Controlled, case: Case, work: AnnotationDocument
) -> None:
    controller, session, _ = controlled
    controller.train(case, SETTINGS, work)
    qtbot.waitUntil(session.running.is_set, timeout=30_000)
    controller.close()
    assert not any(thread.name == "KnowSAM training" for thread in threading.enumerate())
    assert session.received[-1] == Stop()


def test_after_a_training_its_predictions_go_on_for_the_slice_that_was_watched(
    qtbot: QtBot, controlled: Controlled, case: Case, work: AnnotationDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller, session, emitted = controlled
    session.display, following, shown = SimpleNamespace(config=Config(), has_learnt=True), FakeSession(), list[Any]()

    def follow(_case: Case, _config: Config, display: Any, _before: Any) -> FakeSession:
        shown.append(display)
        return following

    monkeypatch.setattr(training_controller, "propagation_session", follow)
    controller.train(case, SETTINGS, work)
    controller.submit(Watch(3))
    qtbot.waitUntil(lambda: ("noticed", Notice("half way")) in emitted, timeout=30_000)
    controller.stop()
    qtbot.waitUntil(lambda: following.received == [Watch(3)], timeout=30_000)
    assert shown == [session.display]
    assert not controller.is_running
    controller.close()


Given = list[Any]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    """What each session is made from, which ends at once."""
    given: Given = []

    def make(_case: Case, _settings: TrainingSettings, last: Any, _progress: object) -> FakeSession:
        given.append(last)
        session = FakeSession()
        session.submit(Stop())
        return session

    monkeypatch.setattr(training_controller, "training_session", make)
    return given


def _run(
    qtbot: QtBot, controller: TrainingController, case: Case, settings: TrainingSettings, work: AnnotationDocument
) -> None:
    controller.train(case, settings, work)
    qtbot.waitUntil(lambda: not controller.is_running, timeout=30_000)


def test_training_goes_on_from_the_last_model_of_the_same_work_only(
    qtbot: QtBot, case: Case, work: AnnotationDocument, given: Given
) -> None:
    controller = TrainingController()
    other = AnnotationDocument(case.volume, 0, case.annotation.classes)
    from_scratch = replace(SETTINGS, continued=False)
    for settings, one in ((SETTINGS, work), (from_scratch, work), (SETTINGS, other), (SETTINGS, work)):
        assert (controller.model(one) is not None) is bool(given and one is work)
        _run(qtbot, controller, case, settings, one)
    first, scratch, of_other, again = given
    assert (first, scratch, of_other) == (None, None, None)
    assert again.model.steps == 1


def test_a_model_goes_with_the_work_it_was_trained_on(
    qtbot: QtBot, case: Case, work: AnnotationDocument, given: Given
) -> None:
    controller = TrainingController()
    passing = AnnotationDocument(case.volume, 0, case.annotation.classes)
    _run(qtbot, controller, case, SETTINGS, passing)
    assert controller.model(passing) is not None
    gone = weakref.ref(passing)
    del passing
    gc.collect()
    assert gone() is None


def test_a_closed_controller_is_forgotten(
    qtbot: QtBot, case: Case, work: AnnotationDocument, session: FakeSession
) -> None:
    controller = TrainingController()
    controller.train(case, SETTINGS, work)
    qtbot.waitUntil(session.running.is_set, timeout=30_000)
    controller.close()
    gone = weakref.ref(controller)
    del controller
    gc.collect()
    assert gone() is None
