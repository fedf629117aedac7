"""The opened model, applied to the volume on the screen, or to all open images one after the other."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from knowsam.errors import InputError, KnowSAMError
from napari_knowsam.status_messages import BUSY

if TYPE_CHECKING:
    from knowsam.training.events import Applied
    from napari_knowsam.layer_choice import LayerChoice
    from napari_knowsam.model_keeping import ModelKeeping
    from napari_knowsam.panels.result_panel import ResultPanel
    from napari_knowsam.panels.train_panel import TrainPanel
    from napari_knowsam.training_controller import TrainingController


class Applying(QObject):
    """Lets the opened model predict; what cannot be predicted is said and does not keep others from it."""

    def __init__(
        self,
        layers: LayerChoice,
        controller: TrainingController,
        train: TrainPanel,
        result: ResultPanel,
        models: ModelKeeping,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._layers, self._controller, self._models = layers, controller, models
        self._train, self._result = train, result
        self._waiting: deque[str] = deque()
        self._applied: list[str] = []
        self._problems: list[str] = []
        self._is_at_all = False
        train.model_box.apply_requested.connect(self._on_one_requested)
        train.model_box.apply_to_all_requested.connect(self._on_all_requested)
        controller.applied.connect(self._on_applied)
        controller.failed.connect(self._on_failed)

    def _on_one_requested(self) -> None:
        if self._controller.is_busy:
            return
        try:
            self._apply()
        except KnowSAMError as error:
            self._result.set_message(str(error))

    def _on_all_requested(self) -> None:
        if self._controller.is_busy:
            self._result.set_message(BUSY)
            return
        self._waiting = deque(self._layers.image_names)
        self._applied, self._problems, self._is_at_all = [], [], True
        self._go_on()

    def _go_on(self) -> None:
        """Apply the model to the next image that takes it, or say what came of all."""
        while self._waiting:
            name = self._waiting.popleft()
            try:
                self._layers.choose_image(name)
                self._apply(name)
            except KnowSAMError as error:
                self._problems.append(f"{name}: {error}")
            else:
                return
        self._is_at_all = False
        images = "one image" if len(self._applied) == 1 else f"{len(self._applied)} images"
        self._result.set_message(" ".join([f"Applied the model to {images}.", *self._problems]))

    def _apply(self, name: str = "") -> None:
        """Apply the model to the volume on the screen, which must be the one of that name if there is one.

        Raises
        ------
        InputError
            If it is another, or the model does not fit what is painted.
        """
        model = self._models.model
        if model is None:
            return
        sync = self._models.fit(model)
        if name and sync.image.name != name:
            raise InputError("It cannot be worked on, and was left out.")
        document = sync.document
        document.open_index = None
        self._result.set_message("")
        self._controller.apply(document.case(), model, document, self._train.device())

    def _on_applied(self, applied: Applied) -> None:
        if not self._is_at_all:
            return
        if applied.stopped:
            self._waiting.clear()
        elif (work := self._controller.work) is not None:
            self._applied.append(work.volume.name)
        # What is told of this image comes first.
        QTimer.singleShot(0, self._go_on)

    def _on_failed(self, sentence: str) -> None:
        if self._is_at_all:
            self._problems.append(sentence)
            QTimer.singleShot(0, self._go_on)
