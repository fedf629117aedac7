"""A small window that shows how far something is that takes minutes, can stop it, and says what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QPoint, Signal
from qtpy.QtWidgets import QDialog, QHBoxLayout, QMessageBox, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_knowsam.panels.wrapped_label import WrappedLabel

if TYPE_CHECKING:
    from qtpy.QtGui import QCloseEvent, QResizeEvent, QShowEvent

_WIDTH_PX = 300
_LEFT_PX = 10
_BUTTONS_PX = 100
"""As high above the lower edge as napari's status bar, its buttons and the title bar of this window."""


def ask_to_end(parent: QWidget | None, title: str) -> bool:
    """Ask whether work may end before it is done, since somebody closes what it belongs to.

    Parameters
    ----------
    title : what goes on.
    """
    box = QMessageBox(parent)
    box.setWindowTitle("Stop and close?")
    box.setIcon(QMessageBox.Icon.Question)
    box.setText(f"This still goes on beside the window: {title}.")
    box.setInformativeText("If you close now, it is stopped, and what is done by then is kept.")
    stop = box.addButton("Stop and close", QMessageBox.ButtonRole.DestructiveRole)
    box.setDefaultButton(box.addButton(QMessageBox.StandardButton.Cancel))
    box.exec()
    return bool(box.clickedButton() is stop)


class ProgressWindow(QDialog):
    """Stands beside the work, which goes on. Only its button stops that; closing it would be a mistake too easily made.

    Parameters
    ----------
    title : what goes on.
    """

    stop_requested = Signal()

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = title
        self._is_over = False
        self.setWindowTitle(title)
        self.setModal(False)
        self.setFixedWidth(_WIDTH_PX)
        self._label = WrappedLabel(title)
        self._bar = QProgressBar()
        self._button = QPushButton("Stop")
        self._button.clicked.connect(self._on_clicked)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(self._button)
        column = QVBoxLayout(self)
        column.addWidget(self._label)
        column.addWidget(self._bar)
        column.addLayout(row)

    @property
    def text(self) -> str:
        """What it says."""
        return str(self._label.text())

    def show_progress(self, text: str, share: float) -> None:
        """Say what goes on now, and how much of all is done, in [0, 1]."""
        if self._button.isEnabled():
            self._label.setText(f"{self._title}. {text}")
        self._bar.setValue(round(100 * share))

    def end(self, sentence: str) -> None:
        """Say what came of it, until somebody has read that; without a sentence, close."""
        self._is_over = True
        if not sentence:
            self.close()
            return
        self._label.setText(sentence)
        self._bar.hide()
        self._button.setText("Close")
        self._button.setEnabled(True)
        self.adjustSize()

    def showEvent(self, event: QShowEvent) -> None:
        """Appear at the lower left, where it covers neither image nor buttons."""
        super().showEvent(event)
        if (parent := self.parentWidget()) is not None:
            corner = parent.window().geometry().bottomLeft()
            self.move(corner + QPoint(_LEFT_PX, -self.height() - _BUTTONS_PX))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Grow upwards, away from the buttons."""
        super().resizeEvent(event)
        if event.oldSize().isValid():
            self.move(self.pos() + QPoint(0, event.oldSize().height() - event.size().height()))

    def closeEvent(self, event: QCloseEvent) -> None:
        """Stay as long as something goes on."""
        if self._is_over:
            super().closeEvent(event)
        else:
            event.ignore()

    def reject(self) -> None:
        """Stay as long as something goes on, whatever key is pressed."""
        if self._is_over:
            super().reject()

    def _on_clicked(self) -> None:
        if self._is_over:
            self.close()
            return
        self._button.setEnabled(False)
        self._label.setText(f"{self._title}. Stopping …")
        self.stop_requested.emit()
