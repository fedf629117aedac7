"""A training session: a generator of events with a mailbox, to be run in any thread or process."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from knowsam.config import Config
from knowsam.data.annotation import BACKGROUND, IGNORE
from knowsam.data.case import require_same_kind
from knowsam.data.sampling import SliceKey
from knowsam.errors import InputError, TrainingError
from knowsam.inference.cpu_threads import CpuThreads
from knowsam.inference.device import is_out_of_memory, memory_remedy
from knowsam.models.class_heads import class_sources
from knowsam.training.adopted import AdoptedStudents
from knowsam.training.device_check import working_device
from knowsam.training.events import (
    ClassesChanged,
    Event,
    Finished,
    Message,
    Notice,
    Pause,
    Planned,
    Resume,
    SliceAnnotated,
    Stage,
    StageChanged,
    StepDone,
    Stop,
    Validated,
    Watch,
)
from knowsam.training.interruption import Interrupted, Interruption
from knowsam.training.learner import Learner
from knowsam.training.mailbox import Mailbox
from knowsam.training.plan import make_plan
from knowsam.training.referee import Referee
from knowsam.training.slices import TrainingSlices, common_windows
from knowsam.training.trained_model import TrainedModel

if TYPE_CHECKING:
    from torch import Tensor

    from knowsam.data.annotation import LabelClass
    from knowsam.data.case import Case
    from knowsam.data.window import Window
    from knowsam.inference.predictor import Predictor
    from knowsam.models.students import Students
    from knowsam.training.schedule import Budget
    from knowsam.training.step import StepLosses

logger = logging.getLogger(__name__)


class TrainingSession:
    """Trains KnowSAM on some annotated and many unlabelled slices of one or several volumes.

    `run` yields an event at least once a step; between two events messages from `submit` take effect. Predictions come
    from `students`, a copy of the learning ones that is renewed unless the held-out slices got worse than noise.

    Parameters
    ----------
    cases : volumes with their annotations, all with the same classes and axis; at least one slice is annotated.
    budget : when to end.
    seed : with a budget in steps, the same seed gives the same run on the same CPU.
    device : ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    sam_weights : official SAM weights, where the configured teacher is not the compact one.
    start_from : an earlier model to go on training.
    holdout, trained : of the earlier session, so that no slice changes sides when training goes on in a new one.
    machine_made : slices whose labels are accepted or corrected predictions; never held out.

    Attributes
    ----------
    plan : what will run, and why.
    threads : adapts PyTorch's threads to what other programs leave free; enter it to predict after `run` has ended.

    Raises
    ------
    InputError
        If nothing is annotated, or the cases, or the model to start from, do not belong together.
    ConfigError
        If the device is not there or cannot train.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        *,
        budget: Budget,
        config: Config | None = None,
        seed: int = 0,
        device: str = "auto",
        sam_weights: Mapping[str, Tensor] | None = None,
        start_from: TrainedModel | None = None,
        holdout: Collection[SliceKey] = (),
        trained: Collection[SliceKey] = (),
        machine_made: Collection[SliceKey] = (),
    ) -> None:
        require_same_kind(cases)
        if start_from is not None:
            start_from.require_continuable(cases[0].annotation, config or start_from.config)
        self.cases = list(cases)
        self.config = config or (Config() if start_from is None else start_from.config)
        self.budget = budget
        self.seed = seed
        self.device, device_notice = working_device(device)
        self.plan = make_plan(
            self.config,
            budget,
            self.device,
            sam_weights=sam_weights,
            earlier=start_from,
            is_transfer=start_from is not None and not trained,
            device_notice=device_notice,
        )
        self.windows, self.pixel_mm = common_windows(
            cases, self.config, start_from.pixel_mm if start_from is not None else None
        )
        self._sam_weights = sam_weights
        self._is_new_ground = self.plan.is_transfer
        self._received: list[SliceAnnotated | ClassesChanged] = []
        self._watched: Watch | None = None
        self.threads = CpuThreads()
        self._interruption = Interruption(self.threads.adapt)
        self._mailbox = Mailbox(self._interruption)
        self._referee = Referee(
            self.config.training, self._interruption, holdout=holdout, trained=trained, machine_made=machine_made
        )
        self._adopted: AdoptedStudents | None = None
        self._stage = Stage.PREPARING
        self._stopping = False
        self._closing = False
        self._steps = 0
        self._seconds = 0.0
        self._labelled_batch = self.config.training.labelled_batch
        self._unlabelled_batch = self.config.training.unlabelled_batch

    @property
    def students(self) -> Students | None:
        """The students adopted last, in evaluation mode; None before training."""
        return None if self._adopted is None else self._adopted.students

    @property
    def holdout(self) -> frozenset[SliceKey]:
        """Slices kept for validation."""
        return self._referee.holdout

    @property
    def trained(self) -> frozenset[SliceKey]:
        """Slices whose labels training has seen."""
        return self._referee.trained

    @property
    def classes(self) -> int:
        """Number of classes, background included."""
        return len(self.cases[0].annotation.classes)

    @property
    def _annotated(self) -> list[SliceKey]:
        annotations = [case.annotation for case in self.cases]
        return [SliceKey(number, index) for number, own in enumerate(annotations) for index in own.annotated]

    def submit(self, message: Message) -> None:
        """Leave a message for the session; from any thread, returns at once."""
        self._mailbox.put(message)

    def run(self) -> Iterator[Event]:
        """Train until the budget is used or a `Stop` is read.

        Raises
        ------
        TrainingError
            If a step fails, or does not fit into memory even with one slice of each kind; `students` keeps the last
            good state. No `RuntimeError` ever leaves, since thread workers are known to lose those.
        PredictionError
            If the held-out slices cannot be predicted.
        """
        try:
            with self.threads:
                yield from self._run()
        except (RuntimeError, MemoryError) as exc:
            fault = memory_remedy(self.device) if is_out_of_memory(exc) else f"{exc}."
            raise TrainingError(f"Training failed at step {self._steps + 1}. {fault} Train again.") from exc

    def _run(self) -> Iterator[Event]:
        if self.students is not None:
            raise TrainingError("This session has run already. Make a new one that starts from its model.")
        yield self._enter(Stage.PREPARING)
        yield from self._until_done(self._prepare)
        if not self._stopping:
            yield from self._introduce()
            yield self._enter(Stage.TRAINING)
            yield from self._train()
        stopped = self._stopping
        yield from self._finish()
        yield Finished(self._steps, self._seconds, stopped=stopped)

    def _prepare(self) -> None:
        """Build networks and network planes: too slow for the constructor, which the GUI thread calls."""
        self._learner = Learner(
            self.classes,
            self.windows[0].plane,
            self.plan.config,
            device=self.device,
            seed=self.seed,
            interruption=self._interruption,
            sam_weights=self._sam_weights,
            start_from=self.plan.earlier,
        )
        self._slices = self._training_slices(self.windows)
        self._choose_holdout()
        adopted = AdoptedStudents(
            self._learner,
            self._referee,
            self.cases,
            self._slices,
            config=self.config,
            device=self.device,
            interruption=self._interruption,
        )
        if self.plan.earlier is not None:
            adopted.start_from_here(self.cases, self._annotated if self._is_new_ground else ())
        self._adopted = adopted
        if self._watched is not None:
            self._watch(self._watched)

    def _train(self) -> Iterator[Event]:
        validated_at = 0.0
        yield from self._obey()
        yield from self._show_propagated()
        yield from self._refresh(0.0)
        while (progress := self._progress()) < 1.0:
            yield from self._obey()
            if self._stopping:
                break
            yield from self._take_in()
            yield from self._show_propagated()
            if self._stopping:
                break
            if self._is_new_ground and len(self._annotated) < self.config.training.adaptation_minimum:
                yield Notice(self._too_few)
                if self._watched is None:
                    break
                yield from self._wait_to_be_resumed()
                continue
            if not self._slices.labelled_keys:
                raise TrainingError("No annotated slice is left to learn from. Paint one, then train again.")
            started = self._seconds
            losses = yield from self._step(progress)
            if losses is None:
                continue
            progress = self._progress()
            yield StepDone(self._steps, progress, self._seconds, losses)
            due = self._is_first_seen() or progress >= validated_at + self._validation_interval()
            if due and progress < 1.0 and (validated := self._validate()) is not None:
                validated_at = progress
                yield validated
            yield from self._refresh(self._seconds - started)
        if self._steps:
            while (validated := self._validate()) is None:
                yield from self._obey()
            yield validated

    @property
    def _too_few(self) -> str:
        return (
            f"{len(self._annotated)} annotated slices are too few for a model of other volumes, which would forget "
            "more than it learns, so that it stays as it is. "
            f"Annotate at least {self.config.training.adaptation_minimum} to let it learn."
        )

    def _wait_to_be_resumed(self) -> Iterator[Event]:
        """Show what is known and pause; who resumes insists that it learns from the little there is."""
        yield from self._refresh_all()
        yield StageChanged(Stage.PAUSED)
        yield from self._obey(paused=True)
        self._is_new_ground = False

    def _finish(self) -> Iterator[Event]:
        """Bring all predictions up to date for whoever watches."""
        if self._adopted is None or not self._adopted.have_learnt:
            return
        yield from self._take_in()
        if self._adopted.live.outdated and not self._closing:
            yield self._enter(Stage.REFRESHING)
        yield from self._refresh_all()

    def _refresh_all(self) -> Iterator[Event]:
        """Predict every outdated slice of whoever watches, unless they want it ended."""
        assert self._adopted is not None
        live = self._adopted.live
        while live.outdated and not self._closing:
            yield live.some()
            yield from self._obey()
            yield from self._take_in()

    def model(self) -> TrainedModel:
        """Return what was learnt so far, as it can be saved and applied to other volumes.

        Raises
        ------
        TrainingError
            If training has not begun.
        """
        if self.students is None:
            raise TrainingError("There is no model yet. Train first.")
        return TrainedModel(
            students=copy.deepcopy(self.students).cpu().eval(),
            teacher=self._learner.teacher_state(),
            teacher_origin=self.plan.teacher,
            config=self.config,
            plan=self.plan.to_dict(),
            classes=self.cases[0].annotation.classes,
            axis=self.cases[0].annotation.axis,
            pixel_mm=self.pixel_mm,
            steps=self._steps,
        )

    def predictor(self, case: int = 0) -> Predictor:
        """Return the predictor of one volume; it always predicts with the students adopted last.

        Ask it between two events, in the thread that runs the session: adopting renews the students in place.

        Raises
        ------
        TrainingError
            If training has not begun.
        """
        if self._adopted is None:
            raise TrainingError("There is nothing to predict with yet. Train first.")
        return self._adopted.predictors[case]

    def _progress(self) -> float:
        return self.budget.progress(steps=self._steps, seconds=self._seconds)

    def _introduce(self) -> Iterator[Event]:
        yield Planned(self.plan)
        for reason in self.plan.reasons:
            yield Notice(reason)
        if self._learner.teacher is not None:
            yield Notice(str(self._learner.teacher.provenance))
        labelled, held_out = len(self._slices.labelled_keys), len(self.holdout)
        yield Notice(
            f"Training on {labelled} annotated slices"
            + (f", validating on {held_out} more." if held_out else "; too few to keep any for validation.")
        )

    def _step(self, progress: float) -> Generator[Event, None, StepLosses | None]:
        """Take one step, with ever smaller batches if memory runs out; return its losses, None if it was broken off."""
        while True:
            unlabelled = self._unlabelled_batch if self._learner.uses_unlabelled else 0
            try:
                with self._work():
                    batch = self._slices.batch(self._labelled_batch, unlabelled)
                    losses = self._learner.step(batch, self._steps, progress)
            except Interrupted:
                return None
            except (RuntimeError, MemoryError) as exc:
                if not is_out_of_memory(exc) or self._labelled_batch == self._unlabelled_batch == 1:
                    raise
            else:
                self._steps += 1
                return losses
            self._learner.forget_step()
            self._labelled_batch = max(self._labelled_batch // 2, 1)
            self._unlabelled_batch = max(self._unlabelled_batch // 2, 1)
            yield Notice(
                f"Memory ran out; going on with {self._labelled_batch} annotated and {self._unlabelled_batch} "
                "unlabelled slices a step."
            )

    def _until_done(self, work: Callable[[], None]) -> Iterator[Event]:
        """Get ready, on no budget, anew after each pause that breaks it off, unless it is to be stopped."""
        while not self._stopping:
            try:
                work()
            except Interrupted:
                yield from self._obey()
            else:
                return

    def _refresh(self, seconds: float) -> Iterator[Event]:
        """Send predictions to whoever watches, after training for some time."""
        if self._can_show:
            assert self._adopted is not None
            for ready in self._adopted.live.beside(seconds):
                yield ready
                yield from self._obey()
                if self._stopping:
                    break

    def _preview(self, message: SliceAnnotated) -> Iterator[Event]:
        """Show while training stands still what a correction changes beside it; `_take_in` comes later."""
        waits_for_classes = any(isinstance(other, ClassesChanged) for other in self._received)
        is_known = 0 <= message.case < len(self.cases)
        if self._adopted is None or not self._can_show or waits_for_classes or not is_known:
            return
        try:
            self.cases[message.case].annotation.with_slice(message.label_slice)
        except InputError:
            return
        changed = self._slices.annotate(message.case, message.label_slice)
        self._adopted.live.outdate_slices(message.case, changed)
        while self._adopted.live.has_urgent and self._mailbox.is_empty:
            yield self._adopted.live.some()

    def _show_propagated(self) -> Iterator[Event]:
        """Send slices that other labels are propagated to at once: it takes no training to know better."""
        while self._can_show and self._adopted is not None and self._adopted.live.has_urgent and not self._stopping:
            yield self._adopted.live.some()
            yield from self._obey()

    @property
    def _can_show(self) -> bool:
        return (
            self._adopted is not None
            and self._watched is not None
            and self._watched.case < len(self.cases)
            and self._adopted.can_predict(self._watched.case)
        )

    def _obey(self, *, paused: bool = False) -> Iterator[Event]:
        """Read all messages: pause, stop and turn to another slice at once, keep the others for `_take_in`."""
        self._mailbox.heed()
        while paused or not self._mailbox.is_empty:
            match message := self._mailbox.get():
                case Stop():
                    self._closing = self._stopping or self._stage is Stage.REFRESHING or not message.refresh
                    self._stopping = True
                    return
                case Pause():
                    if not paused:
                        yield StageChanged(Stage.PAUSED)
                    paused = True
                    yield from self._show_watched()
                case Resume():
                    if paused:
                        yield StageChanged(self._stage)
                    paused = False
                case Watch():
                    self._watch(message)
                    if paused:
                        yield from self._show_watched()
                case _:
                    self._received.append(message)
                    if paused and isinstance(message, SliceAnnotated):
                        yield from self._preview(message)

    def _enter(self, stage: Stage) -> StageChanged:
        self._stage = stage
        return StageChanged(stage)

    def _show_watched(self) -> Iterator[Event]:
        if self._can_show and self._adopted is not None and self._adopted.live.watched_is_outdated:
            yield self._adopted.live.some()

    def _watch(self, message: Watch) -> None:
        self._watched = message
        if self._adopted is not None and 0 <= message.case < len(self.cases):
            self._adopted.live.watch(message.case, message.index)

    def _take_in(self) -> Iterator[Event]:
        """Let training know of all that was painted and of all changes of the classes."""
        if not self._received:
            return
        received, self._received = self._received, []
        for message in received:
            try:
                if isinstance(message, ClassesChanged):
                    self._change_classes(message.classes)
                else:
                    yield from self._annotate(message)
            except InputError as error:
                # One unusable slice is no reason to lose the training.
                yield Notice(str(error))
        self._choose_holdout()

    def _change_classes(self, classes: tuple[LabelClass, ...]) -> None:
        """Let the networks go on with other classes: known ones keep what was learnt of them."""
        assert self._adopted is not None
        before = self.cases[0].annotation.classes
        sources = class_sources([c.value for c in before], [c.value for c in classes])
        self.cases = [replace(case, annotation=case.annotation.with_classes(classes)) for case in self.cases]
        if sources == list(range(len(before))):
            self._adopted.live.rename(classes)
            return
        self._learner.change_classes(sources)
        self._slices.relabel(self.cases)
        self._adopted.change_classes(self.cases, self._slices, sources)

    def _annotate(self, message: SliceAnnotated) -> Iterator[Event]:
        if not 0 <= message.case < len(self.cases):
            raise InputError(
                f"Volume {message.case} was annotated, but there are {len(self.cases)}. Count them from 0."
            )
        case, label_slice = self.cases[message.case], message.label_slice
        self.cases[message.case] = replace(case, annotation=case.annotation.with_slice(label_slice))
        changed = self._slices.annotate(message.case, label_slice)
        if self._adopted is not None:
            self._adopted.live.outdate_slices(message.case, changed)
        self._referee.note_origin(SliceKey(message.case, label_slice.index), by_hand=message.by_hand)
        painted = (label_slice.labels != BACKGROUND) & (label_slice.labels != IGNORE)
        if self.windows[message.case].leaves_out(painted):
            yield Notice(
                f"Slice {label_slice.index} is painted beyond the region that was trained on; the region grows."
            )
            yield from self._until_done(self._widen)

    def _widen(self) -> None:
        """Train on the region round all that is painted by now; the networks keep what they have learnt."""
        assert self._adopted is not None
        _, finest_mm = common_windows(self.cases, self.config)
        # Never finer than so far, what was learnt at one pixel size is of little use at another.
        windows, pixel_mm = common_windows(self.cases, self.config, max(finest_mm, self.pixel_mm))
        self._slices = self._training_slices(windows)
        self.windows, self.pixel_mm = windows, pixel_mm
        self._learner.change_plane(windows[0].plane)
        self._adopted.change_planes(self.cases, self._slices)

    def _choose_holdout(self) -> None:
        """Renew the hold-out and the streams of slices."""
        self._referee.choose(self.cases)
        self._slices.restart_streams(self.holdout)
        self._referee.note_trained(self._slices.labelled_keys)

    def _is_first_seen(self) -> bool:
        """Tell whether somebody waits for the very first prediction."""
        return self._watched is not None and self._adopted is not None and not self._adopted.have_learnt

    def _validation_interval(self) -> float:
        """Return the progress from one validation to the next."""
        interval = 1 / self.config.training.validations
        if self.budget.seconds is None:
            return interval
        return min(interval, self.config.training.validate_every_s / self.budget.seconds)

    def _validate(self) -> Validated | None:
        """Let the referee judge the learning students; None if that was broken off."""
        assert self._adopted is not None
        try:
            with self._work():
                return self._adopted.judge(self.cases, self._steps)
        except Interrupted:
            return None

    @contextmanager
    def _work(self) -> Iterator[None]:
        """Count the time spent inside; getting ready, pauses and whoever consumes the events are not counted."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._seconds += time.monotonic() - started

    def _training_slices(self, windows: Sequence[Window]) -> TrainingSlices:
        return TrainingSlices(
            self.cases,
            windows,
            self.config,
            device=self.device,
            seed=self.seed,
            interruption=self._interruption,
        )
