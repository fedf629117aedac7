"""A training session: a generator of events with a mailbox, to be run in any thread or process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from knowsam.config import Config
from knowsam.data.case import require_same_kind
from knowsam.errors import TrainingError
from knowsam.inference.cpu_threads import CpuThreads
from knowsam.inference.device import fault_sentence
from knowsam.training.continuation import Continuation
from knowsam.training.device_check import working_device
from knowsam.training.events import (
    Event,
    Finished,
    Message,
    Notice,
    Planned,
    Stage,
    StepDone,
)
from knowsam.training.intake import Intake
from knowsam.training.interruption import Interruption
from knowsam.training.live_refresh import LiveRefresh
from knowsam.training.mailbox import Mailbox
from knowsam.training.model_selection import ModelSelection
from knowsam.training.plan import make_plan
from knowsam.training.processes import Processes
from knowsam.training.session_control import SessionControl
from knowsam.training.start import introduction
from knowsam.training.timed_training import TimedTraining
from knowsam.training.trained_model import TrainedModel
from knowsam.training.trainer import Trainer
from knowsam.training.transfer import Transfer

if TYPE_CHECKING:
    from torch import Tensor

    from knowsam.data.case import Case
    from knowsam.inference.predictor import Predictor
    from knowsam.models.students import Students
    from knowsam.training.display import Display
    from knowsam.training.schedule import Budget


_FEWEST_STEPS = 10
"""Of new students, before they are shown where no labels are propagated."""


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
    start_from : a model of other volumes to start from.
    last : what an earlier session of these volumes left; training goes on where that ended, if the settings allow. In
        any case no slice changes sides between validation and training.
    processes : that train together, see `knowsam.training.data_parallel`; each one runs such a session of the same
        cases, and only the first one is sent messages. By default there is but this one.

    Attributes
    ----------
    plan : what will run, and why.
    trainer : what learns.
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
        last: Continuation | None = None,
        processes: Processes | None = None,
    ) -> None:
        processes = processes or Processes()
        require_same_kind(cases)
        self._differences: list[str] = []
        if start_from is not None:
            start_from.require_continuable(cases[0].annotation, config or start_from.config_elsewhere)
            self._differences = [one for case in cases if (one := start_from.difference(case.volume))]
        self.config = config or (Config() if start_from is None else start_from.config_elsewhere)
        self.budget = budget
        self.device, device_notice = working_device(device)
        self.plan = make_plan(
            self.config,
            budget,
            self.device,
            sam_weights=sam_weights,
            start_from=start_from,
            last=last,
            device_notice=device_notice,
        )
        self.threads = CpuThreads()
        interruption = Interruption(self.threads.adapt)
        selection = ModelSelection(
            self.config.training,
            interruption,
            holdout=() if last is None else last.holdout,
            trained=() if last is None else last.trained,
        )
        self.trainer = Trainer(
            cases,
            self.plan,
            self.config,
            selection,
            interruption,
            seed=seed,
            sam_weights=sam_weights,
            processes=processes,
        )
        self._mailbox = Mailbox(interruption, processes)
        # Not a method of this session: it would keep itself, and with it the networks on the GPU, alive.
        model = partial(TrainedModel.of, self.trainer)
        self._control = SessionControl(self._mailbox, Intake(self.trainer), model, processes)
        self._transfer = Transfer(is_transfer=self.plan.is_transfer, minimum=self.config.training.adaptation_minimum)
        self._timed = TimedTraining(self.trainer, budget)

    @property
    def cases(self) -> list[Case]:
        """The volumes with all that training has taken in by now."""
        return self.trainer.cases

    @property
    def students(self) -> Students | None:
        """The students that predict, in evaluation mode; None before training."""
        return self.trainer.display.students if self.trainer.is_prepared else None

    @property
    def display(self) -> Display | None:
        """What is shown of the volumes; None before training."""
        return self.trainer.display if self.trainer.is_prepared else None

    def model(self) -> TrainedModel:
        """Return what was learnt so far, see `TrainedModel.of`."""
        return TrainedModel.of(self.trainer)

    def continuation(self) -> Continuation:
        """Return what another session of the same volumes goes on from, see `Continuation.of`."""
        return Continuation.of(self.trainer, self._timed.seconds)

    def predictor(self, case: int = 0) -> Predictor:
        """Return the predictor of one volume as it is now.

        Ask it between two events, in the thread that runs the session: its students are renewed in place.

        Raises
        ------
        TrainingError
            If training has not begun.
        """
        if not self.trainer.is_prepared:
            raise TrainingError("There is nothing to predict with yet. Train first.")
        return self.trainer.display.predictor(case)

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
            fault = fault_sentence(exc, self.device)
            raise TrainingError(f"Training failed at step {self.trainer.steps + 1}. {fault} Train again.") from exc

    def _run(self) -> Iterator[Event]:
        if self.trainer.is_prepared:
            raise TrainingError("This session has run already. Make a new one that starts from its model.")
        control = self._control
        yield control.enter(Stage.PREPARING)
        yield from control.until_done(self.trainer.prepare)
        if not control.is_stopping:
            control.begin_to_show(LiveRefresh(self.trainer.display, share=self.config.training.refresh_share))
            yield from self._introduce()
            yield control.enter(Stage.TRAINING)
            yield from self._train()
        stopped = control.is_stopping
        if self.trainer.is_prepared and self.trainer.display.has_learnt:
            # What was painted since the last step is not learnt from, but it belongs into the mask.
            yield from control.read_messages()
            yield from control.take_in()
        yield Finished(self._timed.steps, self._timed.seconds, stopped=stopped, outdated=control.outdated)

    def _introduce(self) -> Iterator[Event]:
        yield Planned(self.plan)
        for sentence in self.plan.left_out:
            yield Notice(sentence, by_default=True)
        for sentence in (*self.plan.reasons, *self._differences, *introduction(self.trainer)):
            yield Notice(sentence)

    def _train(self) -> Iterator[Event]:
        control, timed = self._control, self._timed
        yield from control.read_messages()
        yield from control.show_propagated()
        yield from control.refresh(0.0)
        while timed.progress < 1.0:
            yield from control.read_messages()
            if control.is_stopping:
                break
            yield from control.take_in()
            yield from control.show_propagated()
            if control.is_stopping:
                break
            if self._transfer.has_too_few(annotated := len(self.trainer.annotated)):
                yield Notice(self._transfer.too_few_sentence(annotated))
                break
            yield from self._step()
        if timed.steps:
            while (validated := timed.validate()) is None:
                yield from control.read_messages()
            yield validated

    def _step(self) -> Iterator[Event]:
        """Take one step, and show what came of it."""
        control, timed, started = self._control, self._timed, self._timed.seconds
        event = timed.step()
        # A step is broken off for what is painted, the one after that is not.
        self._mailbox.labels_interrupt = event is not None
        if event is not None:
            yield event
        if not isinstance(event, StepDone):
            return
        if self._is_due and timed.progress < 1.0 and (validated := timed.validate()) is not None:
            yield validated
        yield from control.refresh(timed.seconds - started)

    @property
    def _is_due(self) -> bool:
        """Whether the students are to be measured, after which they predict: at once, as soon as they know anything."""
        control, steps = self._control, self._timed.steps
        if control.watched is None or self.trainer.display.has_learnt:
            return self._timed.is_time_to_validate
        # Alone, they show noise at first, and whoever paints over that corrects it, and leaves the rest of it as right.
        return steps >= _FEWEST_STEPS or (control.live is not None and control.live.can_show)
