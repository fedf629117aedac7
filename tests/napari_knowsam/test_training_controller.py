"""What the window hears of a training, and what a training hears of the window; without torch."""

from __future__ import annotations

import gc
import threading
import weakref
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from knowsam.config import Config
from knowsam.data.annotation import Annotation
from knowsam.data.case import Case
from knowsam.errors import TrainingError
from knowsam.training.events import (
    Event,
    Finished,
    Message,
    Notice,
    Pause,
    PredictionReady,
    Resume,
    Stage,
    StageChanged,
    StepDone,
    Stop,
    Validated,
    Watch,
)
from knowsam.training.schedule import Budget
from napari_knowsam import training_controller
from napari_knowsam.training_controller import TrainingController, TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytestqt.qtbot import QtBot

    from knowsam.data.volume import Volume

SETTINGS = TrainingSettings(Budget(seconds=60.0), Config())
LOSSES: Any = SimpleNamespace(total=1.0)


class FakeSession:
    """Tells one event of each kind, then waits for a Stop."""

    holdout = trained = frozenset[Any]()
    students = object()

    def __init__(self, error: Exception | None = None) -> None:
        self.received: list[Message] = []
        self.running, self.stopped = threading.Event(), threading.Event()
        self.error = error

    def submit(self, message: Message) -> None:
        self.received.append(message)
        if isinstance(message, Stop):
            self.stopped.set()

    def run(self) -> Iterator[Event]:
        self.running.set()
        yield StageChanged(Stage.TRAINING)
        yield StepDone(1, 0.5, 20.0, LOSSES)
        yield Validated(1, 0.75, adopted=True)
        yield PredictionReady(0, (), (), 0)
        yield Notice("half way")
        if self.error is not None:
            raise self.error
        self.stopped.wait(10)
        yield Finished(1, 20.0, stopped=True)

    def model(self) -> Any:
        return SimpleNamespace(steps=1)


@pytest.fixture
def case(tiny: Volume) -> Case:
    labels = np.zeros(tiny.shape, np.uint8)
    labels[2, 2:5, 2:5] = 1
    return Case(tiny, Annotation.from_labels(labels, axis=0))


Controlled = tuple[TrainingController, FakeSession, list[tuple[str, Any]]]


@pytest.fixture
def controlled(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> Iterator[Controlled]:
    session = FakeSession()
    monkeypatch.setattr(training_controller, "_make_session", lambda *_: session)
    controller, heard = TrainingController(), list[tuple[str, Any]]()
    for name in ("stage_changed", "validated", "predicted", "noticed", "failed", "finished"):
        getattr(controller, name).connect(lambda value, name=name: heard.append((name, value)))
    controller.stepped.connect(lambda step, left: heard.append(("stepped", (step.step, left))))
    yield controller, session, heard
    controller.close()


def test_every_event_becomes_its_signal(qtbot: QtBot, controlled: Controlled, case: Case) -> None:
    controller, _, heard = controlled
    controller.train(case, SETTINGS)
    qtbot.waitUntil(lambda: ("noticed", "half way") in heard, timeout=5000)
    assert heard == [
        ("stage_changed", Stage.PREPARING),
        ("stage_changed", Stage.TRAINING),
        ("stepped", (1, 40.0)),
        ("validated", Validated(1, 0.75, adopted=True)),
        ("predicted", PredictionReady(0, (), (), 0)),
        ("noticed", "half way"),
    ]


def test_a_stopped_training_ends_idle_and_can_be_started_again(
    qtbot: QtBot, controlled: Controlled, case: Case
) -> None:
    controller, session, heard = controlled
    controller.train(case, SETTINGS)
    qtbot.waitUntil(session.running.is_set, timeout=5000)
    qtbot.waitUntil(lambda: ("noticed", "half way") in heard, timeout=5000)
    controller.stop()
    qtbot.waitUntil(lambda: not controller.is_running, timeout=5000)
    assert heard[-2:] == [("finished", Finished(1, 20.0, stopped=True)), ("stage_changed", None)]
    controller.train(case, SETTINGS)
    assert controller.is_running


def test_what_the_window_says_reaches_the_session(qtbot: QtBot, controlled: Controlled, case: Case) -> None:
    controller, session, _ = controlled
    controller.submit(Watch(1))
    controller.train(case, SETTINGS)
    controller.submit(Watch(2))
    controller.pause()
    controller.resume()
    qtbot.waitUntil(lambda: len(session.received) == 3, timeout=5000)
    assert session.received == [Watch(2), Pause(), Resume()]


def test_a_second_training_beside_the_first_is_refused(controlled: Controlled, case: Case) -> None:
    controller, _, _ = controlled
    controller.train(case, SETTINGS)
    with pytest.raises(RuntimeError, match="going on already"):
        controller.train(case, SETTINGS)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TrainingError("No annotated slice is left."), "No annotated slice is left."),
        (RuntimeError("shape"), "Training ended with an unexpected error: RuntimeError('shape'). Train again."),
    ],
)
def test_an_error_is_said_in_a_sentence_and_leaves_nothing_running(
    qtbot: QtBot, controlled: Controlled, case: Case, error: Exception, said: str
) -> None:
    controller, session, heard = controlled
    session.error = error
    controller.train(case, SETTINGS)
    qtbot.waitUntil(lambda: not controller.is_running, timeout=5000)
    assert heard[-2:] == [("failed", said), ("stage_changed", None)]


