"""The classes one can paint: colour, name, key, and a button to remove each."""

from __future__ import annotations

from dataclasses import dataclass

from qtpy.QtCore import QEvent, QObject, QSignalBlocker, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QFrame,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QToolButton,
    QWidget,
)

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass
from napari_knowsam.panels.color_swatch import TRANSPARENT, ColorSwatch, swatch_icon

_COLOR, _NAME, _KEY, _REMOVE = range(4)
_KEYS = 9
_ROW_PX = 23
_MOST_ROWS_SHOWN = 7
_BACKGROUND_HELP = (
    "Paints what you know to be none of the classes. Needed only in partly painted slices, where unpainted pixels "
    "count as unlabelled."
)
_OWN_KEYS = (
    Qt.Key.Key_Up,
    Qt.Key.Key_Down,
    Qt.Key.Key_PageUp,
    Qt.Key.Key_PageDown,
    Qt.Key.Key_F2,
    Qt.Key.Key_Tab,
    Qt.Key.Key_Backtab,
)


@dataclass(frozen=True)
class _Cells:
    """What one row shows; background has neither `swatch` nor `remove` in the table."""

    icon: QTableWidgetItem
    name: QTableWidgetItem
    key: QTableWidgetItem
    swatch: ColorSwatch
    remove: QToolButton

    def show_texts(self, name: str, key: str, help_text: str) -> None:
        """Show texts; one that stays as it is is not set, because that would overwrite a name being typed."""
        for item, text in ((self.name, name), (self.key, key)):
            if item.text() != text:
                item.setText(text)
        for item in (self.icon, self.name, self.key):
            item.setToolTip(help_text)


