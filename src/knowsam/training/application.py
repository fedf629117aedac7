"""A model of other volumes applied to one: its students predict, and what is painted there counts beside them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from knowsam.data.annotation import BACKGROUND
from knowsam.data.sampling import SliceKey
from knowsam.data.window import annotated_box, window_round, with_margin
from knowsam.inference.predictor import Predictor
from knowsam.training.device_check import working_device
from knowsam.training.display import Display
from knowsam.training.events import Applied, Notice, PredictionReady, Stage, StageChanged
from knowsam.training.interruption import Interrupted
from knowsam.training.network_volumes import NetworkVolumes
from knowsam.training.propagation_session import PropagationSession, has_some_to_propagate
from knowsam.training.transfer import student_score, transfer_weight

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from knowsam.data.annotation import LabelSlice
    from knowsam.data.case import Case
    from knowsam.training.events import Event
    from knowsam.training.interruption import Interruption
    from knowsam.training.trained_model import TrainedModel


class ApplicationSession(PropagationSession):
    """Applies a model to one volume, says `Applied`, and then keeps the predictions up to date as its base does.

    Parameters
    ----------
    case : the volume with what is annotated by now, if anything; the model has not learnt from it.
    device : see `working_device`.

    Raises
    ------
    ConfigError
        If the device is not there or does not work.
    InputError
        If the volume is a CT and the model has learnt from images that are none, or the other way round.
    """

    def __init__(self, model: TrainedModel, case: Case, *, device: str = "auto") -> None:
        super().__init__(case, model.config)
        self._model = model
        self._found = np.zeros(case.annotation.plane_shape, bool)
        self._is_applied = self._is_narrowed = False
        self._target, device_notice = working_device(device)
        self._notices = [one for one in (device_notice, model.weakness, model.difference(case.volume)) if one]

    def _run(self) -> Iterator[Event]:
        yield StageChanged(Stage.APPLYING)
        yield from map(Notice, self._notices)
        outdated = 0
        for event in super()._run():
            if isinstance(event, PredictionReady):
                for one in event.slices:
                    self._found |= one.labels != BACKGROUND
            yield event
            if isinstance(event, PredictionReady) and not self._is_applied:
                outdated = event.outdated
                if not outdated:
                    self._is_applied = True
                    yield Applied(stopped=False, is_empty=not self._found.any())
        if not self._is_applied:
            yield Applied(stopped=True, outdated=outdated)

    def _prepare(self) -> None:
        """Measure after each registration, too, how far the model agrees with what is painted by now."""
        super()._prepare()
        if self.display is not None and self._live is not None:
            with suppress(Interrupted):
                _weigh(self.display, self._interruption)

    def _annotate(self, label_slice: LabelSlice) -> None:
        super()._annotate(label_slice)
        if self._is_applied and not self._is_narrowed and has_some_to_propagate(self._cases[0]):
            self._live = None

    def _network_volumes(self) -> NetworkVolumes:
        """Turn to the region of all that was found or painted: on planes much larger, labels are propagated worse.

        As long as not every slice was predicted, nobody knows where else the model finds something.
        """
        if not self._is_applied:
            return super()._network_volumes()
        (case,) = self._cases
        box = annotated_box(case.annotation, self._found)
        box = with_margin(box, case.annotation.plane_shape, self._config.plane)
        window = window_round(box, self._model.pixel_mm, case.plane_spacing_mm)
        self._is_narrowed = True
        return NetworkVolumes(self._cases, [window], self._config, device=self._device, interruption=self._interruption)

    def _first_display(self) -> Display:
        display = applied_model(self._model, self._cases[0], device=self._target, interruption=self._interruption)
        self._cases = display.cases
        return display


def applied_model(model: TrainedModel, case: Case, *, device: torch.device, interruption: Interruption) -> Display:
    """Return what a model shows of whole slices of a volume; classes that it does not know are shown nowhere.

    Parameters
    ----------
    interruption : breaks off the preparation.

    Raises
    ------
    Interrupted
        If an interruption was requested.
    """
    # Registration, which takes a while, is of no use before there is something to propagate.
    config = model.config if has_some_to_propagate(case) else model.config.with_values(shape_prior=False)
    volumes = NetworkVolumes([case], [model.window_for(case.volume)], config, device=device, interruption=interruption)
    students = model.students_for(case.annotation.classes).to(device)
    display = Display(volumes, model.config, [case], students)
    display.show_students(transfer_weight(None), None)
    return display


def _weigh(display: Display, interruption: Interruption) -> None:
    """Weigh the students by how well they agree with what was painted, without what is propagated."""
    (case,) = display.cases
    painted = [SliceKey(0, index) for index, one in case.annotation.slices.items() if one.is_reference]
    unaided = Predictor(display.volumes.slices[0], display.config, len(display.classes), display.students)
    propagations = display.volumes.propagations
    score = student_score([unaided], display.cases, painted, propagations, interruption)
    if score is not None:
        display.show_students(transfer_weight(score), score.dice)
