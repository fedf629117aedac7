"""A box to choose what a class stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QStringListModel, Qt
from qtpy.QtWidgets import QComboBox, QCompleter, QWidget

from knowsam.data.segment_terms import SegmentTerm, found_terms, known_terms, term_for

if TYPE_CHECKING:
    from qtpy.QtGui import QShowEvent, QWheelEvent


class TermBox(QComboBox):
    """Offers the standard terms, finds them by words and synonyms while somebody types, and takes any other words.

    Parameters
    ----------
    name : of the class; the box starts with the term it is understood as.
    """

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setEditable(True)
        self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.setMinimumContentsLength(22)
        self.setAccessibleName(f"What {name} stands for")
        self.addItems([term.words for term in known_terms()])
        self._found = QStringListModel(self)
        completer = QCompleter(self._found, self)
        completer.setCompletionMode(QCompleter.CompletionMode.UnfilteredPopupCompletion)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.setCompleter(completer)
        self.setEditText(term_for(name).words)
        edit = self.lineEdit()
        assert edit is not None
        edit.home(False)
        edit.textEdited.connect(self._on_typed)

    def term(self) -> SegmentTerm:
        """Return what the words in the box stand for."""
        return term_for(self.currentText())

    def showEvent(self, event: QShowEvent | None) -> None:
        """Let the suggestions look as the window does; by themselves they have none to take after."""
        super().showEvent(event)
        completer = self.completer()
        popup = None if completer is None else completer.popup()
        if popup is not None:
            popup.setParent(self.window(), Qt.WindowType.Popup)

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Leave the wheel to what is scrolled."""
        if event is not None:
            event.ignore()

    def _on_typed(self, text: str) -> None:
        self._found.setStringList([term.words for term in found_terms(text)])
