"""How long to train."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QSpinBox, QWidget

from knowsam.training.schedule import Budget
from napari_knowsam.panels.choice_box import ChoiceBox
from napari_knowsam.panels.wheel_guard import WheelGuard

_BUDGETS_MIN = (
    ("Quick (learns 1 minute)", 1),
    ("Standard (learns 5 minutes)", 5),
    ("Thorough (learns 30 minutes)", 30),
    ("Own", None),
)

_HELP = (
    "How long to learn. Getting ready before and bringing all slices up to date afterwards come on top, often half a "
    "minute. Time spent paused does not count."
)


class BudgetChoice(QWidget):
    """A combo box of durations; an own one is typed in minutes."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._choice = ChoiceBox(_HELP)
        for text, minutes in _BUDGETS_MIN:
            self._choice.add_choice(text, minutes)
        self._minutes = QSpinBox()
        self._minutes.setRange(1, 24 * 60)
        self._minutes.setValue(10)
        self._minutes.setSuffix(" min")
        self._minutes.setToolTip("Minutes of training.")
        WheelGuard(self._minutes)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._choice, 1)
        row.addWidget(self._minutes)
        self._choice.currentIndexChanged.connect(self._on_index_changed)
        self._minutes.valueChanged.connect(self._on_minutes_changed)
        self._on_index_changed(0)

    def budget(self) -> Budget:
        """Return the chosen amount of training."""
        minutes = self._choice.currentData()
        return Budget(seconds=60.0 * (self._minutes.value() if minutes is None else minutes))

    def _on_index_changed(self, _row: int) -> None:
        self._minutes.setVisible(self._choice.currentData() is None)
        self.changed.emit()

    def _on_minutes_changed(self) -> None:
        if self._choice.currentData() is None:
            self.changed.emit()
