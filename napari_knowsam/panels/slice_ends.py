"""Whether the structure that is painted ends at the slice on screen, and how to say so."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from knowsam.data.ends import Side
from knowsam.document.structure_ends import EndsHere
from napari_knowsam.panels.buttons import button
from napari_knowsam.panels.wrapped_label import WrappedLabel

_SIDES = (
    (Side.BELOW, "First slice", "H", "No slice before this one holds the structure: nothing of it is found there."),
    (Side.ABOVE, "Last slice", "Shift+H", "No slice after this one holds the structure: nothing of it is found there."),
)


class SliceEnds(QWidget):
    """Two buttons, for the slice that is the first one of a structure and for the last one."""

    end_requested = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._marked: frozenset[Side] = frozenset()
        # A long name must not make the panels wider than their place, which would cut off what stands at the right.
        self._name = WrappedLabel(most_lines=2)
        self._buttons = {side: self._button(side, *rest) for side, *rest in _SIDES}
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self._name, 1)
        for one in self._buttons.values():
            row.addWidget(one)
        self.set_ends("", EndsHere())

    def set_ends(self, name: str, here: EndsHere) -> None:
        """Show where the structure of this name ends, as far as this slice tells; no name hides it."""
        self._marked = here.marked
        self._name.setText(f"Does {name} end here?" if here.tapering - here.marked else f"Ends of {name}")
        for side, one in self._buttons.items():
            one.setEnabled(side in here.possible)
            one.setChecked(side in here.marked)
        self.setVisible(bool(name))

    def _button(self, side: Side, text: str, key: str, help_text: str) -> QPushButton:
        made = button(text, f"{help_text} Click again to take that back. ({key})", lambda: self._on_clicked(side))
        made.setCheckable(True)
        return made

    def _on_clicked(self, side: Side) -> None:
        # The click has toggled the button already, but only the annotation document decides what is an end.
        self._buttons[side].setChecked(side in self._marked)
        self.end_requested.emit(side)
