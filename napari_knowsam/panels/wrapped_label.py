"""A sentence of as many lines as it needs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QWidget

if TYPE_CHECKING:
    from qtpy.QtCore import QEvent
    from qtpy.QtGui import QResizeEvent


_LONG_WORD = re.compile(r"\S{21,}")
_BREAKABLE = re.compile(r"(?<=[/\\_.,=&?-])(?=\w)|(?<=\w{20})(?=\w)")
_ZERO_WIDTH_SPACE = "\u200b"


class WrappedLabel(QLabel):
    """A label that wraps its words, long ones such as addresses too, and insists on the room for all of its lines.

    Qt's own takes too few of them as enough inside a scroll area, and cuts off what stands beside it, too.
    """

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        self.setText(text)

    def setText(self, text: str | None) -> None:
        """Say something else."""
        super().setText(_LONG_WORD.sub(_breakable, text or ""))
        self._insist()

    def text(self) -> str:
        """Return what was said, as it was said."""
        return super().text().replace(_ZERO_WIDTH_SPACE, "")

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Need other room at another width."""
        super().resizeEvent(event)
        if event is not None and event.oldSize().width() != event.size().width():
            self._insist()

    def changeEvent(self, event: QEvent | None) -> None:
        """Need other room in another font."""
        super().changeEvent(event)
        self._insist()

    def _insist(self) -> None:
        # Qt takes no less for needed than what was insisted on before.
        self.setMinimumHeight(0)
        if super().text():
            self.setMinimumHeight(max(self.heightForWidth(self.width()), 0))


def _breakable(word: re.Match[str]) -> str:
    """Return a word that may go on in the next line behind a slash and its like, or after 20 letters."""
    return _BREAKABLE.sub(_ZERO_WIDTH_SPACE, word[0])
