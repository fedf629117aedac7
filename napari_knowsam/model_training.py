"""One model of all finished volumes, trained beside the window and kept under a name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from knowsam.data.case import Case
from knowsam.data.painted_slices import painted_by_default
from knowsam.errors import InputError, KnowSAMError, OutputError
from knowsam.io.on_disk import kept_on_disk
from knowsam.training.events import Finished, StepDone, Stop
from napari_knowsam.finished_volumes import FinishedVolumes
from napari_knowsam.model_keeping import suggested_target
from napari_knowsam.panels.model_dialogs import ask_model_to_train
from napari_knowsam.status_messages import BUSY
from napari_knowsam.training_case import training_settings
from napari_knowsam.training_worker import leave_a_core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from knowsam.atlas.proposal import Atlas
    from knowsam.cross_validation import LeftOut
    from knowsam.data.annotation import LabelClass
    from knowsam.training.events import Event
    from knowsam.training.session import TrainingSession
    from knowsam.training.trained_model import TrainedModel
    from napari_knowsam.background import Background
    from napari_knowsam.finished_volumes import Read
    from napari_knowsam.layer_choice import LayerChoice
    from napari_knowsam.panels.model_dialogs import ModelTarget
    from napari_knowsam.panels.result_panel import ResultPanel
    from napari_knowsam.panels.train_panel import TrainPanel
    from napari_knowsam.project_cases import ProjectCases
    from napari_knowsam.sessions import TrainingSettings
    from napari_knowsam.training_controller import TrainingController

_FEWEST = 2


class ModelTraining(QObject):
    """Asks for a name, and trains a model of all finished volumes while a person goes on working."""

    def __init__(
        self,
        layers: LayerChoice,
        controller: TrainingController,
        train: TrainPanel,
        result: ResultPanel,
        cases: ProjectCases,
        background: Background,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._layers, self._controller, self._background = layers, controller, background
        self._train, self._result, self._cases = train, result, cases
        result.train_model_requested.connect(self._on_requested)

    def _on_requested(self) -> None:
        if self._controller.is_busy or self._background.is_busy:
            self._result.set_message(BUSY)
            return
        try:
            self._begin()
        except KnowSAMError as error:
            self._result.set_message(str(error))

    def _begin(self) -> None:
        document = self._layers.require_sync(" to train on").document
        finished = FinishedVolumes(self._layers, self._cases)
        if len(finished) < _FEWEST:
            raise InputError(
                f"A model of several volumes needs {_FEWEST} finished ones, open or done in a project, but there "
                f"{'is one' if len(finished) else 'is none'}. A volume is finished when all slices from the first to "
                "the last of its structures are painted, corrected or accepted (Accept, All)."
            )
        classes, settings = finished.classes, training_settings(self._train, None)
        question = f"Also measure how good it is in other volumes, which takes {len(finished)} more trainings"
        chosen = ask_model_to_train(self._result, suggested_target(classes), question)
        if chosen is not None:
            target, is_checked = chosen
            reader = finished.reader(classes)
            work = FinishedTraining(reader, document.axis, classes, settings, target, is_checked=is_checked)
            self._background.begin(work)


class FinishedTraining:
    """The work of a thread: reads volumes, trains a model of them, keeps it, and measures it where that is wanted.

    Parameters
    ----------
    read : what reads the volumes.
    axis : working axis along which slices are learnt from.
    classes : background first.
    is_checked : whether the model is to be measured in other volumes.

    Attributes
    ----------
    title, progress : see `napari_knowsam.background.Work`.
    """

    def __init__(
        self,
        read: Callable[[], Read],
        axis: int,
        classes: tuple[LabelClass, ...],
        settings: TrainingSettings,
        target: ModelTarget,
        *,
        is_checked: bool,
    ) -> None:
        self.title = "Training a model of finished volumes"
        self.progress = ("Reading the volumes", 0.0)
        self._read, self._axis, self._classes = read, axis, classes
        self._settings, self._target, self._is_checked = settings, target, is_checked
        self._stopping = Flag()
        self._session: TrainingSession | None = None
        self._trainings, self._trained = 1, 0

    def stop(self) -> None:
        """End what goes on, from any thread; a model that has learnt something is kept."""
        self._stopping.set()
        if self._session is not None:
            self._session.submit(Stop())

    def run(self) -> Iterator[str]:
        """Do the work, and say what came of it.

        Raises
        ------
        KnowSAMError
            If the volumes cannot be learnt from, or the model can be saved nowhere.
        """
        leave_a_core()
        atlases, problems = self._read()
        cases = [self._case(atlas) for atlas in atlases]
        self._trainings = 1 + len(cases) * self._is_checked
        model = replace(self._train(cases).model(), about=self._target.about)
        path = _saved(model, self._target.path)
        done = f"Trained {path.stem} on {len(cases)} finished volumes. Model > Kept models opens it."
        yield " ".join([done, model.weakness, *problems])
        if self._is_checked and (found := self._left_out(cases)):
            yield f"{done} {self._add_score(model, path, found)}"

    def _case(self, atlas: Atlas) -> Case:
        painted = painted_by_default(atlas.labels, self._axis)
        return Case(kept_on_disk(atlas.image), painted.annotation(self._classes))

    def _train(self, cases: Sequence[Case]) -> TrainingSession:
        from knowsam import jobs

        settings = self._settings
        # The model is made for other volumes, of which it will see whole slices.
        return jobs.train(
            cases,
            budget=settings.budget,
            config=settings.config.with_values(whole_slices=True),
            teacher=jobs.choose_teacher(settings.teacher),
            device=settings.device,
            listener=self._listen,
        )

    def _listen(self, session: TrainingSession, event: Event) -> None:
        self._session = session
        if self._stopping.is_set():
            session.submit(Stop())
        if isinstance(event, StepDone):
            what = "Training" if not self._trained else f"Measuring: volume {self._trained} of {self._trainings - 1}"
            self.progress = (what, (self._trained + event.progress) / self._trainings)
        elif isinstance(event, Finished):
            self._trained += 1

    def _left_out(self, cases: Sequence[Case]) -> list[LeftOut]:
        """Measure models of all volumes but one in that one; nothing came of it if it was stopped."""
        from knowsam.cross_validation import leave_one_out

        found = []
        try:
            for one in leave_one_out(cases, self._train, device=self._settings.device):
                found.append(one)
                if self._stopping.is_set():
                    return []
        except KnowSAMError:
            if not self._stopping.is_set():
                raise
            return []
        return found

    def _add_score(self, model: TrainedModel, path: Path, found: Sequence[LeftOut]) -> str:
        """Keep in the file of the model how good it is, and say so of the class that is found worst."""
        from knowsam.cross_validation import expected_dice

        expected = expected_dice(found, self._classes)
        _saved(replace(model, expected=expected), path)
        if not expected:
            return "No class is in two of the volumes, so nobody can tell how good it is in others."
        worst = min(expected, key=lambda one: one.mean)
        names = {one.value: one.name for one in self._classes}
        return f"{names[worst.value]}: {worst.sentence}."


def _saved(model: TrainedModel, path: Path) -> Path:
    """Save a model that took long to train, in the user's home if its folder does not take it; return its file."""
    from knowsam.training.trained_model import save_model

    try:
        return save_model(model, path, overwrite=True)
    except OutputError:
        return save_model(model, Path.home() / path.name)
