"""Ask which of several images in a file or a folder is to be opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QApplication,
    QDialog,
    QDialogButtonBox,
    QLabel,
    QMainWindow,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from knowsam.io.choice import ImageChoice, chosen

if TYPE_CHECKING:
    from knowsam.data.volume import Volume


def read_chosen(choices: Sequence[ImageChoice]) -> Volume | None:
    """Read the only image, or the one a person chooses; None if they think better of it.

    Raises
    ------
    InputError
        If it cannot be read, or there are several and no window to ask in.
    """
    if len(choices) == 1 or QApplication.instance() is None:
        return chosen(choices).read()
    dialog = ChoiceDialog(choices, _window())
    accepted = dialog.exec() == QDialog.DialogCode.Accepted
    return dialog.choice().read() if accepted else None


class ChoiceDialog(QDialog):
    """Lists images with what is known of them; the first is selected."""

    def __init__(self, choices: Sequence[ImageChoice], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Open which image?")
        self._choices = choices
        self._table = _table(choices)
        self._table.itemActivated.connect(self.accept)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Cancel, parent=self
        )
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(QLabel(f"There are {len(choices)} images."))
        layout.addWidget(self._table)
        layout.addWidget(buttons)
        self.resize(800, 300)

    def choice(self) -> ImageChoice:
        """Return the image that is selected."""
        return self._choices[self._table.indexOfTopLevelItem(self._table.currentItem())]


def _window() -> QWidget | None:
    # None is active while a file is dropped from another program; a dialog without a parent has not napari's looks.
    windows = (one for one in QApplication.topLevelWidgets() if isinstance(one, QMainWindow) and one.isVisible())
    return QApplication.activeWindow() or next(windows, None)


def _table(choices: Sequence[ImageChoice]) -> QTreeWidget:
    table = QTreeWidget()
    table.setHeaderLabels(["Image", "Slices", "Extent"])
    table.setRootIsDecorated(False)
    for choice in choices:
        item = QTreeWidgetItem(table, [choice.description, str(choice.slices or ""), choice.extent])
        item.setTextAlignment(1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    table.setCurrentItem(table.topLevelItem(0))
    for column in range(3):
        table.resizeColumnToContents(column)
    table.setColumnHidden(1, not any(choice.slices for choice in choices))
    table.setColumnHidden(2, not any(choice.extent for choice in choices))
    return table
