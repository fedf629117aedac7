from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QColor, QMouseEvent

from knowsam.data.annotation import SliceState
from napari_knowsam.panels.slice_looks import SLICE_LOOKS
from napari_knowsam.panels.slice_strip import SliceStrip

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

COMPLETE, PARTIAL, EMPTY = SliceState.COMPLETE, SliceState.PARTIAL, SliceState.UNLABELLED

StripOf = Callable[..., SliceStrip]


@pytest.fixture
def strip_of(qtbot: QtBot) -> StripOf:
    """A strip of a width with some annotated slices."""

    def make(
        count: int,
        annotated: dict[int, SliceState],
        corrected: tuple[int, ...] = (),
        unconfirmed: tuple[int, ...] = (),
        width_px: int = 330,
    ) -> SliceStrip:
        strip = SliceStrip()
        qtbot.addWidget(strip)
        strip.resize(width_px, strip.sizeHint().height())
        strip.set_slices([annotated.get(index, EMPTY) for index in range(count)], corrected, unconfirmed)
        return strip

    return make


def _columns_in(strip: SliceStrip, state: SliceState) -> set[int]:
    """Return the pixel columns that hold the colour of a state."""
    picture = strip.grab().toImage()
    wanted = QColor(*SLICE_LOOKS[state].color).rgb()
    return {x for x in range(picture.width()) for y in range(picture.height()) if picture.pixel(x, y) == wanted}


@pytest.mark.parametrize("index", [0, 1, 299, 598, 599])
def test_a_single_annotated_slice_of_600_is_visible_at_330_px_where_it_belongs(strip_of: StripOf, index: int) -> None:
    columns = _columns_in(strip_of(600, {index: COMPLETE}), COMPLETE)
    assert columns
    assert all(abs(column - index * 330 / 600) <= 3 for column in columns)


def test_a_complete_slice_shows_among_partly_painted_neighbours_that_share_its_pixel(strip_of: StripOf) -> None:
    annotated = dict.fromkeys(range(290, 310), PARTIAL) | {300: COMPLETE}
    assert _columns_in(strip_of(600, annotated), COMPLETE)


def test_states_differ_in_height_so_that_no_colours_are_needed(strip_of: StripOf) -> None:
    heights = {}
    for state in (SliceState.BACKGROUND_ONLY, PARTIAL, COMPLETE):
        picture = strip_of(10, {5: state}).grab().toImage()
        wanted = QColor(*SLICE_LOOKS[state].color).rgb()
        heights[state] = sum(picture.pixel(180, y) == wanted for y in range(picture.height()))
    assert 0 < heights[SliceState.BACKGROUND_ONLY] < heights[PARTIAL] - 3 < heights[COMPLETE] - 6


def test_a_correction_an_outline_and_the_position_change_the_picture(strip_of: StripOf) -> None:
    plain = strip_of(40, {5: COMPLETE}).grab().toImage()
    corrected = strip_of(40, {5: COMPLETE}, corrected=(5,)).grab().toImage()
    outlined = strip_of(40, {5: COMPLETE}, corrected=(5,), unconfirmed=(5,)).grab().toImage()
    assert plain != corrected != outlined != plain
    moved = strip_of(40, {5: COMPLETE})
    moved.set_current_slice(20)
    assert moved.grab().toImage() != plain


@pytest.mark.parametrize(
    ("x_px", "expected"),
    [
        (0.0, 0),
        (329.0, 598),  # the last but one of 600 slices of 0.55 px
        (166.0, 300),  # 0.7 px from the annotated slice
        (162.5, 300),  # 2.8 px from it
        (160.0, 290),  # too far
        (-20.0, 0),
        (5000.0, 599),
    ],
)
def test_a_position_stands_for_its_slice_or_an_annotated_one_within_3_px(
    strip_of: StripOf, x_px: float, expected: int
) -> None:
    assert strip_of(600, {300: COMPLETE}).index_at(x_px) == expected


def test_wide_bars_do_not_attract_clicks_on_their_neighbours(strip_of: StripOf) -> None:
    strip = strip_of(20, {10: COMPLETE})
    assert strip.index_at(164.0) == 9
    assert strip.index_at(166.0) == 10


def test_a_click_and_a_drag_ask_for_slices(qtbot: QtBot, strip_of: StripOf) -> None:
    strip = strip_of(10, {})
    asked: list[int] = []
    strip.slice_requested.connect(asked.append)
    qtbot.mousePress(strip, Qt.MouseButton.LeftButton, pos=QPoint(50, 20))
    drag = QMouseEvent(
        QMouseEvent.Type.MouseMove,
        QPointF(281, 20),
        QPointF(281, 20),
        Qt.MouseButton.NoButton,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    strip.mouseMoveEvent(drag)
    assert asked == [1, 8]


def test_a_click_on_the_current_slice_asks_for_nothing(qtbot: QtBot, strip_of: StripOf) -> None:
    strip = strip_of(10, {})
    strip.set_current_slice(1)
    with qtbot.assertNotEmitted(strip.slice_requested):
        qtbot.mousePress(strip, Qt.MouseButton.LeftButton, pos=QPoint(50, 20))


@pytest.mark.parametrize(
    ("key", "expected"), [(Qt.Key.Key_Left, 4), (Qt.Key.Key_Right, 6), (Qt.Key.Key_Home, 0), (Qt.Key.Key_End, 9)]
)
def test_the_keyboard_steps_through_the_slices(qtbot: QtBot, strip_of: StripOf, key: Qt.Key, expected: int) -> None:
    strip = strip_of(10, {})
    strip.set_current_slice(5)
    with qtbot.waitSignal(strip.slice_requested) as asked:
        qtbot.keyClick(strip, key)
    assert asked.args == [expected]


def test_the_tooltip_names_slice_state_correction_and_outline(strip_of: StripOf) -> None:
    strip = strip_of(10, {5: COMPLETE, 7: PARTIAL}, corrected=(5,), unconfirmed=(7,))
    assert strip.text_at(180) == "Slice 6: complete (corrected)"
    assert strip.text_at(245) == "Slice 8: partly painted (outlined)"
    assert strip.text_at(10) == "Slice 1: not painted"


def test_a_strip_without_slices_can_be_shown_and_clicked(qtbot: QtBot, strip_of: StripOf) -> None:
    strip = strip_of(0, {})
    assert not strip.grab().isNull()
    with qtbot.assertNotEmitted(strip.slice_requested):
        qtbot.mouseClick(strip, Qt.MouseButton.LeftButton)
    assert strip.text_at(3) == "No image is open."
