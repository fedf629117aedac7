"""The model that was opened, and buttons to apply it."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_knowsam.panels.buttons import button
from napari_knowsam.panels.column import fill_column
from napari_knowsam.panels.menu_button import MenuButton
from napari_knowsam.panels.wrapped_label import WrappedLabel


class ModelBox(QWidget):
    """What is known of the opened model; hidden while there is none."""

    apply_requested = Signal()
    apply_to_all_requested = Signal()
    apply_to_folder_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._facts = WrappedLabel()
        self._apply = button(
            "Apply to this volume",
            "Let the model predict every slice that you have not painted; nothing is trained.",
            self.apply_requested.emit,
        )
        self._others = MenuButton(
            "To others",
            "Apply the model to several images, one after the other.",
            {
                "All open images": self.apply_to_all_requested.emit,
                "A folder of images…": self.apply_to_folder_requested.emit,
            },
        )
        row = QHBoxLayout()
        row.addWidget(self._apply, 1)
        row.addWidget(self._others)
        fill_column(self, self._facts, row)
        self.hide()

    def set_facts(self, facts: str, card: str) -> None:
        """Show a model: its name and what it was trained on; its whole card under the mouse."""
        self._facts.setText(facts)
        self._facts.setToolTip(card)
        self.show()
