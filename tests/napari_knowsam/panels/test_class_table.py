from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QFocusEvent, QKeyEvent
from qtpy.QtWidgets import QApplication, QLineEdit, QToolButton

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass
from napari_knowsam.panels.class_table import ClassTable

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

BRUSH = 255
LIVER, SPLEEN = LabelClass(2, "liver", (230, 75, 53)), LabelClass(5, "spleen", (77, 187, 213))
CLASSES = (BACKGROUND_CLASS, LIVER, SPLEEN)
COLOR, NAME, KEY, REMOVE = range(4)


@pytest.fixture
def table(qtbot: QtBot) -> ClassTable:
    made = ClassTable()
    qtbot.addWidget(made)
    made.set_classes(CLASSES, BRUSH)
    made.show()
    return made


def _texts(table: ClassTable, column: int) -> list[str]:
    return [table.item(row, column).text() for row in range(table.rowCount())]


def _button(table: ClassTable, row: int, column: int) -> Any:
    button = table.cellWidget(row, column)
    assert isinstance(button, QToolButton)
    return button


def test_there_is_a_row_for_background_and_one_for_each_class_with_its_key(table: ClassTable) -> None:
    assert _texts(table, NAME) == ["Background", "liver", "spleen"]
    assert _texts(table, KEY) == ["", "Alt+1", "Alt+2"]


def test_the_tenth_class_has_no_key(table: ClassTable) -> None:
    table.set_classes((BACKGROUND_CLASS, *(LabelClass(v, f"c{v}", (1, 2, 3)) for v in range(1, 12))), BRUSH)
    assert _texts(table, KEY)[9:] == ["Alt+9", "", ""]


def test_background_can_be_neither_renamed_nor_removed_and_says_what_it_is_for(table: ClassTable) -> None:
    item = table.item(0, NAME)
    assert not item.flags() & Qt.ItemFlag.ItemIsEditable
    assert table.cellWidget(0, REMOVE) is None
    assert "partly painted" in item.toolTip()


@pytest.mark.parametrize(("row", "value"), [(0, BRUSH), (1, 2), (2, 5)])
def test_choosing_a_row_gives_the_value_it_paints(qtbot: QtBot, table: ClassTable, row: int, value: int) -> None:
    with qtbot.waitSignal(table.class_chosen) as chosen:
        table.setCurrentCell(row, NAME)
    assert chosen.args == [value]
    assert table.chosen_value() == value


def test_a_class_can_be_chosen_again_after_another_value_was_selected_elsewhere(
    qtbot: QtBot, table: ClassTable
) -> None:
    table.setCurrentCell(1, NAME)
    table.select_class(0)
    assert table.chosen_value() is None
    with qtbot.waitSignal(table.class_chosen):
        table.setCurrentCell(1, NAME)


@pytest.mark.parametrize("column", [COLOR, REMOVE])
def test_the_keyboard_that_comes_to_a_button_chooses_no_class(qtbot: QtBot, table: ClassTable, column: int) -> None:
    table.select_class(5)
    with qtbot.assertNotEmitted(table.class_chosen):
        focus = QFocusEvent(QFocusEvent.Type.FocusIn, Qt.FocusReason.TabFocusReason)
        QApplication.sendEvent(_button(table, 1, column), focus)
    assert table.chosen_value() == 5


def test_showing_and_selecting_emits_nothing(qtbot: QtBot, table: ClassTable) -> None:
    signals = (table.class_chosen, table.class_renamed, table.class_recolored, table.removal_requested)
    for signal in signals:
        signal.connect(lambda *_: pytest.fail("a setter emitted a signal"))
    table.select_class(5)
    table.set_classes((BACKGROUND_CLASS, LabelClass(5, "Milz", (1, 2, 3))), BRUSH)
    table.set_classes(CLASSES, BRUSH)


def test_the_choice_follows_its_class_when_another_one_goes(table: ClassTable) -> None:
    table.select_class(5)
    table.set_classes((BACKGROUND_CLASS, SPLEEN), BRUSH)
    assert table.currentRow() == 1
    assert table.chosen_value() == 5


def test_a_name_typed_in_place_is_a_rename_of_the_value(qtbot: QtBot, table: ClassTable) -> None:
    with qtbot.waitSignal(table.class_renamed) as renamed:
        table.item(2, NAME).setText("  Milz ")
    assert renamed.args == [5, "Milz"]


def test_an_empty_name_is_taken_back(qtbot: QtBot, table: ClassTable) -> None:
    with qtbot.assertNotEmitted(table.class_renamed):
        table.item(2, NAME).setText("  ")
    assert table.item(2, NAME).text() == "spleen"


def test_a_name_being_typed_survives_a_new_class(qtbot: QtBot, table: ClassTable) -> None:
    table.setCurrentCell(1, NAME)
    table.editItem(table.item(1, NAME))
    editor = table.findChild(QLineEdit)
    assert editor is not None
    editor.setText("left li")
    table.set_classes((*CLASSES, LabelClass(6, "class 6", (9, 9, 9))), BRUSH)
    assert table.findChild(QLineEdit) is editor
    assert editor.text() == "left li"


def test_the_swatch_asks_for_a_colour_and_a_declined_one_changes_nothing(
    qtbot: QtBot, table: ClassTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ClassTable, "ask_color", lambda _self, _label_class: (1, 2, 3))
    with qtbot.waitSignal(table.class_recolored) as recolored:
        _button(table, 1, 0).click()
    assert recolored.args == [2, (1, 2, 3)]
    monkeypatch.setattr(ClassTable, "ask_color", lambda _self, _label_class: None)
    with qtbot.assertNotEmitted(table.class_recolored):
        _button(table, 1, 0).click()


def test_a_class_is_removed_by_its_button_or_by_the_delete_key(qtbot: QtBot, table: ClassTable) -> None:
    with qtbot.waitSignal(table.removal_requested) as removed:
        _button(table, 2, REMOVE).click()
    assert removed.args == [5]
    table.select_class(2)
    with qtbot.waitSignal(table.removal_requested) as removed:
        qtbot.keyClick(table, Qt.Key.Key_Delete)
    assert removed.args == [2]


def test_the_last_class_and_background_cannot_be_removed(qtbot: QtBot, table: ClassTable) -> None:
    table.set_classes((BACKGROUND_CLASS, LIVER), BRUSH)
    assert not _button(table, 1, REMOVE).isEnabled()
    with qtbot.assertNotEmitted(table.removal_requested):
        for value in (BRUSH, 2):
            table.select_class(value)
            qtbot.keyClick(table, Qt.Key.Key_Delete)


@pytest.mark.parametrize("key", [Qt.Key.Key_K, Qt.Key.Key_2, Qt.Key.Key_Space])
def test_letters_digits_and_space_are_left_to_the_viewer(table: ClassTable, key: Qt.Key) -> None:
    event = QKeyEvent(QKeyEvent.Type.KeyPress, key, Qt.KeyboardModifier.NoModifier, "k")
    event.accept()
    table.keyPressEvent(event)
    assert not event.isAccepted()


def test_a_click_on_the_class_that_is_chosen_already_chooses_it_again(qtbot: QtBot, table: ClassTable) -> None:
    table.select_class(2)
    with qtbot.waitSignal(table.class_chosen) as chosen:
        qtbot.mouseClick(
            table.viewport(), Qt.MouseButton.LeftButton, pos=table.visualItemRect(table.item(1, NAME)).center()
        )
    assert chosen.args == [2]
