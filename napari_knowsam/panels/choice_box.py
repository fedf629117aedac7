"""A combo box for a narrow panel beside a canvas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QSizePolicy, QStyle, QStyleOptionComboBox, QStylePainter, QWidget

if TYPE_CHECKING:
    from qtpy.QtGui import QPaintEvent, QWheelEvent


_TEXT_MARGIN_PX = 2


class ChoiceBox(QComboBox):
    """Never wider than its place, never changed by scrolling past it, and no thief of the viewer's keys.

    A click does not give it the keyboard focus, so that keys keep going to the canvas; Tab does.

    Parameters
    ----------
    tooltip : what is chosen here.
    """

    def __init__(self, tooltip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setToolTip(tooltip)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    def show_names(self, names: Sequence[str], current: str | None) -> None:
        """Offer these names and show the current one; None shows the placeholder."""
        if names != [self.itemText(row) for row in range(self.count())]:
            self.clear()
            self.addItems(names)
        self.setCurrentIndex(-1 if current is None else self.findText(current))
        self.setEnabled(bool(names))

    def add_choice(self, text: str, value: Any, tooltip: str = "") -> None:
        """Append one choice that stands for a value."""
        self.addItem(text, value)
        self.setItemData(self.count() - 1, tooltip or None, Qt.ItemDataRole.ToolTipRole)

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Leave the wheel to the scrolled panel."""
        if event is not None:
            event.ignore()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw as any combo box, but with an ellipsis in the middle of a text that does not fit."""
        painter = QStylePainter(self)
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        if self.currentIndex() < 0:
            option.currentText = self.placeholderText()
        style = self.style()
        assert style is not None
        field = style.subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self
        )
        option.currentText = self.fontMetrics().elidedText(
            option.currentText, Qt.TextElideMode.ElideMiddle, field.width() - 2 * _TEXT_MARGIN_PX
        )
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
        painter.end()
