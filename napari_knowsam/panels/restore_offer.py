"""An offer to bring back what was painted before."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_knowsam.panels.buttons import button


class RestoreOffer(QWidget):
    """A sentence and two answers; hidden while there is nothing to offer."""

    accepted = Signal()
    declined = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sentence = QLabel()
        self._sentence.setWordWrap(True)
        restore = button(
            "Restore",
            "Bring back what you painted then, what can be undone of it, and what was learnt.",
            self.accepted.emit,
        )
        decline = button("Not now", "Go on without it.", self.declined.emit)
        answers = QHBoxLayout()
        answers.addWidget(restore)
        answers.addWidget(decline)
        answers.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._sentence)
        column.addLayout(answers)
        self.hide()

    def set_sentence(self, sentence: str) -> None:
        """Say what can be restored; an empty sentence takes the offer back."""
        self._sentence.setText(sentence)
        self.setVisible(bool(sentence))
