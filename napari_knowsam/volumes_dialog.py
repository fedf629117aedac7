"""A small window with the volume of each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QApplication,
    QDialog,
    QDialogButtonBox,
    QLabel,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelClass
    from knowsam.data.volume import Volume


class VolumesDialog(QDialog):
    """Lists classes with their volumes; the list can be copied into a report.

    Parameters
    ----------
    labels : what was measured.
    rows : each class with its volume in ml.
    """

    def __init__(self, labels: Volume, rows: Sequence[tuple[LabelClass, float]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Volume of each class: {labels.name}")
        self._rows = rows
        voxel = " x ".join(f"{mm:.4g}" for mm in labels.spacing_mm)
        layout = QVBoxLayout(self)
        layout.addWidget(_table(rows))
        layout.addWidget(QLabel(f"Counted in voxels of {voxel} mm (z, y, x)."))
        layout.addWidget(self._buttons())

    def text(self) -> str:
        """Return the table with tabs between its columns, as spreadsheets take it."""
        lines = ["class\tvolume (ml)", *(f"{row_class.name}\t{ml:.2f}" for row_class, ml in self._rows)]
        return "\n".join(lines)

    def _buttons(self) -> QDialogButtonBox:
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        copy = QPushButton("Copy")
        copy.setToolTip("Copy the table, to paste it into a report or a spreadsheet")
        copy.clicked.connect(self._on_copy)
        buttons.addButton(copy, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.rejected.connect(self.close)
        return buttons

    def _on_copy(self) -> None:
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self.text())


def _table(rows: Sequence[tuple[LabelClass, float]]) -> QTreeWidget:
    table = QTreeWidget()
    table.setHeaderLabels(["Class", "Volume (ml)"])
    table.setRootIsDecorated(False)
    for label_class, ml in rows:
        item = QTreeWidgetItem(table, [label_class.name, f"{ml:.2f}"])
        item.setTextAlignment(1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    table.resizeColumnToContents(0)
    return table
