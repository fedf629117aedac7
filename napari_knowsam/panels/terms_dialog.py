"""What each class stands for, asked before a DICOM segmentation is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFrame,
    QGridLayout,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_knowsam.panels.color_swatch import swatch_icon
from napari_knowsam.panels.small_font import small_font
from napari_knowsam.panels.term_box import TermBox
from napari_knowsam.panels.wrapped_label import WrappedLabel

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelClass
    from knowsam.data.segment_terms import SegmentTerm

PATIENT_DATA = (
    "The file belongs to the patient: names, dates and numbers of the patient and the study are copied into it from "
    "the DICOM series."
)


_OWN_WORDS = "your own words"
_HIGHEST_PX = 360
_WIDEST_NAME_PX = 200


def ask_terms(parent: QWidget | None, classes: Sequence[LabelClass]) -> dict[int, SegmentTerm] | None:
    """Let the user say what the label values stand for; None if they think better of the export."""
    dialog = TermsDialog(classes, parent)
    return dialog.terms() if dialog.exec() else None


class TermsDialog(QDialog):
    """A row a class, with a box for its term and the code it gets.

    Parameters
    ----------
    classes : those that are exported, without background.
    """

    def __init__(self, classes: Sequence[LabelClass], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Export as DICOM segmentation")
        self._boxes = {label_class.value: TermBox(label_class.name) for label_class in classes}
        column = QVBoxLayout(self)
        column.addWidget(WrappedLabel("What do the classes stand for? Known terms are coded in SNOMED CT."))
        column.addWidget(_scrolled(self._table(classes)), 1)
        column.addWidget(WrappedLabel(PATIENT_DATA))
        column.addWidget(self._buttons())

    def terms(self) -> dict[int, SegmentTerm]:
        """Return the chosen term of each label value."""
        return {value: box.term() for value, box in self._boxes.items()}

    def _table(self, classes: Sequence[LabelClass]) -> QWidget:
        table = QWidget(self)
        grid = QGridLayout(table)
        grid.setContentsMargins(0, 4, 0, 4)
        grid.setColumnStretch(2, 1)
        for row, label_class in enumerate(classes):
            swatch, box, code = QLabel(), self._boxes[label_class.value], QLabel(table)
            swatch.setPixmap(swatch_icon(label_class.color).pixmap(14, 14))
            code.ensurePolished()
            code.setFont(small_font(code))
            box.currentTextChanged.connect(lambda _text, box=box, code=code: _show_code(box, code))
            _show_code(box, code)
            code.setMinimumWidth(code.fontMetrics().horizontalAdvance("SNOMED CT 0123456789"))
            for place, widget in enumerate((swatch, _name(label_class.name), box, code)):
                grid.addWidget(widget, row, place)
        grid.setRowStretch(len(classes), 1)
        return table

    def _buttons(self) -> QDialogButtonBox:
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        export = buttons.addButton("Export", QDialogButtonBox.ButtonRole.AcceptRole)
        assert export is not None
        export.setDefault(True)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        return buttons


def _name(name: str) -> QLabel:
    shown = QLabel()
    shown.setText(shown.fontMetrics().elidedText(name, Qt.TextElideMode.ElideMiddle, _WIDEST_NAME_PX))
    shown.setToolTip(name)
    return shown


def _show_code(box: TermBox, code: QLabel) -> None:
    term = box.term()
    code.setText(f"SNOMED CT {term.type.value}" if term.is_standard else _OWN_WORDS)


def _scrolled(table: QWidget) -> QScrollArea:
    area = QScrollArea(table.parentWidget())
    area.setWidget(table)
    # Only now they have the fonts of the window, which say how much room is needed.
    for widget in table.findChildren(QWidget):
        widget.ensurePolished()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    bar = area.verticalScrollBar()
    assert bar is not None
    area.setMinimumSize(table.sizeHint().width() + bar.sizeHint().width(), min(table.sizeHint().height(), _HIGHEST_PX))
    return area
