"""What a training begins with."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from napari_knowsam.panels.choice_box import ChoiceBox

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget


class Start(Enum):
    """Which networks a training begins with."""

    LAST = "last"
    MODEL = "model"
    NEW = "new"


_TEXTS = {Start.LAST: "The last training", Start.MODEL: "Model", Start.NEW: "New networks"}
_TOOLTIPS = {
    Start.LAST: "Go on where the last training of this volume ended.",
    Start.MODEL: "Go on from the model that was opened.",
    Start.NEW: "Begin from scratch.",
}


class StartChoice(ChoiceBox):
    """A combo box of what there is to begin with; a wish is kept until it can be had.

    Without a wish, a training goes on with the last one, or else with the opened model.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("What the training begins with.", parent)
        self._wish = Start.LAST
        self._has_last, self._model_name = False, ""
        self.activated.connect(self._on_activated)
        self._offer()

    def start(self) -> Start:
        """Return what was chosen, or what there is instead."""
        return Start(self.currentData())

    def set_has_last(self, has_last: bool) -> None:
        """Offer the last training, or not."""
        self._has_last = has_last
        self._offer()

    def set_model(self, name: str) -> None:
        """Offer an opened model, and choose it."""
        self._model_name, self._wish = name, Start.MODEL
        self._offer()

    def go_on(self) -> None:
        """Go on with the training that begins, once it has ended, unless new networks are wished for."""
        if self._wish is Start.MODEL:
            self._wish = Start.LAST

    def _offer(self) -> None:
        there = {Start.LAST: self._has_last, Start.MODEL: bool(self._model_name), Start.NEW: True}
        self.clear()
        for start in (start for start, is_there in there.items() if is_there):
            text = f"{_TEXTS[start]} {self._model_name}" if start is Start.MODEL else _TEXTS[start]
            self.add_choice(text, start.value, _TOOLTIPS[start])
        self.setEnabled(self.count() > 1)
        self.setCurrentIndex(max(self.findData(self._wish.value), 0))

    def _on_activated(self) -> None:
        self._wish = self.start()
