"""How large the brush is, in mm, and whether it stops at edges."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QSlider, QWidget

from napari_knowsam.panels.wheel_guard import WheelGuard

_MOST_PX = 60


class BrushSize(QWidget):
    """A slider of whole pixels with the diameter in mm beside it, and the choice between all pixels and like ones."""

    size_chosen = Signal(float)
    edges_toggled = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pixel_mm = 1.0
        self._slider = QSlider(Qt.Orientation.Horizontal)
        self._slider.setRange(1, _MOST_PX)
        self._slider.setAccessibleName("Brush")
        WheelGuard(self._slider)
        self._slider.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setToolTip("Diameter of the brush ([ and ] make it smaller and larger).")
        self._mm = QLabel()
        self._mm.setMinimumWidth(self._mm.fontMetrics().horizontalAdvance("00.0 mm "))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(QLabel("Brush"))
        row.addWidget(self._slider, 1)
        row.addWidget(self._mm)
        self._edges = QCheckBox("Edges")
        self._edges.setToolTip(
            "Stop at edges: paint only what looks like the grey values under the middle of the brush."
        )
        self._edges.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        row.addWidget(self._edges)
        self._edges.toggled.connect(self.edges_toggled)
        self._slider.valueChanged.connect(self._on_value_changed)

    def set_size(self, diameter_mm: float, pixel_mm: float) -> None:
        """Show a diameter, and that it changes by the side of a pixel."""
        self._pixel_mm = pixel_mm
        with QSignalBlocker(self._slider):
            self._slider.setValue(round(diameter_mm / pixel_mm))
        self._show(diameter_mm)

    def _show(self, diameter_mm: float) -> None:
        self._mm.setText(f"{diameter_mm:.1f} mm" if diameter_mm < 10 else f"{diameter_mm:.0f} mm")

    def _on_value_changed(self, diameter_px: int) -> None:
        self._show(diameter_px * self._pixel_mm)
        self.size_chosen.emit(diameter_px * self._pixel_mm)
