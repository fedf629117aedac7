"""How many millilitres each class takes."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QFrame, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass
from napari_knowsam.panels.color_swatch import swatch_icon

_ROW_PX = 22
_MOST_ROWS_SHOWN = 8


class VolumeTable(QTableWidget):
    """One row a class: colour, name and volume."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 2, parent)
        self.setAccessibleName("Volumes")
        self.setToolTip("Volume of each class in the mask as it would be exported.")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        rows, columns = self.verticalHeader(), self.horizontalHeader()
        assert rows is not None
        assert columns is not None
        rows.setVisible(False)
        rows.setMinimumSectionSize(_ROW_PX)
        rows.setDefaultSectionSize(_ROW_PX)
        columns.setVisible(False)
        columns.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        columns.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.set_volumes(())

    def set_volumes(self, rows: Sequence[tuple[LabelClass, float]]) -> None:
        """Show these volumes in ml; background has no row."""
        shown = [(one, volume_ml) for one, volume_ml in rows if one.value != BACKGROUND_CLASS.value]
        self.setRowCount(len(shown))
        for row, (label_class, volume_ml) in enumerate(shown):
            name = QTableWidgetItem(swatch_icon(label_class.color), label_class.name)
            name.setToolTip(label_class.name)
            amount = QTableWidgetItem(volume_text(volume_ml))
            amount.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.setItem(row, 0, name)
            self.setItem(row, 1, amount)
        self.setFixedHeight(min(len(shown), _MOST_ROWS_SHOWN) * _ROW_PX + 2)
        self.setVisible(bool(shown))


def volume_text(volume_ml: float) -> str:
    """Return a volume with three digits that matter.

    >>> volume_text(1234.56), volume_text(2.345), volume_text(0.0321)
    ('1234.6 ml', '2.35 ml', '0.032 ml')
    """
    decimals = 1 if volume_ml >= 10 else 2 if volume_ml >= 1 else 3
    return f"{volume_ml:.{decimals}f} ml"
