"""A push button with a menu."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMenu, QPushButton, QWidget


class MenuButton(QPushButton):
    """Offers some actions; a click does not give it the keyboard focus, so that keys keep going to the canvas.

    Parameters
    ----------
    actions : what each entry of the menu does.
    """

    def __init__(
        self, text: str, tooltip: str, actions: Mapping[str, Callable[[], object]], parent: QWidget | None = None
    ) -> None:
        super().__init__(text, parent)
        self.setToolTip(tooltip)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        # The arrow of a menu would take room that the name of the image needs.
        self.setStyleSheet("QPushButton::menu-indicator { image: none; width: 0px; }")
        menu = QMenu(self)
        self._entries = {name: menu.addAction(name) for name in actions}
        for name, action in actions.items():
            self._entries[name].triggered.connect(lambda _checked=False, action=action: action())
        self.setMenu(menu)

    def set_offered(self, name: str, is_offered: bool) -> None:
        """Let an entry of the menu be chosen, or not."""
        self._entries[name].setEnabled(is_offered)
