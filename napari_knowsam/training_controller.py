"""Training as the window knows it: start, pause, stop, tell it of new labels, hear what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from knowsam.errors import KnowSAMError
from knowsam.training.events import (
    Event,
    Finished,
    Notice,
    Pause,
    PredictionReady,
    Resume,
    Stage,
    StageChanged,
    StepDone,
    Stop,
    Validated,
)
from napari_knowsam.training_worker import TrainingWorker

if TYPE_CHECKING:
    from collections.abc import Collection

    from knowsam.config import Config
    from knowsam.data.case import Case
    from knowsam.data.sampling import SliceKey
    from knowsam.training.events import Message
    from knowsam.training.schedule import Budget
    from knowsam.training.session import TrainingSession
    from knowsam.training.trained_model import TrainedModel

_CLOSING_S = 1.0
_LISTENING_MS = 20


@dataclass(frozen=True)
class TrainingSettings:
    """What a person chose before pressing Train.

    Parameters
    ----------
    teacher : ``none``, ``compact``, the name of a SAM variant or a file of its weights, see `choose_teacher`.
    device : see `resolve_device`.
    continued : go on from the model of the last training of the same volume, if there is one.
    """

    budget: Budget
    config: Config
    teacher: str = "compact"
    device: str = "auto"
    continued: bool = True


@dataclass(frozen=True)
class _Trained:
    """What a finished training leaves to the next one of the same volume."""

    case: Case
    model: TrainedModel
    holdout: Collection[SliceKey]
    trained: Collection[SliceKey]

    def continues(self, case: Case) -> bool:
        return self.case.volume is case.volume and self.case.annotation.axis == case.annotation.axis


class TrainingController(QObject):
    """Owns the training session and the thread it runs in; at most one of each."""

    stage_changed = Signal(object)
    """A `Stage`, or None when nothing is going on."""

    stepped = Signal(object, object)
    """A `StepDone`, and the seconds left, None if the budget is in steps."""

    validated = Signal(object)
    """A `Validated`."""

    predicted = Signal(object)
    """A `PredictionReady`."""

    noticed = Signal(str)
    """A sentence for the user."""

    failed = Signal(str)
    """What went wrong, in a sentence for the user; training has ended."""

    finished = Signal(object)
    """A `Finished`: training has ended as it should."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker: TrainingWorker | None = None
        self._case: Case | None = None
        self._budget: Budget | None = None
        self._trained: _Trained | None = None
        self._listening = QTimer(self)
        self._listening.setInterval(_LISTENING_MS)
        self._listening.timeout.connect(self._listen)

    @property
    def is_running(self) -> bool:
        """Whether a training goes on, be it paused."""
        return self._worker is not None

    def train(self, case: Case, settings: TrainingSettings) -> None:
        """Start a training; it goes on warm where the last one of the same volume ended."""
        if self.is_running:
            raise RuntimeError("A training is going on already.")
        self._case, self._budget = case, settings.budget
        last = self._trained if settings.continued and self._trained is not None else None
        if last is not None and not last.continues(case):
            last = None
        self._worker = TrainingWorker(partial(_make_session, case, settings, last))
        self._worker.start()
        self._listening.start()
        self.stage_changed.emit(Stage.PREPARING)

    def submit(self, message: Message) -> None:
        """Tell the session something; nothing happens where none is going on."""
        if self._worker is not None:
            self._worker.submit(message)

    def pause(self) -> None:
        """Let training stand still."""
        self.submit(Pause())

    def resume(self) -> None:
        """Let training go on."""
        self.submit(Resume())

    def stop(self) -> None:
        """End training and keep what was learnt; pressed again, end the last refresh of the predictions too."""
        if self._worker is not None and self._worker.session is None:
            # Importing torch and loading weights cannot be broken off, only left alone.
            self._let_go()
            self.noticed.emit("Training was stopped before it began.")
        self.submit(Stop())

    def close(self) -> None:
        """End everything; waits a moment for the thread."""
        worker = self._worker
        self._let_go()
        if worker is not None:
            worker.wait(_CLOSING_S)

    def _let_go(self) -> None:
        if self._worker is None:
            return
        self._worker.submit(Stop(refresh=False))
        self._end()

    def _end(self) -> None:
        self._worker = None
        self._listening.stop()
        self.stage_changed.emit(None)

    def _listen(self) -> None:
        """Pass on what has happened in the thread."""
        worker = self._worker
        if worker is None:
            return
        done = worker.is_done
        for outcome in worker.take():
            if self._worker is not worker:
                # A slot has closed the training meanwhile.
                return
            if isinstance(outcome, Exception):
                self._on_failed(outcome)
            else:
                self._on_happened(outcome)
        if done:
            self._end()

    def _on_happened(self, event: Event) -> None:
        match event:
            case StageChanged():
                self.stage_changed.emit(event.stage)
            case StepDone():
                self.stepped.emit(event, self._seconds_left(event))
            case Validated():
                self.validated.emit(event)
            case PredictionReady():
                self.predicted.emit(event)
            case Notice():
                self.noticed.emit(event.text)
            case Finished():
                self._keep_model()
                self.finished.emit(event)

    def _seconds_left(self, event: StepDone) -> float | None:
        seconds = self._budget.seconds if self._budget is not None else None
        return None if seconds is None else max(seconds - event.seconds, 0.0)

    def _on_failed(self, error: Exception) -> None:
        self._keep_model()
        known = isinstance(error, KnowSAMError)
        self.failed.emit(str(error) if known else f"Training ended with an unexpected error: {error!r}. Train again.")

    def _keep_model(self) -> None:
        session = self._worker.session if self._worker is not None else None
        if session is None or session.students is None or self._case is None:
            return
        model = session.model()
        if model.steps:
            self._trained = _Trained(self._case, model, session.holdout, session.trained)


def _make_session(case: Case, settings: TrainingSettings, last: _Trained | None) -> TrainingSession:
    """Build the session, in the thread it will run in: only here is torch needed."""
    from knowsam.jobs import choose_teacher
    from knowsam.training.session import TrainingSession

    teacher = choose_teacher(settings.teacher)
    config = settings.config.with_values(variant=teacher.variant)
    return TrainingSession(
        [case],
        budget=settings.budget,
        config=config,
        device=settings.device,
        sam_weights=teacher.weights,
        start_from=None if last is None else _warm_start(last.model, case, config),
        # Even where training starts from scratch, scores stay comparable on the same slices.
        holdout=() if last is None else last.holdout,
        trained=() if last is None else last.trained,
    )


def _warm_start(model: TrainedModel, case: Case, config: Config) -> TrainedModel | None:
    """Return the model to go on from, fitted to the classes and settings of today, or None if it cannot be."""
    fitted = replace(model.with_classes(case.annotation.classes), config=config)
    alike = model.config.students == config.students and model.config.plane.neighbours == config.plane.neighbours
    return fitted if alike else None
