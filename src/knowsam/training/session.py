"""A training session: a generator of events with a mailbox, to be run in any thread or process."""

from __future__ import annotations

import copy
import logging
import math
import queue
import time
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from knowsam.config import Config
from knowsam.data.annotation import BACKGROUND, IGNORE
from knowsam.data.holdout import choose_holdout
from knowsam.data.sampling import SliceKey
from knowsam.errors import InputError, TrainingError
from knowsam.inference.device import is_out_of_memory, resolve_device
from knowsam.inference.predictor import Predictor
from knowsam.training.events import (
    Event,
    Finished,
    Message,
    Notice,
    Pause,
    Paused,
    Resume,
    SliceAnnotated,
    StepDone,
    Stop,
    Validated,
)
from knowsam.training.learner import Learner
from knowsam.training.slices import TrainingSlices, common_windows
from knowsam.training.trained_model import TrainedModel
from knowsam.training.validation import holdout_dice

if TYPE_CHECKING:
    from torch import Tensor

    from knowsam.data.annotation import Annotation
    from knowsam.data.case import Case
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

    Attributes
    ----------
    holdout : slices kept for validation.
    trained : slices whose labels training has seen.
    students : the adopted students, in evaluation mode; None before training.

    Raises
    ------
    InputError
        If nothing is annotated, or the cases, or the model to start from, do not belong together.
    ConfigError
        If the device is not there.
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
    ) -> None:
        _check_together(cases)
        if start_from is not None:
            _check_continuable(start_from, cases[0].annotation, config or start_from.config)
        self.cases = list(cases)
        self.config = config or (Config() if start_from is None else start_from.config)
        self.budget = budget
        self.seed = seed
        self.device = resolve_device(device)
        self.windows, self.pixel_mm = common_windows(
            cases, self.config, start_from.pixel_mm if start_from is not None else None
        )
        self.holdout = frozenset(holdout)
        self.trained = frozenset(trained)
        self.students: Students | None = None
        self._sam_weights = sam_weights
        self._start_from = start_from
        self._mailbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._stopping = False
        self._best_dice: float | None = None
        self._steps = 0
        self._seconds = 0.0
        self._labelled_batch = self.config.training.labelled_batch
        self._unlabelled_batch = self.config.training.unlabelled_batch

    @property
    def classes(self) -> int:
        """Number of classes, background included."""
        return len(self.cases[0].annotation.classes)

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
            yield from self._run()
        except (RuntimeError, MemoryError) as exc:
            raise TrainingError(
                f"Training failed at step {self._steps + 1}: {exc}. "
                "Train again, with a smaller batch or plane if memory was short."
            ) from exc

    def _run(self) -> Iterator[Event]:
        with self._work():
            self._prepare()
        yield from self._introduce()
        yield from self._train()
        yield Finished(self._steps, self._seconds, stopped=self._stopping)

    def _prepare(self) -> None:
        """Build networks and network planes: too slow for the constructor, which the GUI thread calls."""
        if self.students is not None:
            raise TrainingError("This session has run already. Make a new one that starts from its model.")
        self._learner = Learner(
            self.classes,
            self.windows[0].plane,
            self.config,
            device=self.device,
            seed=self.seed,
            sam_weights=self._sam_weights,
            start_from=self._start_from,
        )
        self._slices = TrainingSlices(self.cases, self.windows, self.config, device=self.device, seed=self.seed)
        self.students = copy.deepcopy(self._learner.averaged)
        self._predictors = self._predictors_of(self.students)
        self._candidates = self._predictors_of(self._learner.averaged)
        self._choose_holdout()
        if self._start_from is not None:
            # What is not better than the model it started from is no progress.
            self._best_dice = holdout_dice(self._predictors, self.cases, self.holdout)

    def _train(self) -> Iterator[Event]:
        validated_at = 0.0
        progress = self._progress()
        while progress < 1.0:
            yield from self._read_mailbox()
            if self._stopping:
                break
            if not self._slices.labelled_keys:
                raise TrainingError("No annotated slice is left to learn from. Paint one, then train again.")
            losses = yield from self._step(progress)
            progress = self._progress()
            yield StepDone(self._steps, progress, self._seconds, losses)
            if progress >= validated_at + 1 / self.config.training.validations and progress < 1.0:
                validated_at = progress
                yield self._validate()
        if self._steps:
            yield self._validate()

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
            config=self.config,
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
        if self.students is None:
            raise TrainingError("There is nothing to predict with yet. Train first.")
        return self._predictors[case]

    def _progress(self) -> float:
        return self.budget.progress(steps=self._steps, seconds=self._seconds)

    def _introduce(self) -> Iterator[Event]:
        teacher = self._learner.teacher
        yield Notice("No teacher: the students learn alone." if teacher is None else str(teacher.provenance))
        labelled, held_out = len(self._slices.labelled_keys), len(self.holdout)
        yield Notice(
            f"Training on {labelled} annotated slices"
            + (f", validating on {held_out} more." if held_out else "; too few to keep any for validation.")
        )

    def _step(self, progress: float) -> Generator[Event, None, StepLosses]:
        """Take one step, with ever smaller batches if memory runs out; return its losses."""
        while True:
            unlabelled = self._unlabelled_batch if self._learner.uses_unlabelled else 0
            try:
                with self._work():
                    batch = self._slices.batch(self._labelled_batch, unlabelled)
                    losses = self._learner.step(batch, self._steps, progress)
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

    def _read_mailbox(self) -> Iterator[Event]:
        """Act on all messages; while paused, wait for the next one."""
        paused = relabelled = False
        while paused or not self._mailbox.empty():
            message = self._mailbox.get()
            if isinstance(message, Stop):
                self._stopping = True
                break
            if isinstance(message, Pause) and not paused:
                paused = True
                yield Paused()
            elif isinstance(message, Resume):
                paused = False
            elif isinstance(message, SliceAnnotated):
                try:
                    yield from self._annotate(message)
                    relabelled = True
                except InputError as error:
                    # One unusable slice is no reason to lose the training.
                    yield Notice(str(error))
        if relabelled:
            self._choose_holdout()

    def _annotate(self, message: SliceAnnotated) -> Iterator[Event]:
        if not 0 <= message.case < len(self.cases):
            raise InputError(
                f"Volume {message.case} was annotated, but there are {len(self.cases)}. Count them from 0."
            )
        case, label_slice = self.cases[message.case], message.label_slice
        self.cases[message.case] = replace(case, annotation=case.annotation.with_slice(label_slice))
        self._slices.annotate(message.case, label_slice)
        if SliceKey(message.case, label_slice.index) in self.holdout:
            # A score against the old labels says nothing of the new ones.
            self._best_dice = None
        painted = (label_slice.labels != BACKGROUND) & (label_slice.labels != IGNORE)
        if self.windows[message.case].leaves_out(painted):
            yield Notice(
                f"Slice {label_slice.index} is painted beyond the region that is trained on. "
                "Start the training again to take that part in."
            )

    def _choose_holdout(self) -> None:
        """Renew the hold-out, in which no slice ever changes sides, and the streams of slices."""
        training = self.config.training
        holdout: set[SliceKey] = set()
        for number, case in enumerate(self.cases):
            chosen = choose_holdout(
                case.annotation,
                every=training.holdout_every,
                minimum=training.holdout_minimum,
                kept=[key.slice_index for key in self.holdout if key.case == number],
                trained=[key.slice_index for key in self.trained if key.case == number],
            )
            holdout.update(SliceKey(number, index) for index in chosen)
        if holdout != self.holdout:
            # A score on other slices says nothing of this one.
            self._best_dice = None
        self.holdout = frozenset(holdout)
        self._slices.restart_streams(self.holdout)
        self.trained |= set(self._slices.labelled_keys)

    def _validate(self) -> Validated:
        """Measure the learning students on the held-out slices and adopt them if they are not worse."""
        assert self.students is not None
        with self._work():
            dice = holdout_dice(self._candidates, self.cases, self.holdout)
        worse = dice is not None and self._best_dice is not None and dice < self._best_dice - self._holdout_noise()
        if not worse:
            self.students.load_state_dict(self._learner.averaged.state_dict())
            self._best_dice = dice if dice is None else max(dice, self._best_dice or 0.0)
        return Validated(self._steps, dice, adopted=not worse)

    def _holdout_noise(self) -> float:
        """Return how far the score on so few slices may fall without meaning anything."""
        return self.config.training.holdout_noise / math.sqrt(len(self.holdout))

    @contextmanager
    def _work(self) -> Iterator[None]:
        """Count the time spent inside; pauses and the time of whoever consumes the events are not counted."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._seconds += time.monotonic() - started

    def _predictors_of(self, students: Students) -> list[Predictor]:
        return [
            Predictor(
                students,
                case.volume,
                axis=case.annotation.axis,
                window=window,
                config=self.config,
                device=self.device,
                planes=planes,
            )
            for case, window, planes in zip(self.cases, self.windows, self._slices.planes, strict=True)
        ]


def _check_continuable(model: TrainedModel, annotation: Annotation, config: Config) -> None:
    same = {
        "classes": model.classes == annotation.classes,
        "axis": model.axis == annotation.axis,
        "settings of the students": model.config.students == config.students,
        "neighbouring slices": model.config.plane.neighbours == config.plane.neighbours,
    }
    different = [what for what, agrees in same.items() if not agrees]
    if different:
        raise InputError(
            f"The model to start from differs from this training in: {', '.join(different)}. "
            "Start from a model trained alike, or train from scratch."
        )


def _check_together(cases: Sequence[Case]) -> None:
    if not any(case.annotation.slices for case in cases):
        raise InputError("No slice is annotated. Paint at least one slice of the structure, then train.")
    first = cases[0].annotation
    for case in cases:
        if case.annotation.classes != first.classes or case.annotation.axis != first.axis:
            raise InputError(
                "The volumes are annotated with different classes or along different axes. "
                "Give label files with the same classes, painted along the same axis."
            )
