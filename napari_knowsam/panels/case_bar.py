"""Which image of a project is worked on, how far all of them are, and on to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from qtpy.QtCore import QModelIndex, QSize, Qt, Signal
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QStyledItemDelegate,
    QStyleOptionComboBox,
    QStyleOptionViewItem,
    QWidget,
)

from knowsam.project.case import CaseState
from napari_knowsam.panels.buttons import button, tightened
from napari_knowsam.panels.choice_box import ChoiceBox
from napari_knowsam.panels.menu_button import MenuButton

if TYPE_CHECKING:
    from knowsam.project.case import ProjectCase

_PICTURE_PX = 48
_SIGNS = {CaseState.TO_DO: "○", CaseState.IN_WORK: "◐", CaseState.DONE: "●"}


class _Pictures(QStyledItemDelegate):
    """Makes the pictures in the list of a combo box as large as they are."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        super().initStyleOption(option, index)
        option.decorationSize = QSize(_PICTURE_PX, _PICTURE_PX)


class _CaseBox(ChoiceBox):
    """Shows pictures in its list alone: for one in the box itself there is no room."""

    def __init__(self, tooltip: str) -> None:
        super().__init__(tooltip)
        self.setItemDelegate(_Pictures(self))

    def initStyleOption(self, option: QStyleOptionComboBox | None) -> None:
        super().initStyleOption(option)
        if option is not None:
            option.currentIcon = QIcon()


class CaseBar(QWidget):
    """The images of a project with their states and pictures; hidden while there is no project."""

    case_chosen = Signal(int)
    done_requested = Signal()
    next_requested = Signal()
    export_requested = Signal(object)
    close_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._cases = _CaseBox("The images of the project: ○ to do, ◐ in work, ● done.")
        self._cases.setPlaceholderText("None of the project")
        self._cases.activated.connect(self.case_chosen)
        self._count = QLabel()
        done = button(
            "Done", "All of this image is painted, corrected or accepted: on to the next.", self.done_requested.emit
        )
        next_case = button(
            "Next", "Open the next image that is not done (Alt+N); this one is kept.", self.next_requested.emit
        )
        more = MenuButton(
            "…",
            "Do something with the whole project.",
            {"Export the masks of all done…": self._on_export_clicked, "Close the project": self.close_requested.emit},
        )
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 4, 6, 2)
        row.setSpacing(4)
        row.addWidget(self._count)
        row.addWidget(self._cases, 1)
        for one in (done, next_case, more):
            row.addWidget(tightened(one))
        self.hide()

    def set_cases(
        self,
        cases: Sequence[ProjectCase],
        pictures: Sequence[Path],
        dice: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """Show the images of a project; without any, there is no project.

        Parameters
        ----------
        pictures : of each image, where it may be missing.
        dice : of what is proposed for finished images from the others, by fingerprint, as far as known.
        """
        self._cases.clear()
        for case, picture in zip(cases, pictures, strict=True):
            about = f"{case.name}: {case.state.value}{_in_words(dice.get(case.fingerprint))}"
            self._cases.add_choice(f"{_SIGNS[case.state]} {case.name}", case.path, about)
            self._cases.setItemIcon(self._cases.count() - 1, _icon(picture))
        self.set_current(None)
        done = sum(case.state is CaseState.DONE for case in cases)
        self._count.setText(f"{done}/{len(cases)}")
        self._count.setToolTip(f"{done} of {len(cases)} images are done.")
        self.setVisible(bool(cases))

    def set_current(self, row: int | None) -> None:
        """Show which of the images is on the screen; None if another one is."""
        self._cases.setCurrentIndex(-1 if row is None else row)

    def _on_export_clicked(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Export the masks of all done to")
        if chosen:
            self.export_requested.emit(Path(chosen))


def _in_words(dice: float | None) -> str:
    """Say how well others propose a finished image.

    >>> _in_words(0.834)
    ', and proposed from the others with Dice 0.83. If that is low beside others, look through its mask.'
    """
    if dice is None:
        return ""
    return f", and proposed from the others with Dice {dice:.2f}. If that is low beside others, look through its mask."


def _icon(picture: Path) -> QIcon:
    """Return the picture in a file as an icon; a blank one of the same size where there is none."""
    pixmap = QPixmap(str(picture))
    if pixmap.isNull():
        pixmap = QPixmap(_PICTURE_PX, _PICTURE_PX)
        pixmap.fill(Qt.GlobalColor.transparent)
    return QIcon(pixmap)
