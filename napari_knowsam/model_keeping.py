"""Models in the window: saved, opened, applied, and never lost without a question."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from qtpy.QtCore import QObject, Signal

from knowsam.data.annotation import different_name
from knowsam.data.orientation import PLANE_NAMES
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.errors import InputError, KnowSAMError
from knowsam.io.image_file import file_name, suggested_path
from knowsam.io.kept_models import MODEL_SUFFIX, model_name, place_of_model
from knowsam.training.events import ModelWanted, Stage
from napari_knowsam import status_messages
from napari_knowsam.panels.model_dialogs import ModelTarget, Unsaved, ask_model_target, ask_unsaved
from napari_knowsam.panels.start_choice import Start

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from knowsam.data.annotation import LabelClass
    from knowsam.data.volume import Volume
    from knowsam.training.events import Validated
    from knowsam.training.trained_model import TrainedModel
    from napari_knowsam.layer_choice import LayerChoice
    from napari_knowsam.layer_sync import LayerSync
    from napari_knowsam.panels.result_panel import ResultPanel
    from napari_knowsam.panels.train_panel import TrainPanel
    from napari_knowsam.sessions import TrainingSettings
    from napari_knowsam.training_controller import TrainingController

_MOST_NAMED = 3
"""Structures after which a model is named."""


class ModelKeeping(QObject):
    """Knows which models were saved and which one is open, and asks before one is lost."""

    opened = Signal()

    def __init__(
        self,
        layers: LayerChoice,
        controller: TrainingController,
        train: TrainPanel,
        result: ResultPanel,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._layers, self._controller = layers, controller
        self._train, self._result = train, result
        self._model: TrainedModel | None = None
        # Of a large CT, the grey values take a second.
        self._unlike: WeakKeyDictionary[Volume, str] = WeakKeyDictionary()
        self._saved: WeakKeyDictionary[AnnotationDocument, TrainedModel] = WeakKeyDictionary()
        self._has_learnt = False
        self._targets: WeakKeyDictionary[AnnotationDocument, ModelTarget] = WeakKeyDictionary()
        self._wanted: tuple[AnnotationDocument, ModelTarget] | None = None
        result.bar.save_model_requested.connect(self._on_save_requested)
        result.open_model_requested.connect(self.open)
        controller.validated.connect(self._on_validated)
        controller.model_ready.connect(self._on_model_ready)
        controller.stage_changed.connect(self._on_stage_changed)
        layers.signals.document_changed.connect(self._show)

    @property
    def model(self) -> TrainedModel | None:
        """The opened model."""
        return self._model

    def to_start_from(self) -> TrainedModel | None:
        """Return the opened model if the next training begins with it, after the volume has got its classes.

        Raises
        ------
        InputError
            If it does not fit what is painted.
        """
        if self._model is None or self._train.start() is not Start.MODEL:
            return None
        self.fit(self._model)
        return self._model

    def difference(self) -> str:
        """Return how the chosen volume differs from those of the model that the next training begins with."""
        document = self._layers.document
        if self._model is None or document is None or self._train.start() is not Start.MODEL:
            return ""
        unlike = self._unlike.get(document.volume)
        if unlike is None:
            unlike = self._unlike[document.volume] = _unlike(self._model, document.volume)
        difference = f"{other_name(document, self._model)} {unlike}".strip()
        return f"{difference} To train without the model, choose New networks (Start from)." if difference else ""

    def take_up(self, work: AnnotationDocument, path: Path) -> None:
        """Let the next training of a volume continue an earlier one, which is kept in a file."""
        from knowsam.training.continuation import read_continuation

        try:
            learnt = read_continuation(path)
            if learnt.model.axis != work.axis:
                raise InputError("It was learnt in another plane. Train again.")
        except KnowSAMError as error:
            self._result.set_message(f"The painting is back, but what was learnt from it is not: {error}")
            return
        self._controller.take_up(work, learnt)
        self._train.set_config(learnt.chosen)
        # It lies on the disk, so that closing loses nothing.
        self._saved[work] = learnt.model
        self._show()

    def may_replace(self, work: AnnotationDocument, settings: TrainingSettings) -> bool:
        """Ask what to do with the model of a volume if another training would replace it; return whether it may."""
        is_lost = work in self._unsaved() and not self._controller.goes_on(work, settings)
        return not is_lost or self._may_lose([work])

    @property
    def has_to_ask(self) -> bool:
        """Whether there is a model that was learnt and not saved."""
        return bool(self._unsaved())

    def may_close(self) -> bool:
        """Ask what to do with all unsaved models; return whether they may go."""
        return self._may_lose(self._unsaved())

    def _unsaved(self) -> list[AnnotationDocument]:
        controller = self._controller
        works = [work for work in controller.trained if controller.model(work) is not self._saved.get(work)]
        if self._is_learning(controller.work) and controller.work is not None and controller.work not in works:
            works.append(controller.work)
        # The training of a removed image is kept beside its annotations.
        return [work for work in works if self._layers.sync_of(work) is not None]

    def _may_lose(self, works: Sequence[AnnotationDocument]) -> bool:
        answer = ask_unsaved(self._result, [work.name for work in works])
        if answer is Unsaved.SAVE:
            return all(self._save_at_once(work) for work in works)
        return answer is Unsaved.DISCARD

    def _save_at_once(self, work: AnnotationDocument) -> bool:
        """Save what was learnt of a volume and end its training; return whether it is saved."""
        target = self._ask_target(work)
        if target is None:
            return False
        if work is self._controller.work:
            self._controller.stop_at_once()
        model = self._controller.model(work)
        if model is None or self._is_learning(work):
            self._result.set_message("Training has not ended yet. Try again in a moment.")
            return False
        return self._write(work, model, target)

    def _on_save_requested(self) -> None:
        work = self._layers.document
        target = None if work is None else self._ask_target(work)
        if work is None or target is None:
            return
        if self._is_learning(work):
            self._wanted = work, target
            self._controller.submit(ModelWanted())
        else:
            self._save_ended(work, target)

    def _save_ended(self, work: AnnotationDocument, target: ModelTarget) -> None:
        model = self._controller.model(work)
        if model is not None:
            self._write(work, model, target)

    def _write(self, work: AnnotationDocument, model: TrainedModel, target: ModelTarget) -> bool:
        from knowsam.training.trained_model import save_model

        try:
            save_model(replace(model.with_names(work.classes), about=target.about), target.path, overwrite=True)
        except KnowSAMError as error:
            self._result.set_message(str(error))
            return False
        self._saved[work], self._targets[work] = model, target
        self._result.set_message(f"Saved the model as {target.path.name}. {model.weakness}".strip())
        return True

    def _ask_target(self, work: AnnotationDocument) -> ModelTarget | None:
        """Ask where to save the model of a volume: as before, or else named after its structures, not its patient."""
        suggested = self._targets.get(work) or suggested_target(work.classes)
        elsewhere = suggested_path(suggested.path.stem, work.volume, MODEL_SUFFIX)
        return ask_model_target(self._result, suggested, elsewhere)

    def open(self, path: Path) -> None:
        """Open the file of a model, to apply it or to start from it."""
        from knowsam.training.model_card import model_card
        from knowsam.training.trained_model import load_model

        try:
            self._model = load_model(path)
        except KnowSAMError as error:
            self._result.set_message(str(error))
            return
        self._unlike.clear()
        name = model_name(path)
        self._train.set_model(name, _facts(name, self._model), model_card(self._model))
        self.opened.emit()
        # A warning that the mask may be another structure comes before one that it may only be poor.
        remarks = f"{self.difference()} {self._model.weakness}".strip()
        sentence = f"Opened {name}. Apply it to this volume, or train: that begins with it. {remarks}".strip()
        try:
            if self._layers.sync is not None and not self._controller.is_busy:
                self.fit(self._model)
        except InputError as error:
            sentence = str(error)
        self._result.set_message(sentence)

    def fit(self, model: TrainedModel) -> LayerSync:
        """Give the chosen volume the classes and the plane of a model, as far as nothing is painted yet.

        Raises
        ------
        InputError
            If the model does not fit what is painted.
        """
        document = self._layers.require_sync(" to use the model on").document
        painted = document.painted_values()
        model.require_knows(one for one in document.classes if one.value in painted)
        if document.axis != model.axis and not document.annotated:
            self._layers.choose_axis(model.axis)
        # In another plane it is another document.
        sync = self._layers.sync
        assert sync is not None
        if sync.document.axis != model.axis:
            raise InputError(
                f"The model knows {PLANE_NAMES[model.axis]} slices, but what you painted are "
                f"{PLANE_NAMES[document.axis]} ones. "
                'Make new labels ("New"), then open the model again.'
            )
        sync.change(AnnotationDocument.take_classes, model.classes)
        return sync

    def _is_learning(self, work: AnnotationDocument | None) -> bool:
        """Return whether a training of a work is running that has learnt something."""
        return self._controller.is_running and work is self._controller.work and self._has_learnt

    def _on_validated(self, _validated: Validated) -> None:
        self._has_learnt = True
        self._show()

    def _on_model_ready(self, model: TrainedModel) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            work, target = wanted
            self._write(work, model, target)

    def _on_stage_changed(self, stage: Stage | None) -> None:
        if stage is Stage.PREPARING:
            self._has_learnt = False
        if stage is None and self._wanted is not None:
            # Training has ended before it read the request for the model.
            wanted, self._wanted = self._wanted, None
            self._save_ended(*wanted)
        self._show()

    def _show(self) -> None:
        """Offer the actions on models of the chosen volume."""
        work = self._layers.document
        has_last = work is not None and self._controller.model(work) is not None
        self._train.set_can_continue(has_last)
        self._result.bar.set_has_model(has_last or (work is not None and self._is_learning(work)))


def other_name(work: AnnotationDocument, model: TrainedModel) -> str:
    """Say which painted class has the value of a class of the model but another name, if one has."""
    painted = work.painted_values()
    classes = [one for one in work.classes if one.value in painted]
    difference = different_name(classes, model.classes, "the model")
    return f"{difference} Check that they are the same structure." if difference else ""


def suggested_target(classes: Sequence[LabelClass]) -> ModelTarget:
    """Return where to save a model of some classes, background first, unless somebody knows better."""
    named = ", ".join(one.name for one in classes[1 : 1 + _MOST_NAMED])
    return ModelTarget(place_of_model(file_name(named)), "")


def _unlike(model: TrainedModel, volume: Volume) -> str:
    """Return how a volume differs from those that a model has learnt from, even if the model cannot be used on it."""
    try:
        return model.difference(volume)
    except InputError as error:
        return str(error)


def _facts(name: str, model: TrainedModel) -> str:
    """Return what a model was trained on, and its expected Dice if that was measured."""
    names = {label_class.value: label_class.name for label_class in model.classes[1:]}
    # The class with the lowest Dice.
    worst = sorted(model.expected, key=lambda one: one.mean)[:1]
    expected = "".join(f" In other volumes, {names[one.value]}: {one.sentence}." for one in worst)
    return (
        f"{name}: {', '.join(names.values())}; {PLANE_NAMES[model.axis]} slices at {model.pixel_mm:.2g} mm a pixel. "
        f"Learnt from {status_messages.slices_in_words(model.annotated_slices)} in "
        f"{status_messages.steps_in_words(model.steps)}.{expected}"
    )
