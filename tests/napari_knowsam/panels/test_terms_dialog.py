from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPushButton, QScrollArea, QWidget

from knowsam.data.annotation import LabelClass
from napari_knowsam.panels import terms_dialog
from napari_knowsam.panels.term_box import TermBox
from napari_knowsam.panels.terms_dialog import PATIENT_DATA, TermsDialog, ask_terms

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

CLASSES = (LabelClass(2, "kidney_L", (1, 2, 3)), LabelClass(7, "Raumforderung", (4, 5, 6)))


@pytest.fixture
def dialog(qtbot: QtBot) -> TermsDialog:
    made = TermsDialog(CLASSES)
    qtbot.addWidget(made)
    return made


@pytest.fixture
def box(qtbot: QtBot) -> TermBox:
    made = TermBox("class 1")
    qtbot.addWidget(made)
    made.show()
    return made


def shown(dialog: TermsDialog) -> list[str]:
    return [label.text() for label in dialog.findChildren(QLabel) if label.text()]


def test_each_class_starts_with_the_term_its_name_is_understood_as(dialog: TermsDialog) -> None:
    assert {value: term.words for value, term in dialog.terms().items()} == {2: "Kidney, left", 7: "Raumforderung"}
    assert [box.currentText() for box in dialog.findChildren(TermBox)] == ["Kidney, left", "Raumforderung"]
    assert {"kidney_L", "SNOMED CT 64033007", "Raumforderung", "your own words"} <= set(shown(dialog))


def test_the_code_follows_what_is_typed(qtbot: QtBot, dialog: TermsDialog) -> None:
    box = dialog.findChildren(TermBox)[1]
    box.lineEdit().selectAll()
    qtbot.keyClicks(box.lineEdit(), "tumour")
    assert "SNOMED CT 108369006" in shown(dialog)
    assert dialog.terms()[7].words == "Neoplasm"


def test_it_says_that_data_of_the_patient_go_into_the_file(dialog: TermsDialog) -> None:
    assert PATIENT_DATA in shown(dialog)
    assert "patient" in PATIENT_DATA


def test_words_find_terms_by_their_synonyms(qtbot: QtBot, box: TermBox) -> None:
    box.lineEdit().selectAll()
    qtbot.keyClicks(box.lineEdit(), "tumo")
    suggestions = box._found.stringList()
    assert "Neoplasm" in suggestions
    assert "Liver" not in suggestions
    assert "Liver" in [box.itemText(row) for row in range(box.count())]


def test_suggestions_look_as_the_window_does_and_can_be_clicked(qtbot: QtBot) -> None:
    window = QWidget()
    window.setStyleSheet("QListView { background-color: #123456 }")
    qtbot.addWidget(window)
    dialog = TermsDialog(CLASSES, window)
    dialog.show()
    box = dialog.findChildren(TermBox)[1]
    box.lineEdit().selectAll()
    qtbot.keyClicks(box.lineEdit(), "splee")
    popup = box.completer().popup()
    qtbot.waitUntil(popup.isVisible)
    assert popup.viewport().palette().base().color().name() == "#123456"
    first = popup.visualRect(popup.model().index(0, 0)).center()
    qtbot.mouseClick(popup.viewport(), Qt.MouseButton.LeftButton, pos=first)
    assert (box.term().words, popup.isVisible()) == ("Spleen", False)


def test_a_chosen_suggestion_is_the_term(qtbot: QtBot, box: TermBox) -> None:
    box.setCurrentIndex(box.findText("Spleen"))
    assert box.term().type.value == "78961009"


def test_return_in_a_box_keeps_what_was_typed(qtbot: QtBot, box: TermBox) -> None:
    rows = box.count()
    box.lineEdit().selectAll()
    qtbot.keyClicks(box.lineEdit(), "Fistel")
    qtbot.keyClick(box.lineEdit(), Qt.Key.Key_Return)
    assert (box.currentText(), box.term().is_standard, box.count()) == ("Fistel", False, rows)


@pytest.mark.parametrize(("button", "exported"), [("Export", True), ("Cancel", False)])
def test_terms_are_given_only_if_the_export_is_wanted(
    button: str, exported: bool, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(dialog: TermsDialog) -> int:
        qtbot.addWidget(dialog)
        (found,) = [one for one in dialog.findChildren(QPushButton) if one.text().replace("&", "") == button]
        found.click()
        return dialog.result()

    monkeypatch.setattr(terms_dialog.TermsDialog, "exec", press)
    terms = ask_terms(None, CLASSES)
    assert (terms is not None) == exported
    assert terms is None or terms.keys() == {2, 7}


def test_many_classes_are_scrolled(qtbot: QtBot) -> None:
    dialog = TermsDialog([LabelClass(value, f"class {value}" * 9, (1, 2, 3)) for value in range(1, 60)])
    qtbot.addWidget(dialog)
    assert dialog.sizeHint().height() < 600
    assert dialog.sizeHint().width() < 800


def test_nothing_is_cut_off_in_the_fonts_of_the_window(qtbot: QtBot) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    window.setStyleSheet("QLabel, QComboBox { font-size: 26px; padding: 8px; }")
    dialog = TermsDialog([LabelClass(1, "class" * 20, (1, 2, 3))], window)
    dialog.show()
    area = dialog.findChild(QScrollArea)
    assert area.viewport().width() >= area.widget().layout().minimumSize().width()


def test_long_words_are_shown_from_their_beginning(qtbot: QtBot) -> None:
    box = TermBox("class" * 20)
    qtbot.addWidget(box)
    assert box.lineEdit().cursorPosition() == 0
