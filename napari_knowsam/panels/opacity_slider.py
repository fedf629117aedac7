"""How strongly the prediction covers the image."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSlider, QWidget

from napari_knowsam.panels.wheel_guard import WheelGuard


class OpacitySlider(QWidget):
    """A slider from 0 to 100 % with its value beside it."""

    opacity_chosen = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider = QSlider(Qt.Orientation.Horizontal)
        self._slider.setRange(0, 100)
        self._slider.setAccessibleName("Opacity")
        WheelGuard(self._slider)
        self._slider.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setToolTip("How strongly the prediction covers the image.")
        self._percent = QLabel()
        self._percent.setMinimumWidth(self._percent.fontMetrics().horizontalAdvance("100 % "))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(QLabel("Opacity"))
        row.addWidget(self._slider, 1)
        row.addWidget(self._percent)
        self._slider.valueChanged.connect(self._on_value_changed)
        self.set_opacity(0.5)

    def set_opacity(self, opacity: float) -> None:
        """Show an opacity in [0, 1]."""
        with QSignalBlocker(self._slider):
            self._slider.setValue(round(100 * opacity))
        self._show_percent()

    def _show_percent(self) -> None:
        self._percent.setText(f"{self._slider.value()} %")

    def _on_value_changed(self, percent: int) -> None:
        self._show_percent()
        self.opacity_chosen.emit(percent / 100)
