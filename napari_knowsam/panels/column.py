"""Widgets and rows of them below each other, as in every panel."""

from __future__ import annotations

from qtpy.QtWidgets import QLayout, QVBoxLayout, QWidget

PANEL_MARGINS_PX = (4, 2, 4, 4)
"""Left, top, right and bottom."""


def fill_column(
    parent: QWidget, *parts: QWidget | QLayout, margins_px: tuple[int, int, int, int] = (0, 0, 0, 0)
) -> None:
    """Put parts into a widget, from top to bottom."""
    column = QVBoxLayout(parent)
    column.setContentsMargins(*margins_px)
    column.setSpacing(4)
    for part in parts:
        if isinstance(part, QLayout):
            column.addLayout(part)
        else:
            column.addWidget(part)
