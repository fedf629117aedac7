"""The font of what stands in the margin of a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtGui import QFont

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget


def small_font(widget: QWidget) -> QFont:
    """Return the font of a widget, a size smaller, and never too small to read."""
    font = QFont(widget.font())
    font.setPointSizeF(max(font.pointSizeF() * 0.85, 7.0))
    return font
