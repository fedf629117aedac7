"""Choose a tool that edits the chosen structure as a whole, preview it, and apply or drop it."""

from __future__ import annotations

import math

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QHBoxLayout, QWidget

from knowsam.document.edit_tools import Tool, ToolUse
from napari_knowsam.panels.buttons import button
from napari_knowsam.panels.choice_box import ChoiceBox
from napari_knowsam.panels.column import PANEL_MARGINS_PX, fill_column
from napari_knowsam.panels.wheel_guard import WheelGuard
from napari_knowsam.panels.wrapped_label import WrappedLabel

_SCOPES = ("This slice", "All slices")
_HELP = {
    Tool.GROW: "Adds a margin all round the structure.",
    Tool.SHRINK: "Takes a margin off all round the structure.",
    Tool.SMOOTH: "Evens the outline out and keeps the size; over all slices, steps between them too.",
    Tool.FILL_HOLES: "Fills what the structure encloses completely.",
    Tool.KEEP_PIECE: "Click the piece that is to stay; all others go.",
    Tool.REMOVE_PIECE: "Click the piece that is to go.",
    Tool.KEEP_RANGE: "Takes away what is darker or brighter than the range.",
}
_DECIMALS = 2
_MOST_MM = 100.0
_LARGEST_GREY = 1e7


class EditPanel(QWidget):
    """A tool and its parameters; its setters never emit signals."""

    tool_chosen = Signal()
    preview_requested = Signal()
    apply_requested = Signal()
    drop_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tools = ChoiceBox("What is done to the chosen class.")
        self._tools.addItems([tool.value for tool in Tool])
        self._mm = _spin_box("How far.", 0.1, _MOST_MM, " mm")
        self._mm.setValue(1.0)
        self._lowest = _spin_box("The darkest grey value that stays.", -_LARGEST_GREY, _LARGEST_GREY)
        self._highest = _spin_box("The brightest grey value that stays.", -_LARGEST_GREY, _LARGEST_GREY)
        self._scopes = ChoiceBox("Where it is done.")
        self._scopes.addItems(_SCOPES)
        self._protect = QCheckBox("Keep other classes")
        self._protect.setToolTip("The structure does not grow into other classes.")
        self._protect.setChecked(True)
        self._preview = button("Preview", "Outline what the structure would become.", self.preview_requested.emit)
        self._apply = button("Apply", "Take the preview over. (Enter)", self.apply_requested.emit, primary=True)
        self._drop = button("Drop", "Leave the structure as it is. (Escape)", self.drop_requested.emit)
        self._message = WrappedLabel()
        self._arrange()
        self._tools.activated.connect(self._on_chosen)
        self._scopes.activated.connect(self._on_chosen)
        self._show_tool()
        self.set_preview(is_there=False)

    @property
    def tool(self) -> Tool:
        """The tool that is chosen."""
        return Tool(self._tools.currentText())

    @property
    def is_whole_volume(self) -> bool:
        """Whether all slices are edited, not only the one on the screen."""
        return bool(self._scopes.currentIndex())

    @property
    def protects(self) -> bool:
        """Whether other classes keep their pixels."""
        return self._protect.isChecked()

    def tool_use(self, point: tuple[int, int, int] | None = None) -> ToolUse:
        """Return the tool with its parameters; `point` is the voxel that was clicked."""
        return ToolUse(self.tool, self._mm.value(), point, (self._lowest.value(), self._highest.value()))

    def set_pixel_mm(self, pixel_mm: float) -> None:
        """Let margins change by the side of a pixel, beginning with two of them."""
        self._mm.setSingleStep(pixel_mm)
        # Rounded up: a margin of a little less than two pixels would be one of one.
        self._mm.setValue(math.ceil(2 * pixel_mm * 10**_DECIMALS) / 10**_DECIMALS)

    def set_grey_range(self, lowest: float, highest: float) -> None:
        """Propose a range of grey values."""
        self._lowest.setValue(lowest)
        self._highest.setValue(highest)

    def set_preview(self, *, is_there: bool) -> None:
        """Show whether there is a preview to be applied or dropped."""
        self._apply.setEnabled(is_there)
        self._drop.setEnabled(is_there)

    def set_can_drop(self) -> None:
        """Let a tool that is at work be stopped."""
        self._drop.setEnabled(True)

    def set_message(self, text: str) -> None:
        """Show a sentence; an empty one brings back what the tool does."""
        self._message.setText(text or _HELP[self.tool])

    def _on_chosen(self) -> None:
        self._show_tool()
        self.tool_chosen.emit()

    def _show_tool(self) -> None:
        self._mm.setVisible(self.tool.takes_mm)
        for widget in (self._lowest, self._highest):
            widget.setVisible(self.tool.takes_range)
        self._preview.setEnabled(not self.tool.takes_point)
        self.set_message("")

    def _arrange(self) -> None:
        what, grey, where, buttons = QHBoxLayout(), QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        what.addWidget(self._tools, 1)
        what.addWidget(self._mm)
        for widget in (self._lowest, self._highest):
            grey.addWidget(widget, 1)
        where.addWidget(self._scopes, 1)
        where.addWidget(self._protect)
        for widget in (self._preview, self._apply, self._drop):
            buttons.addWidget(widget, 1)
        fill_column(self, what, grey, where, buttons, self._message, margins_px=PANEL_MARGINS_PX)


def _spin_box(tooltip: str, lowest: float, highest: float, suffix: str = "") -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(lowest, highest)
    box.setDecimals(_DECIMALS)
    box.setSuffix(suffix)
    box.setToolTip(tooltip)
    box.setKeyboardTracking(False)
    WheelGuard(box)
    return box
