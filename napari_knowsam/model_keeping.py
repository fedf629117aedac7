"""Models in the window: saved, opened, applied, and never lost without a question."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from qtpy.QtCore import QObject, Signal

from knowsam.document.annotation_document import AnnotationDocument
from knowsam.errors import InputError, KnowSAMError
from knowsam.io.image_file import suggested_path
from knowsam.training.events import ModelWanted, Stage
from napari_knowsam import status_messages
from napari_knowsam.painted_layer import PLANES
from napari_knowsam.panels.model_dialogs import Unsaved, ask_model_target, ask_unsaved
from napari_knowsam.panels.start_choice import Start

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from knowsam.training.events import Validated
    from knowsam.training.trained_model import TrainedModel
    from napari_knowsam.layer_choice import LayerChoice
    from napari_knowsam.layer_sync import LayerSync
    from napari_knowsam.panels.result_panel import ResultPanel
    from napari_knowsam.panels.train_panel import TrainPanel
    from napari_knowsam.sessions import TrainingSettings
    from napari_knowsam.training_controller import TrainingController


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
        self._saved: WeakKeyDictionary[AnnotationDocument, TrainedModel] = WeakKeyDictionary()
        self._has_learnt = False
        self._target: tuple[AnnotationDocument, Path] | None = None
        result.save_model_requested.connect(self._on_save_requested)
        result.open_model_requested.connect(self._on_open_requested)
        train.apply_requested.connect(self._on_apply_requested)
        controller.validated.connect(self._on_validated)
        controller.model_ready.connect(self._on_model_ready)
        controller.stage_changed.connect(self._on_stage_changed)
        layers.signals.document_changed.connect(self._show)

    def to_start_from(self) -> TrainedModel | None:
        """Return the opened model if the next training is to begin with it, once its classes are those of the volume.

        Raises
        ------
        InputError
            If it does not fit what is painted.
        """
        if self._model is None or self._train.start() is not Start.MODEL:
            return None
        self._fitting(self._model)
        return self._model

    def take_up(self, work: AnnotationDocument, path: Path) -> None:
        """Let the next training of a volume go on where one of an earlier day ended, which is kept in a file."""
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
        """Ask what becomes of the model of a volume if another training would replace it; return whether it may."""
        is_lost = work in self._unsaved() and not self._controller.goes_on(work, settings)
        return not is_lost or self._may_lose([work])

    @property
    def is_unsaved(self) -> bool:
        """Whether there is a model that was learnt and not saved."""
        return bool(self._unsaved())

    def may_close(self) -> bool:
        """Ask what becomes of all models that were not saved; return whether they may go."""
        return self._may_lose(self._unsaved())

    def _unsaved(self) -> list[AnnotationDocument]:
        controller = self._controller
        works = [work for work in controller.trained if controller.model(work) is not self._saved.get(work)]
        if self._is_learning(controller.work) and controller.work is not None and controller.work not in works:
            works.append(controller.work)
        # What was learnt of an image that was removed is gone, and its training with it.
        return [work for work in works if self._layers.sync_of(work) is not None]

    def _may_lose(self, works: Sequence[AnnotationDocument]) -> bool:
        answer = ask_unsaved(self._result, [work.volume.name for work in works])
        if answer is Unsaved.SAVE:
            return all(self._save_at_once(work) for work in works)
        return answer is Unsaved.DISCARD

    def _save_at_once(self, work: AnnotationDocument) -> bool:
        """Save what was learnt of a volume and end its training; return whether it is saved."""
        path = self._ask_target(work)
        if path is None:
            return False
        if work is self._controller.work:
            self._controller.stop_at_once()
        model = self._controller.model(work)
        if model is None or self._is_learning(work):
            self._result.set_message("Training has not ended yet. Try again in a moment.")
            return False
        return self._write(work, model, path)

    def _on_save_requested(self) -> None:
        work = self._layers.document
        path = None if work is None else self._ask_target(work)
        if work is None or path is None:
            return
        if self._is_learning(work):
            self._target = work, path
            self._controller.submit(ModelWanted())
        else:
            self._save_ended(work, path)

    def _save_ended(self, work: AnnotationDocument, path: Path) -> None:
        model = self._controller.model(work)
        if model is not None:
            self._write(work, model, path)

    def _write(self, work: AnnotationDocument, model: TrainedModel, path: Path) -> bool:
        from knowsam.training.trained_model import save_model

        try:
            save_model(model.with_names(work.classes), path, overwrite=True)
        except KnowSAMError as error:
            self._result.set_message(str(error))
            return False
        self._saved[work] = model
        self._result.set_message(f"Saved the model as {path.name}. {model.weakness}".strip())
        return True

    def _ask_target(self, work: AnnotationDocument) -> Path | None:
        suggested = suggested_path(f"{work.volume.name}_model", work.volume, ".safetensors")
        return ask_model_target(self._result, str(suggested))

    def _on_open_requested(self, path: Path) -> None:
        from knowsam.training.trained_model import MODEL_FILE, load_model

        try:
            self._model = load_model(path)
        except KnowSAMError as error:
            self._result.set_message(str(error))
            return
        name = path.parent.name if path.name == MODEL_FILE else path.stem
        self._train.set_model(name, _facts(name, self._model))
        self.opened.emit()
        sentence = (
            f"Opened {name}. Apply it to this volume, or train: that begins with it. {self._model.weakness}".strip()
        )
        try:
            if self._layers.sync is not None and not self._controller.is_running:
                self._fitting(self._model)
        except InputError as error:
            sentence = str(error)
        self._result.set_message(sentence)

    def _on_apply_requested(self) -> None:
        if self._model is None or self._controller.is_busy:
            return
        try:
            document = self._fitting(self._model).document
        except InputError as error:
            self._result.set_message(str(error))
            return
        document.open_index = None
        self._result.set_message("")
        self._controller.apply(document.case(), self._model, document, self._train.device())

    def _fitting(self, model: TrainedModel) -> LayerSync:
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
                f"The model knows {PLANES[model.axis]} slices, but what you painted are {PLANES[document.axis]} ones. "
                'Make new labels ("New"), then open the model again.'
            )
        sync.change(AnnotationDocument.take_classes, model.classes)
        return sync

    def _is_learning(self, work: AnnotationDocument | None) -> bool:
        """Tell whether a training of a work goes on that has learnt something."""
        return self._controller.is_running and work is self._controller.work and self._has_learnt

    def _on_validated(self, _validated: Validated) -> None:
        self._has_learnt = True
        self._show()

    def _on_model_ready(self, model: TrainedModel) -> None:
        target, self._target = self._target, None
        if target is not None:
            self._write(target[0], model, target[1])

    def _on_stage_changed(self, stage: Stage | None) -> None:
        if stage is Stage.PREPARING:
            self._has_learnt = False
        if stage is None and self._target is not None:
            # Training has ended before it read that the model was wanted.
            target, self._target = self._target, None
            self._save_ended(*target)
        self._show()

    def _show(self) -> None:
        """Offer what can be done with models of the chosen volume."""
        work = self._layers.document
        has_last = work is not None and self._controller.model(work) is not None
        self._train.set_can_continue(has_last)
        self._result.set_has_model(has_last or (work is not None and self._is_learning(work)))


def _facts(name: str, model: TrainedModel) -> str:
    """Say what a model was trained on."""
    classes = ", ".join(label_class.name for label_class in model.classes[1:])
    return (
        f"{name}: {classes}; {PLANES[model.axis]} slices at {model.pixel_mm:.2g} mm a pixel. "
        f"Learnt from {status_messages.slices_in_words(model.annotated_slices)} in {model.steps} steps."
    )
