"""A sentence of as many lines as it needs."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QPainter, QPalette, QTextLayout
from qtpy.QtWidgets import QLabel, QWidget

if TYPE_CHECKING:
    from qtpy.QtCore import QEvent
    from qtpy.QtGui import QPaintEvent, QResizeEvent


_LONG_WORD = re.compile(r"\S{21,}")
_BREAKABLE = re.compile(r"(?<=[/\\_.,=&?-])(?=\w)|(?<=\w{20})(?=\w)")
_ZERO_WIDTH_SPACE = "\u200b"


class WrappedLabel(QLabel):
    """A label that wraps its words, long ones such as addresses too, and insists on the room for all of its lines.

    Qt's own takes too few of them as enough inside a scroll area, and cuts off what stands beside it, too.

    Parameters
    ----------
    fewest_lines : there is room for so many of them, whatever is said, so that nothing beside it moves.
    most_lines : more of them end with an ellipsis, and the tooltip has the rest.
    """

    def __init__(
        self, text: str = "", parent: QWidget | None = None, *, fewest_lines: int = 0, most_lines: int | None = None
    ) -> None:
        super().__init__(parent)
        self._fewest_lines, self._most_lines = fewest_lines, most_lines
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

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw all lines, or as many as there may be."""
        if self._most_lines is None or self.heightForWidth(self.width()) <= self._lines_px(self._most_lines):
            super().paintEvent(event)
            return
        painter = QPainter(self)
        painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
        area = self.contentsRect()
        for row, line in enumerate(self._lines(self._most_lines)):
            baseline_px = area.top() + self._text_px(row) + self.fontMetrics().ascent()
            painter.drawText(QPointF(area.left(), baseline_px), line)
        painter.end()

    def _lines(self, most: int) -> list[str]:
        """Return what stands in each line, the last of which takes what is left and ends where the label does."""
        text, width_px = super().text(), self.contentsRect().width()
        layout = QTextLayout(text.replace("\n", "\u2028"), self.font())
        layout.beginLayout()
        starts: list[int] = []
        for _ in range(most):
            line = layout.createLine()
            if not line.isValid():
                # A label needs a little more room than its text, and to ask more of such a line ends the program.
                break
            line.setLineWidth(width_px)
            starts.append(line.textStart())
        layout.endLayout()
        lines = [text[start:end].strip() for start, end in pairwise(starts)]
        last = text[starts[-1] :].replace("\n", " ")
        return [*lines, self.fontMetrics().elidedText(last, Qt.TextElideMode.ElideRight, width_px)]

    def _lines_px(self, lines: int) -> int:
        margins = self.contentsMargins()
        return self._text_px(lines) + margins.top() + margins.bottom()

    def _text_px(self, lines: int) -> int:
        """Return the height of some lines as labels have them, which is more than the spacing of the font says."""
        return self.fontMetrics().size(0, "\n".join(["x"] * lines)).height() if lines else 0

    def _insist(self) -> None:
        # Qt takes no less for needed than what was insisted on before.
        self.setMinimumHeight(0)
        if not super().text() and not self._fewest_lines:
            return
        needed_px = max(self.heightForWidth(self.width()), self._lines_px(self._fewest_lines))
        if self._most_lines is not None:
            most_px = self._lines_px(self._most_lines)
            self.setMaximumHeight(most_px)
            self.setToolTip(self.text() if needed_px > most_px else "")
            needed_px = min(needed_px, most_px)
        self.setMinimumHeight(needed_px)


def _breakable(word: re.Match[str]) -> str:
    """Return a word that may go on in the next line behind a slash and its like, or after 20 letters."""
    return _BREAKABLE.sub(_ZERO_WIDTH_SPACE, word[0])
