"""The opened model, applied to the volume on the screen, or to all open images one after the other."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from knowsam.document.kept_files import fingerprint
from knowsam.errors import InputError, KnowSAMError
from knowsam.training.events import Stage
from napari_knowsam.model_keeping import other_name
from napari_knowsam.status_messages import BUSY

if TYPE_CHECKING:
    from napari.layers import Image

    from knowsam.training.events import Applied
    from knowsam.training.trained_model import TrainedModel
    from napari_knowsam.layer_choice import LayerChoice
    from napari_knowsam.model_keeping import ModelKeeping
    from napari_knowsam.panels.result_panel import ResultPanel
    from napari_knowsam.panels.train_panel import TrainPanel
    from napari_knowsam.project_cases import ProjectCases
    from napari_knowsam.training_controller import TrainingController


class Applying(QObject):
    """Lets the opened model predict; an image that cannot be predicted is reported and skipped."""

    def __init__(
        self,
        layers: LayerChoice,
        controller: TrainingController,
        train: TrainPanel,
        result: ResultPanel,
        cases: ProjectCases,
        models: ModelKeeping,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._layers, self._controller, self._models = layers, controller, models
        self._train, self._result = train, result
        self._waiting: deque[Image] = deque()
        self._model: TrainedModel | None = None
        self._applied_to: dict[str, TrainedModel] = {}
        self._applied: list[str] = []
        self._problems: list[str] = []
        self._is_at_all = self._is_answered = False
        train.model_box.apply_requested.connect(self._on_one_requested)
        train.model_box.apply_to_all_requested.connect(self._on_all_requested)
        cases.opened.connect(self._apply_again)
        controller.applied.connect(self._on_applied)
        controller.failed.connect(self._on_failed)
        controller.stage_changed.connect(self._on_stage_changed)

    def _on_one_requested(self) -> None:
        if not self._is_busy():
            self._apply_to_chosen(self._models.model)

    def _apply_again(self) -> None:
        """Apply the model that was applied to an image of the project before it was closed, if one was."""
        document = self._layers.document
        if document is not None and not self._is_at_all:
            self._apply_to_chosen(self._applied_to.get(fingerprint(document.volume)))

    def _apply_to_chosen(self, model: TrainedModel | None) -> None:
        try:
            self._apply(model)
        except KnowSAMError as error:
            self._result.set_message(str(error))

    def _on_all_requested(self) -> None:
        if self._is_busy():
            return
        self._waiting, self._model = deque(self._layers.images), self._models.model
        self._applied, self._problems, self._is_at_all = [], [], True
        self._go_on()

    def _is_busy(self) -> bool:
        """Refuse if other work goes on."""
        is_busy = self._controller.is_busy or self._is_at_all
        if is_busy:
            self._result.set_message(BUSY)
        return is_busy

    def _go_on(self) -> None:
        """Apply the model to the next image that it fits, or report the results of all."""
        while self._waiting:
            image = self._waiting.popleft()
            # Meanwhile, it may have been removed, or other work may have started.
            if image not in self._layers.images or self._controller.is_busy:
                self._problems.append(f"{image.name}: left out.")
                continue
            try:
                self._layers.choose_image(image.name)
                self._apply(self._model, image)
            except KnowSAMError as error:
                self._problems.append(f"{image.name}: {error}")
            else:
                return
        self._is_at_all = False
        images = "one image" if len(self._applied) == 1 else f"{len(self._applied)} images"
        self._result.set_message(" ".join([f"Applied the model to {images}.", *self._problems]))

    def _apply(self, model: TrainedModel | None, image: Image | None = None) -> None:
        """Apply a model to the volume on the screen, which must be that of `image` if one is given.

        Raises
        ------
        InputError
            If it is another, or the model does not fit what is painted.
        """
        if model is None:
            return
        sync = self._models.fit(model)
        if image is not None and sync.image is not image:
            raise InputError("It cannot be worked on, and was left out.")
        document = sync.document
        document.open_index = None
        difference = other_name(document, model)
        self._result.set_message(difference)
        if difference and self._is_at_all:
            self._problems.append(f"{document.name}: {difference}")
        self._is_answered = False
        self._controller.apply(document.case(), model, document, self._train.device())
        self._applied_to[fingerprint(document.volume)] = model

    def _on_applied(self, applied: Applied) -> None:
        self._is_answered = True
        if applied.stopped:
            self._forget_applied()
        if not self._is_at_all:
            return
        if applied.stopped:
            self._waiting.clear()
        elif (work := self._controller.work) is not None:
            self._applied.append(work.name)
            if applied.is_empty:
                self._problems.append(f"{work.name}: no structure was found.")

    def _forget_applied(self) -> None:
        if (work := self._controller.work) is not None:
            self._applied_to.pop(fingerprint(work.volume), None)

    def _on_failed(self, sentence: str) -> None:
        self._is_answered = True
        if self._is_at_all:
            self._problems.append(sentence)

    def _on_stage_changed(self, stage: Stage | None) -> None:
        """Continue after the model was applied to an image, or was stopped, as by removing the image."""
        if stage in (Stage.PREPARING, Stage.PROPOSING):
            # What follows takes the place of its prediction.
            self._forget_applied()
        if stage is not None or not self._is_at_all:
            return
        if not self._is_answered:
            self._problems.append("One image was left out, since its prediction was broken off.")
        # The sentences on this image come first.
        QTimer.singleShot(0, self._go_on)
