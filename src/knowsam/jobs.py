"""Whole jobs on volumes in memory: segment one volume, train a model, apply it to another volume.

The command line and Python programs call the same functions; files are read and written elsewhere (`knowsam.io`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from knowsam.config import Config, PredictionConfig
from knowsam.data.annotation import BACKGROUND, IGNORE, Annotation, LabelArray, label_values
from knowsam.data.case import Case, require_same_kind
from knowsam.data.volume import require_grey_values
from knowsam.errors import TrainingError
from knowsam.inference.cpu_threads import CpuThreads
from knowsam.inference.device import faults_in_words
from knowsam.inference.postprocess import fill_holes, keep_largest_component
from knowsam.models.teachers import choose_teacher
from knowsam.training.application import applied_model
from knowsam.training.device_check import working_device
from knowsam.training.display import Display
from knowsam.training.events import Event, Finished
from knowsam.training.interruption import Interruption
from knowsam.training.network_volumes import NetworkVolumes, common_windows
from knowsam.training.session import TrainingSession

if TYPE_CHECKING:
    import torch

    from knowsam.data.proposed_mask import ProposedMask
    from knowsam.data.volume import Volume
    from knowsam.data.window import Window
    from knowsam.inference.predictor import VolumePrediction
    from knowsam.models.teachers import Teacher
    from knowsam.training.dice_estimate import DiceEstimate
    from knowsam.training.processes import Processes
    from knowsam.training.schedule import Budget
    from knowsam.training.trained_model import TrainedModel

logger = logging.getLogger(__name__)

Listener = Callable[[TrainingSession, Event], None]
"""Called with every event of a training session, and with the session, to which it may send messages."""


@dataclass
class PhaseTimer:
    """Seconds spent in each named phase of a job."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time spent inside to the phase `name`."""
        started = monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + monotonic() - started


@dataclass(frozen=True)
class Segmentation:
    """Result of `segment`.

    Parameters
    ----------
    labels : (Z, Y, X), the label values that files hold, in the working orientation.
    prediction : class indices as predicted, before clean-up, with both uncertainties.
    model : the trained model; None without training.
    estimate : of the Dice between annotated slices; None if too few of them lie between others.
    """

    labels: np.ndarray
    prediction: VolumePrediction
    model: TrainedModel | None
    estimate: DiceEstimate | None


def checked_device(name: str) -> torch.device:
    """Return the device that a name stands for, and log why it is not the one that ``auto`` prefers.

    Raises
    ------
    ConfigError
        If the device is missing or cannot train.
    """
    device, notice = working_device(name)
    if notice:
        logger.warning(notice)
    return device


def segment(
    volume: Volume,
    annotation: Annotation,
    *,
    budget: Budget,
    config: Config | None = None,
    teacher: Teacher | None = None,
    device: str = "auto",
    seed: int = 0,
    start_from: TrainedModel | None = None,
    proposal: ProposedMask | None = None,
    listener: Listener | None = None,
    timer: PhaseTimer | None = None,
) -> Segmentation:
    """Train on the annotated slices of a volume and segment all of it.

    Parameters
    ----------
    budget : of zero trains nothing: the labels are propagated, and refined by the pretrained propagator.
    config, teacher, start_from : as for `train`.
    proposal : what other volumes propose for this one, see `knowsam.atlas`; it counts beside propagated labels.

    Raises
    ------
    KnowSAMError
        If the input is unusable or training fails.
    """
    timer = timer or PhaseTimer()
    chosen = config or (Config() if start_from is None else start_from.config_elsewhere)
    if not chosen.prediction.beyond_ends:
        annotation = annotation.with_painted_ends()
    case = Case(volume, annotation, proposal)
    if budget.is_zero and start_from is None:
        return _propagated(case, chosen, device, timer)
    session = train(
        [case],
        budget=budget,
        config=chosen,
        teacher=teacher,
        device=device,
        seed=seed,
        start_from=start_from,
        listener=listener,
        timer=timer,
    )
    with timer.phase("prediction"), session.threads:
        prediction = session.predictor().volume()
        session.trainer.display.measure(0)
    with timer.phase("clean-up"):
        indices = _finished(prediction.labels, session.cases[0], session.trainer.windows[0], session.config.prediction)
    estimate = session.trainer.display.shown(0).estimate
    return Segmentation(label_values(indices, annotation.classes), prediction, session.model(), estimate)


