"""A push button with a menu."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QMenu, QPushButton, QWidget


class Entry(NamedTuple):
    """An entry of a submenu: what it says, what its tooltip says, and what it does."""

    text: str
    tooltip: str
    action: Callable[[], object]


class MenuButton(QPushButton):
    """Offers some actions; a click does not give it the keyboard focus, so that keys keep going to the canvas.

    Parameters
    ----------
    actions : what each entry of the menu does; None makes it a submenu, see `fill`.
    """

    about_to_open = Signal()

    def __init__(
        self,
        text: str,
        tooltip: str,
        actions: Mapping[str, Callable[[], object] | None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(text, parent)
        self.setToolTip(tooltip)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        # The arrow of a menu would take room that the name of the image needs.
        self.setStyleSheet("QPushButton::menu-indicator { image: none; width: 0px; }")
        menu = QMenu(self)
        menu.aboutToShow.connect(self.about_to_open)
        self._submenus = {name: QMenu(name, menu) for name, action in actions.items() if action is None}
        self._entries = {
            name: menu.addMenu(self._submenus[name]) if name in self._submenus else menu.addAction(name)
            for name in actions
        }
        for name, action in actions.items():
            if action is not None:
                self._entries[name].triggered.connect(lambda _checked=False, action=action: action())
        self.setMenu(menu)

    def set_offered(self, name: str, is_offered: bool) -> None:
        """Let an entry of the menu be chosen, or not."""
        self._entries[name].setEnabled(is_offered)

    def fill(self, name: str, *groups: list[Entry]) -> None:
        """Put groups of entries into a submenu, with lines between them; it cannot be chosen without any."""
        submenu = self._submenus[name]
        submenu.clear()
        submenu.setToolTipsVisible(True)
        for group in groups:
            if not submenu.isEmpty():
                submenu.addSeparator()
            for text, tooltip, action in group:
                # In a menu, one "&" marks the letter that follows.
                entry = submenu.addAction(text.replace("&", "&&"))
                entry.setToolTip(tooltip)
                entry.triggered.connect(lambda _checked=False, action=action: action())
        self.set_offered(name, not submenu.isEmpty())
