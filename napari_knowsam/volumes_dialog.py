"""A small window with the measures of each class."""

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
    from knowsam.data.measurements import Measurement
    from knowsam.data.volume import Volume


_HEAD = ("Class", "Volume (ml)", "Diameter (mm)", "Pieces", "Grey mean", "Grey SD")


class VolumesDialog(QDialog):
    """Lists classes with their measures; the list can be copied into a report.

    Parameters
    ----------
    labels : what was measured.
    rows : each class with its measures.
    """

    def __init__(
        self, labels: Volume, rows: Sequence[tuple[LabelClass, Measurement]], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Volume of each class: {labels.name}")
        self._rows = [_HEAD, *(_row(*row) for row in rows)]
        voxel = " x ".join(f"{mm:.4g}" for mm in labels.spacing_mm)
        layout = QVBoxLayout(self)
        layout.addWidget(_table(self._rows))
        layout.addWidget(
            QLabel(f"Counted in voxels of {voxel} mm (z, y, x). Diameters are the largest in any direction.")
        )
        layout.addWidget(self._buttons())

    def text(self) -> str:
        """Return the table with tabs between its columns, as spreadsheets take it."""
        return "\n".join("\t".join(row) for row in self._rows)

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


def _row(label_class: LabelClass, measures: Measurement) -> tuple[str, ...]:
    grey = ("", "") if measures.grey_mean is None else (f"{measures.grey_mean:.2f}", f"{measures.grey_sd:.2f}")
    return label_class.name, f"{measures.volume_ml:.2f}", f"{measures.diameter_mm:.1f}", str(measures.pieces), *grey


def _table(rows: Sequence[tuple[str, ...]]) -> QTreeWidget:
    table = QTreeWidget()
    table.setHeaderLabels(rows[0])
    table.setRootIsDecorated(False)
    for row in rows[1:]:
        item = QTreeWidgetItem(table, row)
        for column in range(1, len(row)):
            item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    for column in range(table.columnCount()):
        table.resizeColumnToContents(column)
    return table