def _propagated(case: Case, config: Config, device: str, timer: PhaseTimer) -> Segmentation:
    """Segment a volume by what is propagated from its annotated slices."""
    require_grey_values(case.volume)
    require_same_kind([case])
    target, threads = checked_device(device), CpuThreads()
    with timer.phase("propagation"), threads, faults_in_words(target):
        windows, _ = common_windows([case], config)
        adapting = Interruption(threads.adapt)
        volumes = NetworkVolumes([case], windows, config, device=target, interruption=adapting)
        display = Display(volumes, config, [case])
        if not display.can_predict(0):
            if display.unseen(0).all():
                raise TrainingError(
                    "All slices are painted, so that none is left to segment. If some of them are not, name those that "
                    "are with --annotated-slices."
                )
            raise TrainingError(
                "Without training, at least two slices are needed that are painted completely, or scribbled with both "
                "structures and background. Paint another slice, or give a budget above 0 to train."
            )
        prediction = display.predictor(0).volume()
        display.measure(0)
    with timer.phase("clean-up"):
        indices = _finished(prediction.labels, case, windows[0], config.prediction)
    return Segmentation(label_values(indices, case.annotation.classes), prediction, None, display.shown(0).estimate)


def _finished(indices: LabelArray, case: Case, window: Window, config: PredictionConfig) -> LabelArray:
    """Return class indices (Z, Y, X) as they are written: cleaned up, with what was painted."""
    indices = clean_up(indices, config)
    found = np.moveaxis(indices, case.annotation.axis, 0) != BACKGROUND
    if window.is_touched(found):
        logger.warning(
            "The mask reaches the edge of the region round what was painted, where prediction ends. "
            "Paint a slice in which the structure reaches further, or widen the region with --margin."
        )
    return with_annotations(indices, case.annotation) if config.keep_annotations else indices


def train(
    cases: Sequence[Case],
    *,
    budget: Budget,
    config: Config | None = None,
    teacher: Teacher | None = None,
    device: str = "auto",
    seed: int = 0,
    start_from: TrainedModel | None = None,
    listener: Listener | None = None,
    timer: PhaseTimer | None = None,
    processes: Processes | None = None,
) -> TrainingSession:
    """Train on all cases until the budget is used; return the session, which holds the model.

    Parameters
    ----------
    config : by default that of the model to start from, or the usual one.
    teacher : by default the configured one, with its pretrained weights.
    start_from : a model of other volumes to go on from, with the same classes, axis and networks; where few slices are
        annotated it stays as it is, see `knowsam.config.TrainingConfig`.
    processes : that train one model together, see `knowsam.training.data_parallel.in_processes`; each one calls this
        with the same arguments, but for its own device and listener.

    Raises
    ------
    KnowSAMError
        If the input is unusable or training fails.
    """
    config = config or (Config() if start_from is None else start_from.config_elsewhere)
    for case in cases:
        require_grey_values(case.volume)
    teacher = teacher or choose_teacher(config.teacher.variant)
    session = TrainingSession(
        cases,
        budget=budget,
        config=config.with_values(variant=teacher.variant),
        seed=seed,
        device=device,
        sam_weights=teacher.weights,
        start_from=start_from,
        processes=processes,
    )
    with (timer or PhaseTimer()).phase("training"):
        for event in session.run():
            logger.debug("%s", event)
            if listener is not None:
                listener(session, event)
            if isinstance(event, Finished) and event.steps == 0 and start_from is None:
                raise TrainingError("Training ended before its first step, so nothing was learnt. Train for longer.")
    return session


def predict(
    model: TrainedModel, volume: Volume, *, device: str = "auto", check: Callable[[], None] = lambda: None
) -> tuple[np.ndarray, VolumePrediction]:
    """Apply a trained model to a volume; return the label values that files hold, and the prediction behind them.

    Parameters
    ----------
    check : called regularly; an exception it raises stops the work.

    Raises
    ------
    InputError
        If the volume is a CT and the model has learnt from images that are none, or the other way round, or it holds
        voxels that are no numbers.
    PredictionError
        If the memory runs out, or the device fails.
    """
    require_grey_values(volume)
    if difference := model.difference(volume):
        logger.warning("%s", difference)
    target, threads = checked_device(device), CpuThreads()
    case = Case(volume, Annotation(volume.shape, model.axis, model.classes))

    def meanwhile() -> None:
        threads.adapt()
        check()

    with threads, faults_in_words(target):
        interruption = Interruption(meanwhile)
        display = applied_model(model, case, device=target, interruption=interruption)
        if display.students is not None:
            interruption.watch(display.students)
        prediction = display.predictor(0).volume()
    indices = clean_up(prediction.labels, model.config.prediction)
    return label_values(indices, model.classes), prediction


def clean_up(indices: LabelArray, config: PredictionConfig) -> LabelArray:
    """Apply the configured clean-up to predicted class indices (Z, Y, X)."""
    foreground = [int(value) for value in np.unique(indices) if value != BACKGROUND]
    if config.largest_component:
        indices = keep_largest_component(indices, foreground)
    if config.fill_holes:
        indices = fill_holes(indices, foreground)
    return indices


def with_annotations(indices: LabelArray, annotation: Annotation) -> LabelArray:
    """Return class indices (Z, Y, X) with every labelled pixel as the person labelled it."""
    result = np.array(indices)
    slices = np.moveaxis(result, annotation.axis, 0)
    for index, label_slice in annotation.slices.items():
        labelled = label_slice.labels != IGNORE
        slices[index][labelled] = label_slice.labels[labelled]
    return result
