from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from qtpy.QtWidgets import QPushButton, QScrollArea, QVBoxLayout, QWidget

from napari_knowsam.panels.wrapped_label import WrappedLabel

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot


def test_a_long_sentence_cuts_off_neither_itself_nor_its_neighbours(qtbot: QtBot) -> None:
    inside, label, beside = QWidget(), WrappedLabel(), QPushButton("Train")
    column = QVBoxLayout(inside)
    column.addWidget(label)
    column.addWidget(beside)
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setWidget(inside)
    qtbot.addWidget(area)
    area.resize(200, 60)
    with qtbot.waitExposed(area):
        area.show()
    needed_px: list[int] = []
    for text in ("Short.", "A sentence of many words that needs more than a few lines. " * 5, "Short."):
        label.setText(text)
        qtbot.waitUntil(lambda: label.height() >= label.heightForWidth(label.width()))
        assert beside.height() >= beside.minimumSizeHint().height()
        needed_px.append(label.minimumHeight())
    assert needed_px[0] == needed_px[2] < needed_px[1]


@pytest.mark.parametrize(
    "word", ["https://dl.fbaipublicfiles.com/segment_anything/sam_vit_b_01ec64.pth", "ec2df62732614e57" * 4]
)
def test_a_long_word_widens_no_panel_and_stays_what_it_is(word: str, qtbot: QtBot) -> None:
    label = WrappedLabel(f"Download {word} by hand.")
    qtbot.addWidget(label)
    assert label.minimumSizeHint().width() <= label.fontMetrics().horizontalAdvance("w" * 24)
    assert label.text() == f"Download {word} by hand."


def test_of_too_many_lines_the_last_ends_with_an_ellipsis_and_the_tooltip_has_them_all(qtbot: QtBot) -> None:
    label = WrappedLabel(most_lines=3)
    qtbot.addWidget(label)
    label.resize(200, 400)
    label.setText("Short.")
    assert label.toolTip() == ""
    text = "One sentence.\n" + "Many more words of another one. " * 9
    label.setText(text)
    label.show()
    lines = label._lines(3)
    assert lines[0] == "One sentence."
    assert lines[1].startswith("Many more words")
    assert lines[2].endswith("…")
    assert (label.text(), label.toolTip()) == (text, text)
    assert label.height() < 4 * label.fontMetrics().lineSpacing()
    assert not label.grab().isNull()


@pytest.mark.parametrize("style", ["", "QLabel { padding: 2px; font-size: 10pt }", "QLabel { font-size: 9pt }"])
def test_as_many_lines_as_there_may_be_have_room(qtbot: QtBot, style: str) -> None:
    label = WrappedLabel("\n".join(["Five lines"] * 5), most_lines=5)
    qtbot.addWidget(label)
    label.setStyleSheet(style)
    label.resize(400, 10)
    label.show()
    assert label.height() == label.heightForWidth(400)
    assert label.toolTip() == ""


def test_a_text_of_fewer_lines_than_there_may_be_can_be_asked_for_them(qtbot: QtBot) -> None:
    """It is drawn line by line where the label needs more room than its lines do; Qt ended the program there."""
    label = WrappedLabel("Two short lines.\nNo more.", most_lines=5)
    qtbot.addWidget(label)
    label.resize(400, 100)
    assert label._lines(5) == ["Two short lines.", "No more."]


def test_room_that_is_kept_for_two_lines_is_as_high_as_two_lines(qtbot: QtBot) -> None:
    label = WrappedLabel(fewest_lines=2)
    qtbot.addWidget(label)
    # napari's style gives labels a margin, of which the spacing of their font does not tell.
    label.setStyleSheet("QLabel { padding: 3px; }")
    label.resize(200, 100)
    label.show()
    heights_px = []
    for text in ("", "One.", "A sentence of two lines, as it is"):
        label.setText(text)
        heights_px.append(label.minimumHeight())
    assert label.heightForWidth(200) == heights_px[2]
    assert label.heightForWidth(200) > label.fontMetrics().lineSpacing() * 1.5
    assert len(set(heights_px)) == 1
