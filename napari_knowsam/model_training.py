"""One model of all finished volumes, trained beside the window and kept under a name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from knowsam.data.case import Case
from knowsam.data.painted_slices import painted_by_default
from knowsam.errors import InputError, KnowSAMError, TrainingError
from knowsam.io.kept_models import models_folder
from knowsam.training.events import Finished, StepDone, Stop
from napari_knowsam.background import Work
from napari_knowsam.finished_volumes import FinishedVolumes
from napari_knowsam.model_keeping import suggested_target
from napari_knowsam.panels.model_dialogs import ask_model_to_train
from napari_knowsam.training_case import training_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from knowsam.atlas.proposal import Atlas
    from knowsam.cross_validation import LeftOut
    from knowsam.data.annotation import LabelClass
    from knowsam.models.teachers import Teacher
    from knowsam.training.events import Event
    from knowsam.training.session import TrainingSession
    from knowsam.training.trained_model import TrainedModel
    from napari_knowsam.background import Background
    from napari_knowsam.finished_volumes import Reader
    from napari_knowsam.layer_choice import LayerChoice
    from napari_knowsam.panels.model_dialogs import ModelTarget
    from napari_knowsam.panels.result_panel import ResultPanel
    from napari_knowsam.panels.train_panel import TrainPanel
    from napari_knowsam.project_cases import ProjectCases
    from napari_knowsam.sessions import TrainingSettings

_FEWEST = 2
_NOTHING_LEARNT = "It was stopped before it had learnt anything."
_NOT_MEASURED = "It was stopped before it was measured how good it is in other volumes."


class ModelTraining(QObject):
    """Asks for a name, and trains a model of all finished volumes while a person goes on working."""

    def __init__(
        self,
        layers: LayerChoice,
        train: TrainPanel,
        result: ResultPanel,
        cases: ProjectCases,
        background: Background,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._layers, self._background = layers, background
        self._train, self._result, self._cases = train, result, cases
        result.bar.train_model_requested.connect(self._on_requested)

    def _on_requested(self) -> None:
        self._background.begin(self._prepared)

    def _prepared(self) -> FinishedTraining | None:
        self._layers.flush()
        finished = FinishedVolumes(self._layers, self._cases)
        axis = finished.axis
        if len(finished) < _FEWEST or axis is None:
            raise InputError(
                f"A model of several volumes needs {_FEWEST} finished ones, open or done in a project, but there "
                f"{'is one' if len(finished) else 'is none'}. A volume is finished when all slices from the first to "
                "the last of its structures are painted, corrected or accepted (Accept, All)."
            )
        classes, settings = finished.classes, training_settings(self._train, None)
        question = f"Also measure how good it is in other volumes, which takes {len(finished)} more trainings"
        chosen = ask_model_to_train(self._result, suggested_target(classes), question)
        if chosen is None:
            return None
        target, is_checked = chosen
        return FinishedTraining(finished.reader(classes), axis, classes, settings, target, is_checked=is_checked)


class FinishedTraining(Work):
    """Reads volumes, trains a model of them, keeps it, and measures it if wanted.

    Parameters
    ----------
    read : reads the volumes, see `FinishedVolumes.reader`.
    axis : working axis along which slices are learnt from.
    classes : background first.
    is_checked : whether to measure the model in other volumes.
    """

    def __init__(
        self,
        read: Reader,
        axis: int,
        classes: tuple[LabelClass, ...],
        settings: TrainingSettings,
        target: ModelTarget,
        *,
        is_checked: bool,
    ) -> None:
        super().__init__("Training a model of finished volumes", "Reading the volumes")
        self._read, self._axis, self._classes = read, axis, classes
        self._settings, self._target, self._is_checked = settings, target, is_checked
        self._session: TrainingSession | None = None
        self._teacher: Teacher | None = None
        self._trainings, self._trained = 1, 0

    def stop(self) -> None:
        """End the work; a model that has learnt something is kept."""
        super().stop()
        if self._session is not None:
            self._session.submit(Stop())

    def run(self) -> Iterator[str]:
        """Do the work, and return a sentence on the result.

        Raises
        ------
        KnowSAMError
            If the volumes cannot be learnt from, or the model can be saved nowhere.
        """
        from knowsam.models.teachers import choose_teacher
        from knowsam.training.interruption import Interrupted

        try:
            atlases, problems = self._read(self.check)
        except Interrupted:
            yield _NOTHING_LEARNT
            return
        cases = [self._case(atlas) for atlas in atlases]
        if len(cases) < _FEWEST:
            raise InputError(" ".join([f"Only {len(cases)} of the finished volumes can be learnt from.", *problems]))
        self._trainings = 1 + len(cases) * self._is_checked
        self._teacher = choose_teacher(self._settings.teacher, self._while_downloading)
        try:
            model = replace(self._train(cases).model(), about=self._target.about)
        except TrainingError:
            if not self.is_stopping:
                raise
            yield _NOTHING_LEARNT
            return
        path, done = self._saved(model, len(cases))
        yield " ".join([done, model.weakness, *problems])
        if self._is_checked:
            found = self._left_out(cases)
            score = self._add_score(model, path, found) if found else f"{_NOT_MEASURED} {model.weakness}".strip()
            yield " ".join([done, score, *problems])

    def _while_downloading(self, _arrived: int, _size: int) -> None:
        if self.is_stopping:
            raise TrainingError("It was stopped before SAM had been downloaded; the next time it goes on there.")

    def _case(self, atlas: Atlas) -> Case:
        painted = painted_by_default(atlas.labels, self._axis)
        return Case(atlas.image, painted.annotation(self._classes))

    def _train(self, cases: Sequence[Case]) -> TrainingSession:
        from knowsam import jobs

        settings = self._settings
        # The model is for other volumes, whose whole slices it will see.
        return jobs.train(
            cases,
            budget=settings.budget,
            config=settings.config.with_values(whole_slices=True),
            teacher=self._teacher,
            device=settings.device,
            listener=self._listen,
        )

    def _saved(self, model: TrainedModel, volumes: int) -> tuple[Path, str]:
        """Save a model that took long to train where possible; return the path, and a sentence.

        A model that was to be replaced stays if the training was broken off.
        """
        from knowsam.commands.outputs import saved

        target = self._target.path
        may_replace = not self.is_stopping
        path = saved(target, lambda place: _write(model, place, overwrite=place == target and may_replace))
        found = "Model > Kept models opens it." if path.parent == models_folder() else f"It is {path}."
        return path, f"Trained {path.stem} on {volumes} finished volumes. {found}"

    def _listen(self, session: TrainingSession, event: Event) -> None:
        self._session = session
        if self.is_stopping:
            session.submit(Stop())
        if isinstance(event, StepDone):
            what = "Training" if not self._trained else f"Measuring: volume {self._trained} of {self._trainings - 1}"
            self.progress = (what, (self._trained + event.progress) / self._trainings)
        elif isinstance(event, Finished):
            self._trained += 1

    def _left_out(self, cases: Sequence[Case]) -> list[LeftOut]:
        """Measure models of all volumes but one in that one; return nothing if it was stopped."""
        from knowsam.cross_validation import leave_one_out
        from knowsam.training.interruption import Interrupted

        found = []
        try:
            for one in leave_one_out(cases, self._train, device=self._settings.device, check=self.check):
                found.append(one)
                self.check()
        except Interrupted:
            return []
        except KnowSAMError:
            if not self.is_stopping:
                raise
            return []
        return found

    def _add_score(self, model: TrainedModel, path: Path, found: Sequence[LeftOut]) -> str:
        """Write the expected Dice into the file of the model, and return a sentence on the worst class."""
        from knowsam.cross_validation import expected_dice

        expected = expected_dice(found, self._classes)
        _write(replace(model, expected=expected), path, overwrite=True)
        if not expected:
            return "No class is in two of the volumes, so nobody can tell how good it is in others."
        worst = min(expected, key=lambda one: one.mean)
        names = {one.value: one.name for one in self._classes}
        return f"{names[worst.value]}: {worst.sentence}."


def _write(model: TrainedModel, path: Path, *, overwrite: bool) -> None:
    """Write the file of a model."""
    from knowsam.training.trained_model import save_model

    save_model(model, path, overwrite=overwrite)
