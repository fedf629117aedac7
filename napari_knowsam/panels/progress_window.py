"""A small window that shows how far something is that takes minutes, and can stop it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QProgressDialog, QWidget

if TYPE_CHECKING:
    from qtpy.QtGui import QShowEvent

_WIDTH_PX = 380
_MARGIN_PX = 40


class ProgressWindow(QProgressDialog):
    """Stands beside the work, which goes on; its signal `canceled` says that somebody wants to stop.

    Parameters
    ----------
    title : what goes on.
    """

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(title, "Stop", 0, 100, parent)
        self._title = title
        self.setWindowTitle(title)
        self.setWindowModality(Qt.WindowModality.NonModal)
        self.setAutoClose(False)
        self.setAutoReset(False)
        self.setMinimumDuration(0)
        self.setMinimumWidth(_WIDTH_PX)
        self.setValue(0)

    def show_progress(self, text: str, share: float) -> None:
        """Say what goes on now, and how much of all is done, in [0, 1]."""
        if not self.wasCanceled():
            self.setLabelText(f"{self._title}. {text}")
            self.setValue(round(100 * share))

    def showEvent(self, event: QShowEvent) -> None:
        """Appear at the lower left, where it covers no image."""
        super().showEvent(event)
        if (parent := self.parentWidget()) is not None:
            corner = parent.window().geometry().bottomLeft()
            self.move(corner + QPoint(_MARGIN_PX, -self.height() - _MARGIN_PX))
