"""Submission of annotated slices to the session."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from knowsam.training.events import SliceAnnotated

if TYPE_CHECKING:
    from knowsam.document.annotation_document import AnnotationDocument
    from napari_knowsam.training_controller import TrainingController

_AT_ONCE_S = 0.03


class Handover(QObject):
    """Submits annotations to the session: a slice at once, a whole volume in pieces, between which the window draws."""

    def __init__(self, controller: TrainingController, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._controller = controller
        self._work: AnnotationDocument | None = None
        self._waiting: dict[int, None] = {}
        self._next = QTimer(self)
        self._next.setSingleShot(True)
        self._next.timeout.connect(self._hand_over)

    def add(self, indices: Iterable[int]) -> None:
        """Submit slices of the session's volume, each as it is when its turn comes."""
        if self._controller.work is not self._work:
            # A new session gets all present annotations.
            self._work, self._waiting = self._controller.work, {}
        self._waiting |= dict.fromkeys(indices)
        self._hand_over()

    def _hand_over(self) -> None:
        work, until = self._work, monotonic() + _AT_ONCE_S
        if work is None or work is not self._controller.work:
            self._work, self._waiting = None, {}
            return
        while self._waiting and monotonic() < until:
            index = next(iter(self._waiting))
            del self._waiting[index]
            self._controller.submit(SliceAnnotated(work.label_slice(index)))
        if self._waiting:
            self._next.start(0)
        else:
            self._work = None
