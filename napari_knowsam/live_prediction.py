"""The prediction of the image on the screen, which follows what is painted, whether somebody trains or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from knowsam.training.events import ClassesChanged, Watch
from napari_knowsam.handover import Handover

if TYPE_CHECKING:
    from collections.abc import Iterable

    from knowsam.data.annotation import LabelClass
    from napari_knowsam.layer_choice import LayerChoice
    from napari_knowsam.panels.train_panel import TrainPanel
    from napari_knowsam.training_controller import TrainingController
    from napari_knowsam.training_display import TrainingDisplay

_SOON_MS = 300
"""The first paint of the window comes before, and labels that are opened right after their image."""


class LivePrediction(QObject):
    """Submits what changes in the chosen image to the session; without a training, begins to propagate its labels."""

    def __init__(
        self,
        layers: LayerChoice,
        controller: TrainingController,
        train: TrainPanel,
        display: TrainingDisplay,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._layers, self._controller, self._train, self._display = layers, controller, train, display
        self._handover = Handover(controller, self)
        self._is_live = True
        self._is_closed = False
        self._due = QTimer(self)
        self._due.setSingleShot(True)
        self._due.setInterval(_SOON_MS)
        self._due.timeout.connect(self._on_due)

    @property
    def outdated(self) -> int:
        """How many slices of the chosen image wait for a new prediction."""
        document = self._layers.document
        return 0 if document is None else self._controller.outdated(document)

    def set_live(self, is_live: bool) -> None:
        """Tell whether a person wants to see predictions; if not, none begin without a training."""
        self._is_live = is_live
        self.watch()
        self.propagate_soon()

    def watch(self) -> None:
        """Send the visible slice to the session; it predicts others, too, since an export must be complete."""
        sync = self._layers.sync
        if sync is not None and self._is_current:
            is_watched = self._is_live or self._controller.is_busy or self.outdated > 0
            self._controller.submit(Watch(sync.view.index if is_watched else None))

    def submit_slices(self, indices: Iterable[int]) -> None:
        """Let what was annotated count in the prediction."""
        if self._is_current:
            self._handover.add(indices)
        else:
            self.propagate()

    def submit_classes(self, classes: tuple[LabelClass, ...]) -> None:
        """Let other classes count in the prediction."""
        if self._is_current:
            self._controller.submit(ClassesChanged(classes))

    def propagate(self) -> None:
        """Propagate labels without a training, as soon as two slices are painted."""
        sync, config = self._layers.sync, self._train.config()
        # Closing takes in the latest strokes, which must not begin anything new.
        if self._is_closed or sync is None or not self._is_live or self._controller.is_busy:
            return
        document = sync.document
        if config.method.shape_prior and document.can_propagate and sync.plane_question is None:
            self._controller.propagate(document, config)
            self._display.propagation_begins()
            self.watch()

    def propagate_soon(self) -> None:
        """Propagate labels that were opened, if any slice lacks a prediction or has an older one."""
        self._due.start()

    def close(self) -> None:
        """Begin nothing any more."""
        self._is_closed = True
        self._due.stop()

    @property
    def _is_current(self) -> bool:
        """Whether the volume on the screen is the one that training or propagation goes on with."""
        return self._controller.work is not None and self._layers.document is self._controller.work

    def _on_due(self) -> None:
        document = self._layers.document
        # Beyond a structure that is there from its first to its last slice, nobody expects more of it.
        if document is not None and not document.is_finished and (document.unpredicted or self.outdated):
            self.propagate()
