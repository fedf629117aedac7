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
        for name, action in actions.items():
            menu.addAction(name).triggered.connect(lambda _checked=False, action=action: action())
        self.setMenu(menu)
