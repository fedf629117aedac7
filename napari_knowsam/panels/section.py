"""A part of a panel that folds away under its title."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QIcon, QPixmap
from superqt import QCollapsible

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget


class Section(QCollapsible):
    """A collapsible whose title keeps its arrow readable in every theme.

    The arrows of the library are drawn once, in the colours from before napari's style came; letters follow the style.
    """

    def __init__(self, title: str, content: QWidget | None = None, *, expanded: bool = False) -> None:
        super().__init__(title, expandedIcon=_no_icon(), collapsedIcon=_no_icon())
        self._title = title
        layout = self.layout()
        assert layout is not None
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        button = self.toggleButton()
        button.setStyleSheet("text-align: left; border: none; background: transparent;")
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.toggled.connect(self._on_toggled)
        if content is not None:
            self.addWidget(content)
        if expanded:
            self.expand(animate=False)
        self._on_toggled(expanded)

    def _on_toggled(self, is_expanded: bool) -> None:
        self.setText(f"{'▾' if is_expanded else '▸'} {self._title}")


def _no_icon() -> QIcon:
    """Return an icon that shows nothing; one that holds nothing either is passed over where Qt comes with PySide6."""
    blank = QPixmap(1, 1)
    blank.fill(Qt.GlobalColor.transparent)
    return QIcon(blank)
