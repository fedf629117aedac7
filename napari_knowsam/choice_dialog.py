"""Ask which of several images in a file or a folder to open."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtWidgets import (
    QApplication,
    QDialog,
    QDialogButtonBox,
    QLabel,
    QListWidget,
    QMainWindow,
    QVBoxLayout,
    QWidget,
)

from knowsam.io.choice import ImageChoice, chosen


def ask_choice(choices: Sequence[ImageChoice]) -> ImageChoice | None:
    """Return the only image, or the one a person chooses; None if they cancel.

    Raises
    ------
    InputError
        If there are several and no window to ask in.
    """
    if len(choices) == 1 or QApplication.instance() is None:
        return chosen(choices)
    dialog = ChoiceDialog(choices, main_window())
    return dialog.choice() if dialog.exec() == QDialog.DialogCode.Accepted else None


class ChoiceDialog(QDialog):
    """Lists images with what is known of them; the first is selected."""

    def __init__(self, choices: Sequence[ImageChoice], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Open which image?")
        self._choices = choices
        self._list = _list(choices)
        self._list.itemActivated.connect(self.accept)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Cancel, parent=self
        )
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(QLabel(f"There are {len(choices)} images."))
        layout.addWidget(self._list)
        layout.addWidget(buttons)
        self.resize(600, 300)

    def choice(self) -> ImageChoice:
        """Return the image that is selected."""
        return self._choices[self._list.currentRow()]


def main_window() -> QWidget | None:
    """Return the window that dialogs belong to."""
    # None is active while a file is dropped from another program; a dialog without a parent has not napari's looks.
    windows = (one for one in QApplication.topLevelWidgets() if isinstance(one, QMainWindow) and one.isVisible())
    return QApplication.activeWindow() or next(windows, None)


def _list(choices: Sequence[ImageChoice]) -> QListWidget:
    listed = QListWidget()
    listed.addItems([str(choice) for choice in choices])
    listed.setCurrentRow(0)
    return listed
