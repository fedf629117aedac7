"""A small square in a class's colour."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import QToolButton, QWidget

_SIDE_PX = 14

TRANSPARENT = "QToolButton:!hover { background: transparent; border: none; }"
"""Lets a button in a table show the row behind it."""


def swatch_icon(color: tuple[int, int, int], *, hatched: bool = False) -> QIcon:
    """Return a filled square; a hatched one stands for the background brush."""
    pixmap = QPixmap(_SIDE_PX, _SIDE_PX)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setPen(QColor(128, 128, 128))
    painter.setBrush(QColor(*color) if not hatched else Qt.BrushStyle.NoBrush)
    painter.drawRect(0, 0, _SIDE_PX - 1, _SIDE_PX - 1)
    if hatched:
        painter.fillRect(1, 1, _SIDE_PX - 2, _SIDE_PX - 2, Qt.BrushStyle.BDiagPattern)
    painter.end()
    return QIcon(pixmap)


class ColorSwatch(QToolButton):
    """A button that shows a colour."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAutoRaise(True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setIconSize(QSize(_SIDE_PX, _SIDE_PX))
        self.setStyleSheet(TRANSPARENT)

    def set_color(self, color: tuple[int, int, int]) -> None:
        """Show another colour (red, green, blue in 0-255)."""
        self.setIcon(swatch_icon(color))
