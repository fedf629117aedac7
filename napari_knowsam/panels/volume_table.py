"""How many millilitres each class takes, and how good its outline probably is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QFrame, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass
from napari_knowsam.panels.color_swatch import swatch_icon

if TYPE_CHECKING:
    from knowsam.data.measurements import Measurement

_DICE_HELP = (
    "How far the result between your painted slices and the truth probably overlap: 1 is perfect. It is judged by "
    "predicting each painted slice from the others."
)
_ENDS_HELP = (
    " Part of it lies beyond the outermost slices that you painted it in, and nobody can tell whether that is right: "
    "mark its first and its last slice, or paint further out."
)
_ROW_PX = 22
_MOST_ROWS_SHOWN = 8


class VolumeTable(QTableWidget):
    """One row a class: colour, name, probable Dice and volume; its tooltip has what else was measured.

    Attributes
    ----------
    looked_at : the mouse has come over the table.
    """

    looked_at = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 3, parent)
        self.setAccessibleName("Volumes")
        self.setToolTip("Volume of each class in the mask as it would be exported.")
        self._measured: dict[int, Measurement] = {}
        self._values: list[int] = []
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
        for column in (1, 2):
            columns.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.set_volumes((), {}, ())

    def set_volumes(
        self, rows: Sequence[tuple[LabelClass, float]], dice: Mapping[int, float | None], open_ended: Collection[int]
    ) -> None:
        """Show these volumes in ml, and the probable Dice by label value; background has no row.

        Parameters
        ----------
        dice : None for a class without an estimate; classes that are absent were not measured.
        open_ended : label values of classes that go on beyond the outermost slices they are painted in.
        """
        shown = [(one, volume_ml) for one, volume_ml in rows if one.value != BACKGROUND_CLASS.value]
        self.setRowCount(len(shown))
        for row, (label_class, volume_ml) in enumerate(shown):
            name = QTableWidgetItem(swatch_icon(label_class.color), label_class.name)
            is_open = label_class.value in open_ended
            estimate = QTableWidgetItem(_dice_text(dice, label_class.value, is_open))
            estimate.setToolTip(_DICE_HELP + _ENDS_HELP * is_open)
            amount = QTableWidgetItem(volume_text(volume_ml))
            amount.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            for column, item in enumerate((name, estimate, amount)):
                self.setItem(row, column, item)
        self._values = [label_class.value for label_class, _ in shown]
        self._show_measurements()
        self.setFixedHeight(min(len(shown), _MOST_ROWS_SHOWN) * _ROW_PX + 2)
        self.setVisible(bool(shown))

    def set_measurements(self, measurements: Sequence[Measurement]) -> None:
        """Show in the tooltips what was measured."""
        self._measured = {one.value: one for one in measurements}
        self._show_measurements()

    def enterEvent(self, event: QEvent | None) -> None:  # noqa: D102 - Qt's name
        super().enterEvent(event)
        self.looked_at.emit()

    def _show_measurements(self) -> None:
        for row, value in enumerate(self._values):
            name, _, amount = (self.item(row, column) for column in range(3))
            text = f"{name.text()}: {amount.text()}{_measured_text(self._measured.get(value))}"
            name.setToolTip(text)
            amount.setToolTip(text)


def _measured_text(measurement: Measurement | None) -> str:
    if measurement is None or measurement.grey_mean is None:
        return ""
    return (
        f"\nLargest diameter: {measurement.diameter_mm:.1f} mm, in any direction{_across(measurement.pieces)}"
        f"\nGrey values: {measurement.grey_mean:.5g} ± {measurement.grey_sd:.3g} (mean ± standard deviation)"
    )


def _across(pieces: int) -> str:
    return "" if pieces == 1 else f", across {pieces} pieces"


def _dice_text(dice: Mapping[int, float | None], value: int, is_open: bool) -> str:
    if value not in dice:
        return ""
    known = dice[value]
    return ("Dice: cannot tell" if known is None else f"Dice ≈ {known:.2f}") + ", ends?" * is_open


def volume_text(volume_ml: float) -> str:
    """Return a volume with three digits that matter.

    >>> volume_text(1234.56), volume_text(2.345), volume_text(0.0321)
    ('1234.6 ml', '2.35 ml', '0.032 ml')
    """
    decimals = 1 if volume_ml >= 10 else 2 if volume_ml >= 1 else 3
    return f"{volume_ml:.{decimals}f} ml"
