"""Two buttons say whether a structure ends at the slice on screen, and ask where it looks as if it did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from knowsam.data.ends import Side
from knowsam.document.structure_ends import EndsHere
from napari_knowsam.panels.slice_ends import SliceEnds

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot
    from qtpy.QtWidgets import QPushButton

BELOW, ABOVE = (frozenset({side}) for side in Side)


@pytest.fixture
def ends(qtbot: QtBot) -> SliceEnds:
    panel = SliceEnds()
    qtbot.addWidget(panel)
    return panel


def button(panel: SliceEnds, side: Side) -> QPushButton:
    return panel._buttons[side]


@pytest.mark.parametrize("here", [EndsHere(ABOVE), EndsHere(ABOVE, tapering=ABOVE)])
def test_a_long_name_does_not_make_the_panel_wider(ends: SliceEnds, here: EndsHere) -> None:
    ends.set_ends("atrium", here)
    width_px = ends.minimumSizeHint().width()
    ends.set_ends("left atrium with its veins and appendage", here)
    assert ends.minimumSizeHint().width() < width_px + 40


def test_an_end_can_be_marked_only_at_an_outermost_slice(ends: SliceEnds) -> None:
    ends.set_ends("liver", EndsHere(ABOVE))
    assert button(ends, Side.ABOVE).isEnabled()
    assert not button(ends, Side.BELOW).isEnabled()


def test_a_click_asks_for_the_end_and_leaves_it_to_the_document_to_mark_it(qtbot: QtBot, ends: SliceEnds) -> None:
    ends.set_ends("liver", EndsHere(ABOVE))
    with qtbot.waitSignal(ends.end_requested) as asked:
        button(ends, Side.ABOVE).click()
    assert asked.args == [Side.ABOVE]
    assert not button(ends, Side.ABOVE).isChecked()
    ends.set_ends("liver", EndsHere(ABOVE, ABOVE))
    assert button(ends, Side.ABOVE).isChecked()


def test_where_the_structure_tapers_the_window_asks_until_it_is_answered(ends: SliceEnds) -> None:
    ends.set_ends("liver", EndsHere(BELOW, tapering=BELOW))
    assert ends._name.text() == "Does liver end here?"
    ends.set_ends("liver", EndsHere(BELOW, BELOW, BELOW))
    assert ends._name.text() == "Ends of liver"


def test_without_a_class_there_is_nothing_to_say(ends: SliceEnds) -> None:
    ends.set_ends("", EndsHere())
    assert not ends.isVisibleTo(None)