class ClassTable(QTableWidget):
    """One row a class; the first row is the brush for known background.

    A click chooses a class even if it is chosen already: whoever clicks wants to paint. The rows are changed in place,
    so that a name being typed survives a change of the other classes.
    """

    class_chosen = Signal(int)
    class_renamed = Signal(int, str)
    class_recolored = Signal(int, object)
    removal_requested = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 4, parent)
        self._classes: tuple[LabelClass, ...] = ()
        self._cells: list[_Cells] = []
        self._brush_value = BACKGROUND_CLASS.value
        self.setAccessibleName("Classes")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed)
        self._arrange_headers()
        self._fit_height()
        self.currentCellChanged.connect(self._on_current_cell_changed)
        self.cellClicked.connect(self._on_cell_clicked)
        self.itemChanged.connect(self._on_item_changed)

    def set_classes(self, classes: tuple[LabelClass, ...], brush_value: int) -> None:
        """Show these classes, background first; `brush_value` is the label that paints known background."""
        chosen = self.chosen_value()
        with QSignalBlocker(self):
            self._classes, self._brush_value = classes, brush_value
            while self.rowCount() > len(classes):
                self._remove_last_row()
            while self.rowCount() < len(classes):
                self._add_row()
            self._show_background()
            for row in range(1, len(classes)):
                self._show_class(row)
            self._fit_height()
        self.select_class(chosen)

    def select_class(self, value: int | None) -> None:
        """Highlight the row of a label value; a value without a row highlights none."""
        row = self._values().index(value) if value in self._values() else -1
        with QSignalBlocker(self):
            self.setCurrentCell(row, _NAME if row >= 0 else -1)

    def chosen_value(self) -> int | None:
        """Return the label value of the highlighted row, None if there is none."""
        row = self.currentRow()
        return self._values()[row] if 0 <= row < len(self._classes) else None

    def ask_color(self, label_class: LabelClass) -> tuple[int, int, int] | None:
        """Let the user choose a colour; None if they think better of it."""
        before = QColor(*label_class.color)
        chosen = QColorDialog.getColor(before, self, f"Colour of {label_class.name}")
        return (chosen.red(), chosen.green(), chosen.blue()) if chosen.isValid() else None

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Take the arrow keys, F2 and Delete; leave letters and digits to the viewer's shortcuts."""
        if event is None:
            return
        if event.key() == Qt.Key.Key_Delete and self._can_remove(self.currentRow()):
            self.removal_requested.emit(self._classes[self.currentRow()].value)
        elif event.key() in _OWN_KEYS:
            super().keyPressEvent(event)
        else:
            event.ignore()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Choose no class only because the keyboard has come to one of its buttons, as Qt would."""
        if event is not None and event.type() == QEvent.Type.FocusIn and isinstance(watched, QToolButton):
            return False
        return bool(super().eventFilter(watched, event))

    def _arrange_headers(self) -> None:
        rows, columns = self.verticalHeader(), self.horizontalHeader()
        assert rows is not None
        assert columns is not None
        rows.setVisible(False)
        rows.setDefaultSectionSize(_ROW_PX)
        rows.setMinimumSectionSize(_ROW_PX)
        columns.setVisible(False)
        columns.setMinimumSectionSize(_ROW_PX)
        columns.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        columns.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Stretch)
        for column, width_px in ((_COLOR, 30), (_KEY, 52), (_REMOVE, 30)):
            self.setColumnWidth(column, width_px)

    def _values(self) -> tuple[int, ...]:
        """Return the label value that each row paints."""
        return (self._brush_value, *(label_class.value for label_class in self._classes[1:]))

    def _can_remove(self, row: int) -> bool:
        return row > 0 and len(self._classes) > 2

    def _add_row(self) -> None:
        row = self.rowCount()
        self.insertRow(row)
        cells = _Cells(QTableWidgetItem(), QTableWidgetItem(), QTableWidgetItem(), ColorSwatch(), _remove_button())
        for column, item in ((_COLOR, cells.icon), (_NAME, cells.name), (_KEY, cells.key)):
            if column != _NAME or row == 0:
                item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
            self.setItem(row, column, item)
        if row > 0:
            cells.swatch.clicked.connect(lambda _checked=False: self._on_swatch_clicked(row))
            cells.remove.clicked.connect(lambda _checked=False: self._on_remove_clicked(row))
            self.setCellWidget(row, _COLOR, cells.swatch)
            self.setCellWidget(row, _REMOVE, cells.remove)
        self._cells.append(cells)

    def _remove_last_row(self) -> None:
        self._cells.pop()
        self.removeRow(self.rowCount() - 1)

    def _show_background(self) -> None:
        cells = self._cells[0]
        cells.icon.setIcon(swatch_icon(BACKGROUND_CLASS.color, hatched=True))
        cells.show_texts("Background", "", _BACKGROUND_HELP)

    def _show_class(self, row: int) -> None:
        label_class, cells = self._classes[row], self._cells[row]
        key = f"Alt+{row}" if row <= _KEYS else ""
        paint_help = f" Press {key} to paint it," if key else " Press"
        cells.show_texts(
            label_class.name,
            key,
            f"{label_class.name}: label value {label_class.value}.{paint_help} F2 or double-click to rename it.",
        )
        cells.swatch.set_color(label_class.color)
        cells.swatch.setToolTip(f"Change the colour of {label_class.name}")
        cells.remove.setEnabled(self._can_remove(row))
        cells.remove.setToolTip(
            f"Remove {label_class.name} (Delete)" if self._can_remove(row) else "The last class cannot be removed."
        )

    def _fit_height(self) -> None:
        self.setFixedHeight(min(max(self.rowCount(), 2), _MOST_ROWS_SHOWN) * _ROW_PX + 2)

    def _on_current_cell_changed(self, row: int, _column: int, row_before: int, _column_before: int) -> None:
        if row != row_before and row >= 0:
            self.class_chosen.emit(self._values()[row])

    def _on_cell_clicked(self, row: int, _column: int) -> None:
        self.class_chosen.emit(self._values()[row])

    def _on_item_changed(self, item: QTableWidgetItem) -> None:
        before, name = self._classes[item.row()], item.text().strip()
        if name == before.name:
            return
        if name:
            self.class_renamed.emit(before.value, name)
        else:
            with QSignalBlocker(self):
                item.setText(before.name)

    def _on_remove_clicked(self, row: int) -> None:
        self.removal_requested.emit(self._classes[row].value)

    def _on_swatch_clicked(self, row: int) -> None:
        color = self.ask_color(self._classes[row])
        if color is not None:
            self.class_recolored.emit(self._classes[row].value, color)


def _remove_button() -> QToolButton:
    button = QToolButton()
    button.setText("✕")
    button.setAutoRaise(True)
    button.setStyleSheet(TRANSPARENT)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button