def test_stop_while_torch_loads_is_obeyed_at_once(
    qtbot: QtBot, controlled: Controlled, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller, session, heard = controlled
    loading = threading.Event()

    def load(*_: object) -> FakeSession:
        loading.wait(5)
        return session

    monkeypatch.setattr(training_controller, "_make_session", load)
    controller.train(case, SETTINGS)
    controller.stop()
    assert not controller.is_running
    assert ("stage_changed", None) in heard
    loading.set()
    qtbot.waitUntil(session.stopped.is_set, timeout=5000)
    qtbot.wait(50)
    assert ("stage_changed", Stage.TRAINING) not in heard


def test_closing_ends_the_thread_within_a_second(qtbot: QtBot, controlled: Controlled, case: Case) -> None:
    controller, session, _ = controlled
    controller.train(case, SETTINGS)
    qtbot.waitUntil(session.running.is_set, timeout=5000)
    controller.close()
    assert not any(thread.name == "KnowSAM training" for thread in threading.enumerate())
    assert session.received[-1] == Stop(refresh=False)


def _last_given(controller: TrainingController, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    given: list[Any] = []

    def make(_case: Case, _settings: TrainingSettings, last: Any) -> FakeSession:
        given.append(last)
        session = FakeSession()
        session.submit(Stop())
        return session

    monkeypatch.setattr(training_controller, "_make_session", make)
    return given


def test_training_goes_on_from_the_last_model_of_the_same_volume_only(
    qtbot: QtBot, controlled: Controlled, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller, _, _ = controlled
    given = _last_given(controller, monkeypatch)
    another = Case(type(case.volume)(case.volume.array, case.volume.grid, "another"), case.annotation)
    run: Callable[[Case, TrainingSettings], None] = lambda one, settings: (  # noqa: E731
        controller.train(one, settings),
        qtbot.waitUntil(lambda: not controller.is_running, timeout=5000),
    )[0]
    from_scratch = TrainingSettings(SETTINGS.budget, SETTINGS.config, continued=False)
    for one, settings in ((case, SETTINGS), (case, SETTINGS), (case, from_scratch), (another, SETTINGS)):
        run(one, settings)
    first, second, scratch, other = given
    assert (first, scratch, other) == (None, None, None)
    assert second.model.steps == 1


def test_a_closed_controller_is_forgotten(qtbot: QtBot, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    session = FakeSession()
    monkeypatch.setattr(training_controller, "_make_session", lambda *_: session)
    controller = TrainingController()
    controller.train(case, SETTINGS)
    qtbot.waitUntil(session.running.is_set, timeout=5000)
    controller.close()
    gone = weakref.ref(controller)
    del controller
    gc.collect()
    assert gone() is None
