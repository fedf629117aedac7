"""Push buttons that leave the keyboard to the viewer."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

_MARGIN_PX = 12
_PRIMARY_STYLE = """
QPushButton:enabled { background-color: #2563c9; color: white; font-weight: bold; }
QPushButton:enabled:hover { background-color: #3b78dd; }
QPushButton:enabled:pressed { background-color: #1d4fa3; }
"""


def button(text: str, tooltip: str, on_clicked: Callable[[], object], *, primary: bool = False) -> QPushButton:
    """Return a button; a click does not give it the keyboard focus, so that keys keep going to the canvas.

    Parameters
    ----------
    primary : whether this is the one button that stands out.
    """
    made = QPushButton(text)
    made.setToolTip(tooltip)
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    made.clicked.connect(lambda _checked=False: on_clicked())
    if primary:
        made.setStyleSheet(_PRIMARY_STYLE)
    return made


def tightened(made: QPushButton) -> QPushButton:
    """Return a button that may be as narrow as its text; styles insist on more, which a narrow panel lacks."""
    made.setMinimumWidth(made.fontMetrics().horizontalAdvance(made.text()) + _MARGIN_PX)
    return made
