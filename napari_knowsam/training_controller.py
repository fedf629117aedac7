"""Training and propagation for the window: starts and stops them, submits annotations, and emits their events."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from qtpy.QtCore import QObject, QTimer, Signal

from knowsam.errors import KnowSAMError
from knowsam.training.events import (
    Applied,
    ClassesChanged,
    Downloading,
    Event,
    Finished,
    ModelReady,
    Notice,
    Pause,
    PredictionReady,
    PredictionsGone,
    Proposed,
    Resume,
    SliceAnnotated,
    Stage,
    StageChanged,
    StepDone,
    Stop,
    Validated,
    Watch,
)
from napari_knowsam.sessions import application_session, propagation_session, training_session
from napari_knowsam.training_worker import ProposalWorker, SessionWorker, TrainingWorker

if TYPE_CHECKING:
    from collections.abc import Callable

    from knowsam.config import Config
    from knowsam.data.case import Case
    from knowsam.document.annotation_document import AnnotationDocument
    from knowsam.training.continuation import Continuation
    from knowsam.training.display import Display
    from knowsam.training.events import Message
    from knowsam.training.propagation_session import PropagationSession
    from knowsam.training.schedule import Budget
    from knowsam.training.trained_model import TrainedModel
    from napari_knowsam.sessions import TrainingSettings

_CLOSING_S = 1.0
_ENDING_S = 20.0
"""Longest time that a step and the validation after it take on a slow computer."""

_POLL_MS = 20


class TrainingController(QObject):
    """Owns the session that goes on, of training or of propagation, and the thread it runs in; at most one of each.

    A training takes the place of a propagation of the same work as soon as it shows predictions itself, and is followed
    by one that goes on with these. Both get the same messages, and both send predictions. A propagation may begin
    with a model of other volumes, which is applied first.
    """

    stage_changed = Signal(object)
    """A `Stage`, or None when nothing is going on."""

    stepped = Signal(object, object)
    """A `StepDone`, and the seconds left, None if the budget is in steps."""

    validated = Signal(object)
    """A `Validated`."""

    predicted = Signal(object)
    """A `PredictionReady`."""

    predictions_gone = Signal()
    """The predictions of the work are void: too few annotations are left."""

    noticed = Signal(object)
    """A sentence for the user."""

    proposed = Signal(object)
    """A `ProposedMask` of the work."""

    downloading = Signal(object)
    """A `Downloading`."""

    failed = Signal(str)
    """An error, in a sentence for the user; training, or propagation while nobody trains, has ended."""

    finished = Signal(object)
    """A `Finished`: training has ended as it should."""

    applied = Signal(object)
    """An `Applied`: a model has predicted every slice, or was stopped."""

    model_ready = Signal(object)
    """A `TrainedModel`, in answer to a `ModelWanted`."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker: TrainingWorker | SessionWorker[PropagationSession] | None = None
        self._replaced: SessionWorker[Any] | None = None
        self._ended: SessionWorker[Any] | None = None
        self._is_applying = False
        self._work: AnnotationDocument | None = None
        self._budget: Budget | None = None
        self._watched: Watch | None = None
        self._learnt: WeakKeyDictionary[AnnotationDocument, Continuation] = WeakKeyDictionary()
        self._displays: WeakKeyDictionary[AnnotationDocument, Display] = WeakKeyDictionary()
        self._outdated: WeakKeyDictionary[AnnotationDocument, int] = WeakKeyDictionary()
        self._polling = QTimer(self)
        self._polling.setInterval(_POLL_MS)
        self._polling.timeout.connect(self._poll)

    @property
    def is_running(self) -> bool:
        """Whether a training goes on, be it paused."""
        return isinstance(self._worker, TrainingWorker)

    @property
    def work(self) -> AnnotationDocument | None:
        """The work of the present training or propagation."""
        return self._work

    @property
    def is_busy(self) -> bool:
        """Whether a training goes on, or a model is being applied."""
        return self.is_running or self._is_applying

    @property
    def trained(self) -> tuple[AnnotationDocument, ...]:
        """All works with a model of a training that has ended."""
        return tuple(self._learnt)

    def model(self, work: AnnotationDocument) -> TrainedModel | None:
        """Return the model of the last training of a work, if there was one."""
        learnt = self._learnt.get(work)
        return None if learnt is None else learnt.model

    def take_up(self, work: AnnotationDocument, learnt: Continuation) -> None:
        """Go on with a work where a training of an earlier day has ended, the next time it is trained."""
        self._learnt[work] = learnt

    def goes_on(self, work: AnnotationDocument, settings: TrainingSettings) -> bool:
        """Tell whether a training goes on where the last one of the same work ended, if there was one."""
        learnt = self._learnt.get(work)
        return settings.continued and learnt is not None and learnt.fits(settings.config)

    def outdated(self, work: AnnotationDocument) -> int:
        """Return how many slices of a work wait for a new prediction."""
        return self._outdated.get(work, 0)

    def train(
        self,
        case: Case,
        settings: TrainingSettings,
        work: AnnotationDocument,
        keep: Callable[[Continuation], None] = lambda _: None,
    ) -> None:
        """Start a training; it goes on warm where the last one of the same work ended.

        Parameters
        ----------
        work : what the case was taken from.
        keep : saves what was learnt, see `TrainingWorker`; by default nothing does.
        """
        if self.is_running:
            raise RuntimeError("A training is going on already.")
        replaced = self._worker
        if self._work is work and replaced is not None and not self._is_applying:
            self._replaced = replaced
            self._keep_display()
        else:
            self._drop_propagation()
        self._work, self._budget = work, settings.budget
        last = self._learnt.get(work) if settings.continued else None
        self._worker = TrainingWorker(partial(training_session, case, settings, last), keep)
        self._worker.start()
        self._polling.start()
        self.stage_changed.emit(Stage.PREPARING)

    def propagate(self, work: AnnotationDocument, config: Config) -> None:
        """Keep the predictions of a work up to date while nobody trains; what goes on already is left to go on."""
        if self.is_running or (self._worker is not None and self._work is work):
            return
        before = self._worker or self._ended
        self._drop_propagation()
        make_session = partial(propagation_session, work.copy(), config, self._displays.get(work), before)
        self._predict(work, SessionWorker(make_session))

    def apply(self, case: Case, model: TrainedModel, work: AnnotationDocument, device: str = "auto") -> None:
        """Let a model of other volumes predict a work, and keep its predictions up to date from then on.

        Parameters
        ----------
        work : what the case was taken from.
        """
        worker = SessionWorker(partial(application_session, model, case, device))
        self._begin_applying(work, worker, Stage.APPLYING)

    def propose(
        self, make_session: Callable[[Callable[[], None]], PropagationSession], work: AnnotationDocument
    ) -> None:
        """Let finished volumes propose a mask of a work, and keep its predictions up to date from then on.

        Parameters
        ----------
        make_session : see `ProposalWorker`; called in a thread.
        """
        self._begin_applying(work, ProposalWorker(make_session), Stage.PROPOSING)

    def _begin_applying(
        self, work: AnnotationDocument, worker: SessionWorker[PropagationSession], stage: Stage
    ) -> None:
        if self.is_running:
            raise RuntimeError("A training is going on.")
        self._drop_propagation()
        self._is_applying = True
        self._predict(work, worker)
        self.stage_changed.emit(stage)

    def _predict(self, work: AnnotationDocument, worker: SessionWorker[PropagationSession]) -> None:
        self._work, self._worker = work, worker
        worker.start()
        self._polling.start()

    def submit(self, message: Message) -> None:
        """Send a message to the session; without one, nothing happens."""
        if self._worker is not None:
            self._watched = message if isinstance(message, Watch) else self._watched
            self._worker.submit(message)
            if self._replaced is not None and isinstance(message, (ClassesChanged, SliceAnnotated, Watch)):
                self._replaced.submit(message)

    def pause(self) -> None:
        """Pause training."""
        self.submit(Pause())

    def resume(self) -> None:
        """Resume training."""
        self.submit(Resume())

    def stop(self) -> None:
        """End training and keep what was learnt, or predict no further."""
        if not self.is_busy or self._worker is None:
            return
        # Importing torch and loading weights cannot be broken off, only left alone; downloading and reading end then.
        if self._worker.has_session:
            self.submit(Stop())
        elif self._is_applying:
            self.applied.emit(Applied(stopped=True))
            self._drop_propagation()
        else:
            self.finished.emit(Finished(0, 0.0, stopped=True))
            self.abandon()
            self._end(None)

    def stop_at_once(self) -> None:
        """End training as `stop` does, and wait until what was learnt is kept."""
        if self.is_running and self._worker is not None:
            self.abandon()
            self._worker.wait(_ENDING_S)
            self._poll()

    def close(self) -> None:
        """End everything; waits a moment for the thread."""
        worker = self._worker
        if self.is_running:
            self.abandon()
            self._forget()
            self.stage_changed.emit(None)
        self._drop_propagation()
        if worker is not None:
            worker.wait(_CLOSING_S)

    def abandon(self) -> None:
        """Let the thread end by itself; needs nothing of Qt."""
        if self._worker is not None:
            self._worker.submit(Stop())

    def _drop_propagation(self) -> None:
        if not self.is_running:
            self.abandon()
            self._forget()

    def _forget(self) -> None:
        """Let go of the session; what its networks show is kept for the next one of the same work."""
        self._keep_display()
        self._end_replaced()
        self._worker = self._work = None
        self._polling.stop()
        self._end_applying()

    def _keep_display(self) -> None:
        if self._work is not None and self._worker is not None and (display := self._worker.display) is not None:
            self._displays[self._work] = display

    def _end_replaced(self) -> None:
        """End the propagation that went on while a training got ready."""
        if self._replaced is not None:
            self._replaced.submit(Stop())
            self._ended, self._replaced = self._replaced, None

    def _end_applying(self) -> None:
        if self._is_applying:
            self._is_applying = False
            self.stage_changed.emit(None)

    def _end(self, learnt: Continuation | None) -> None:
        """Keep what was learnt; its predictions go on where they ended, whatever volume is on the screen."""
        work, watched = self._work, self._watched
        self._forget()
        if work is not None and learnt is not None:
            self._learnt[work] = learnt
        display = None if work is None else self._displays.get(work)
        if work is not None and display is not None and watched is not None:
            self.propagate(work, display.config)
            self.submit(watched)
        self.stage_changed.emit(None)

    def _poll(self) -> None:
        """Emit the events of the thread."""
        worker = self._worker
        if worker is None:
            return
        for outcome in () if self._replaced is None else self._replaced.take():
            if isinstance(outcome, (PredictionReady, Proposed)):
                self._on_happened(outcome)
        done = worker.is_done
        for outcome in worker.take():
            if self._worker is not worker:
                # A slot has closed the training meanwhile.
                return
            if isinstance(outcome, Exception):
                self._on_failed(outcome)
            else:
                self._on_happened(outcome)
        if done and isinstance(worker, TrainingWorker):
            self._end(worker.learnt)
        elif done:
            self._forget()

    def _on_happened(self, event: Event) -> None:
        if isinstance(event, (PredictionReady, Finished, Applied)) and self._work is not None:
            self._outdated[self._work] = event.outdated
        match event:
            case StageChanged():
                if event.stage is Stage.TRAINING:
                    self._end_replaced()
                self.stage_changed.emit(event.stage)
            case StepDone():
                self.stepped.emit(event, self._seconds_left(event))
            case Validated():
                self.validated.emit(event)
            case PredictionReady():
                self.predicted.emit(event)
            case PredictionsGone():
                self.predictions_gone.emit()
            case Notice():
                self.noticed.emit(event)
            case Proposed():
                self.proposed.emit(event.mask)
            case Downloading():
                self.downloading.emit(event)
            case Finished():
                self.finished.emit(event)
            case Applied():
                self.applied.emit(event)
                self._end_applying()
            case ModelReady():
                self.model_ready.emit(event.model)

    def _seconds_left(self, event: StepDone) -> float | None:
        seconds = self._budget.seconds if self._budget is not None else None
        return None if seconds is None else max(seconds - event.seconds, 0.0)

    def _on_failed(self, error: Exception) -> None:
        if isinstance(error, KnowSAMError):
            self.failed.emit(str(error))
        elif self.is_running:
            self.failed.emit(f"Training ended with an unexpected error: {error!r}. Train again.")
        elif self._is_applying:
            self.failed.emit(f"The mask cannot be made, for an unexpected error: {error!r}. Paint, or train.")
        else:
            self.failed.emit(f"Propagation ended with an unexpected error: {error!r}. Painting on starts it again.")
