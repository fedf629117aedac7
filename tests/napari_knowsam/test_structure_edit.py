"""A tool shows what it would do before it does it, and what is taken over is one act that can be undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.utils.interactions import mouse_press_callbacks, mouse_release_callbacks
from napari.utils.key_bindings import KeymapHandler
from opened import LIVER, SHAPE, SPLEEN, plane, stroke
from qtpy.QtCore import QTimer

from knowsam.document.edit import Edit, Structure
from knowsam.document.edit_tools import Tool, ToolUse
from napari_knowsam import structure_edit
from napari_knowsam.panels.edit_panel import EditPanel
from napari_knowsam.structure_edit import StructureEdit

if TYPE_CHECKING:
    from opened import Opened
    from pytestqt.qtbot import QtBot

BLOCK = (slice(2, 5), slice(2, 5))


class Editing:
    """The Edit panel of an opened image, of which slices 2 to 5 are predicted: a block of liver and a stray voxel."""

    def __init__(self, opened: Opened, qtbot: QtBot) -> None:
        self.opened, self._qtbot = opened, qtbot
        self.panel = EditPanel()
        qtbot.addWidget(self.panel)
        self.edit = StructureEdit(opened.viewer, opened.choice, self.panel)
        labels = np.zeros(SHAPE[1:], np.uint8)
        labels[BLOCK] = labels[7, 9] = 1
        opened.apply([(index, labels, plane(0)) for index in range(1, 5)], opened.document)
        opened.sync.select_class(LIVER)
        self.edit.set_active(True)
        self.message = ""
        self.panel.set_message = self._keep_message  # type: ignore[method-assign]

    def choose(self, tool: Tool, *, whole_volume: bool = False) -> None:
        self.panel._tools.setCurrentText(tool.value)
        self.panel._scopes.setCurrentIndex(int(whole_volume))
        self.panel._tools.activated.emit(0)
        self.panel.set_pixel_mm(1.0)

    def preview(self, action: Callable[[], object] | None = None) -> None:
        (action or self.panel._preview.click)()
        self._qtbot.waitUntil(lambda: self.edit._running is None)

    def press(self, key: str) -> None:
        handler = KeymapHandler()
        handler.keymap_providers = [self.opened.viewer.layers.selection.active, self.opened.viewer]
        handler.press_key(key)

    def click(self, position: tuple[float, ...], moved_px: float = 0.0) -> None:
        event = SimpleNamespace(type="mouse_press", button=1, modifiers=(), pos=np.zeros(2), position=position)
        mouse_press_callbacks(self.opened.viewer, event)
        event.type, event.pos = "mouse_release", np.array([moved_px, 0.0])
        mouse_release_callbacks(self.opened.viewer, event)

    @property
    def previews(self) -> list[str]:
        return [layer.name for layer in self.opened.viewer.layers if layer.name.endswith("preview")]

    def liver(self, index: int) -> int:
        return int((self.opened.document.shown(index) == LIVER).sum())

    def _keep_message(self, text: str) -> None:
        self.message = text


@pytest.fixture
def editing(opened: Opened, qtbot: QtBot) -> Iterator[Editing]:
    made = Editing(opened, qtbot)
    yield made
    made.edit.close()


def test_a_preview_is_drawn_and_enter_takes_it_over_in_one_act(editing: Editing) -> None:
    editing.choose(Tool.SHRINK)
    editing.preview()
    assert editing.liver(3) == 10
    assert editing.previews == ["tiny preview"]
    assert editing.opened.viewer.layers["tiny preview"].data[3].sum() == 1
    editing.press("Enter")
    assert (editing.liver(3), editing.liver(2), editing.previews) == (1, 10, [])
    assert editing.opened.document.corrected == (3,)
    assert editing.opened.emitted.slices[-1].index == 3
    editing.opened.undo()
    assert editing.liver(3) == 10
    assert editing.opened.emitted.problems[-1] == "Undo: shrinking of “liver” in slice 4."


def test_a_preview_after_another_one_is_drawn_in_the_same_layer(editing: Editing) -> None:
    editing.choose(Tool.SHRINK)
    editing.preview()
    layer = editing.opened.viewer.layers["tiny preview"]
    editing.choose(Tool.GROW)
    assert not layer.data.any()
    editing.press("Enter")
    assert editing.liver(3) == 10
    editing.preview()
    assert editing.opened.viewer.layers["tiny preview"] is layer
    assert layer.data[3].sum() > 10


@pytest.mark.parametrize("whole_volume", [False, True])
def test_a_preview_is_made_anew_where_something_else_is_predicted(
    editing: Editing, qtbot: QtBot, whole_volume: bool
) -> None:
    opened = editing.opened
    editing.choose(Tool.SHRINK, whole_volume=whole_volume)
    editing.preview()
    opened.sync.view.go_to(1)
    labels = np.zeros(SHAPE[1:], np.uint8)
    labels[1:6, 1:6] = 1
    opened.apply([(3, labels, plane(0))], opened.document)
    layer = opened.viewer.layers["tiny preview"]
    qtbot.waitUntil(lambda: layer.data[3].sum() == 9)
    editing.press("Enter")
    assert (editing.liver(3), editing.liver(1)) == (9, 1 if whole_volume else 10)


def test_a_preview_on_all_slices_is_made_anew_where_the_structure_is_predicted_in_one_more(
    editing: Editing, qtbot: QtBot
) -> None:
    editing.choose(Tool.SHRINK, whole_volume=True)
    editing.preview()
    labels = np.zeros(SHAPE[1:], np.uint8)
    labels[1:6, 1:6] = 1
    editing.opened.apply([(0, labels, plane(0))], editing.opened.document)
    layer = editing.opened.viewer.layers["tiny preview"]
    qtbot.waitUntil(lambda: layer.data[0].any())


def test_the_window_lives_while_a_large_structure_is_read(editing: Editing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure_edit, "_READING_S", 0.0)
    editing.choose(Tool.SHRINK, whole_volume=True)
    read, between = list[int](), list[int]()
    shown, document = type(editing.opened.document).shown, editing.opened.document
    monkeypatch.setattr(type(document), "shown", lambda of, index: (read.append(index), shown(of, index))[1])
    living = QTimer()
    living.timeout.connect(lambda: between.append(len(read)))
    living.start(0)
    read.clear()
    editing.preview()
    # Four slices are read one by one, with the window at work in between.
    assert len({*between}) > 4


def test_a_preview_of_what_is_predicted_all_the_time_comes_to_its_end(
    editing: Editing, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    editing.choose(Tool.SHRINK, whole_volume=True)
    editing.preview()
    edit = editing.edit
    edit._renewal.setInterval(0)
    run = structure_edit._Run(iter(()), edit._use, None)
    edit._running = run
    edit._on_slices_changed((3,))
    qtbot.wait(50)
    assert edit._running is run
    assert edit._renewal.isActive()


def test_escape_drops_a_preview_and_the_keys_are_given_back(editing: Editing) -> None:
    editing.choose(Tool.SHRINK)
    editing.preview()
    editing.press("Escape")
    assert editing.previews == []
    editing.press("Enter")
    assert editing.liver(3) == 10


@pytest.mark.parametrize("stop", [lambda editing: editing.press("Escape"), lambda editing: editing.panel._drop.click()])
def test_a_tool_at_work_can_be_stopped(
    editing: Editing, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, stop: Callable[[Editing], None]
) -> None:
    editing.choose(Tool.SHRINK, whole_volume=True)
    begun, may_go_on, edited, edits = Event(), Event(), Structure.edited, list[Edit]()

    def slowly_edited(structure: Structure, use: ToolUse) -> Edit:
        begun.set()
        may_go_on.wait()
        edits.append(edited(structure, use))
        return edits[-1]

    monkeypatch.setattr(Structure, "edited", slowly_edited)
    editing.panel._preview.click()
    assert "Escape" in editing.message
    qtbot.waitUntil(begun.is_set)
    stop(editing)
    may_go_on.set()
    qtbot.waitUntil(lambda: bool(edits))
    assert edits[0].masks
    qtbot.wait(100)
    assert (editing.previews, editing.message) == ([], "")
    assert not editing.panel._drop.isEnabled()
    editing.press("Enter")
    assert editing.liver(3) == 10


def test_all_slices_are_edited_at_once(editing: Editing) -> None:
    editing.choose(Tool.SHRINK, whole_volume=True)
    editing.preview()
    assert "4 slices" in editing.message
    editing.edit.apply()
    assert editing.opened.document.corrected == (1, 2, 3, 4)
    editing.opened.undo()
    assert editing.opened.document.corrected == ()


@pytest.mark.parametrize(("tool", "left"), [(Tool.KEEP_PIECE, 9), (Tool.REMOVE_PIECE, 1)])
def test_a_click_chooses_a_piece_and_paints_nothing(editing: Editing, tool: Tool, left: int) -> None:
    opened = editing.opened
    opened.labels.mode = "paint"
    editing.choose(tool)
    assert opened.labels.mode == opened.prediction.mode == "pan_zoom"
    editing.preview(lambda: editing.click(opened.image.data_to_world((3, 3, 3))))
    editing.edit.apply()
    assert editing.liver(3) == left


def test_who_drags_moves_the_image_and_who_clicks_beside_gets_a_message(editing: Editing) -> None:
    editing.choose(Tool.KEEP_PIECE)
    editing.preview(lambda: editing.click(editing.opened.image.data_to_world((3, 3, 3)), moved_px=20))
    assert editing.previews == []
    editing.preview(lambda: editing.click(editing.opened.image.data_to_world((3, 0, 9))))
    assert "not at that point" in editing.message


def test_a_stroke_another_class_and_another_image_drop_a_preview(editing: Editing) -> None:
    opened = editing.opened
    editing.choose(Tool.SHRINK)
    for change in (
        lambda: (stroke(opened.labels, SPLEEN, 1), opened.choice.flush()),
        lambda: opened.sync.select_class(SPLEEN),
        opened.choice.signals.document_changed.emit,
    ):
        opened.sync.select_class(LIVER)
        editing.preview()
        assert editing.previews
        change()
        assert not editing.previews


def test_a_lack_of_anything_to_edit_is_reported(editing: Editing) -> None:
    editing.opened.sync.select_class(SPLEEN)
    editing.preview()
    assert "not in slice 4" in editing.message
    editing.opened.sync.select_class(editing.opened.document.brush_value)
    editing.preview()
    assert "Background is chosen" in editing.message
    editing.opened.sync.select_class(LIVER)
    editing.choose(Tool.FILL_HOLES)
    editing.preview()
    assert "change nothing" in editing.message
    assert editing.previews == []


def test_a_grey_range_is_proposed_from_the_structure(editing: Editing) -> None:
    editing.choose(Tool.KEEP_RANGE)
    grey = editing.opened.image.data[3][editing.opened.document.shown(3) == LIVER]
    lowest, highest = editing.panel.tool_use().grey_range
    assert lowest < grey.mean() < highest
    assert highest - grey.mean() == pytest.approx(2.5 * grey.std(), abs=0.2)
