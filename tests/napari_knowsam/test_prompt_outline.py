"""What is pointed at is outlined first; Enter takes the outline over in one act, Escape drops it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from threading import Event
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.utils.interactions import (
    mouse_double_click_callbacks,
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)
from napari.utils.key_bindings import KeymapHandler
from opened import LIVER, SHAPE, SPLEEN, add_other, stroke

from knowsam.data.annotation import SliceState
from knowsam.errors import CheckpointError
from napari_knowsam.accepting import accept_slice
from napari_knowsam.panels.prompt_panel import PromptPanel
from napari_knowsam.prompt_outline import PromptOutline
from napari_knowsam.slice_asking import SliceAsking, name_of, promptable

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Shapes
    from opened import Opened
    from pytestqt.qtbot import QtBot

    from knowsam.data.volume import Volume
    from knowsam.prompting.slice_prompts import Mask, SlicePrompts


class Pointing:
    """The Outline panel of an opened image, and a SAM that fills boxes, and what is left and right of clicks."""

    def __init__(self, opened: Opened, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened, self._qtbot = opened, qtbot
        self.asked: list[tuple[int, SlicePrompts]] = []
        self.sams: list[str] = []
        self.teacher = "compact"
        self.may_answer = Event()
        self.may_answer.set()

        def follow(_: SliceAsking, index: int, mask: Mask, annotated: Collection[int]) -> Iterator[tuple[int, Mask]]:
            for other in (index + 1, index + 2, index - 1):
                self.may_answer.wait()
                if other not in annotated:
                    yield other, mask

        monkeypatch.setattr(SliceAsking, "outline", lambda _, *question: self._answer(*question))
        monkeypatch.setattr(SliceAsking, "follow", follow)
        self.panel = PromptPanel()
        qtbot.addWidget(self.panel)
        self.outline = PromptOutline(opened.viewer, opened.choice, self.panel, lambda: (self.teacher, "cpu"))
        opened.sync.select_class(LIVER)
        self.message = ""
        self.panel.set_message = self._keep_message  # type: ignore[method-assign]
        self.outline.set_active(True)

    @property
    def prompt_layer(self) -> Shapes:
        return self.opened.viewer.layers["tiny prompts"]

    @property
    def previews(self) -> list[str]:
        return [layer.name for layer in self.opened.viewer.layers if layer.name.endswith("preview")]

    def wait(self) -> None:
        self._qtbot.waitUntil(lambda: self.outline._question is None)

    def drag(self, start: tuple[int, int], stop: tuple[int, int]) -> None:
        event = self._event(start, ())
        mouse_press_callbacks(self.prompt_layer, event)
        event.type, event.pos, event.position = "mouse_move", np.array([50.0, 50.0]), self._world(stop)
        mouse_move_callbacks(self.prompt_layer, event)
        event.type = "mouse_release"
        mouse_release_callbacks(self.prompt_layer, event)

    def double_click(self, at: tuple[int, int]) -> None:
        mouse_double_click_callbacks(self.prompt_layer, self._event(at, ()))

    def click(self, at: tuple[int, int], *modifiers: str) -> None:
        event = self._event(at, modifiers)
        mouse_press_callbacks(self.prompt_layer, event)
        event.type = "mouse_release"
        mouse_release_callbacks(self.prompt_layer, event)

    def press(self, key: str) -> None:
        handler = KeymapHandler()
        handler.keymap_providers = [self.opened.viewer.layers.selection.active, self.opened.viewer]
        handler.press_key(key)

    def liver(self, index: int) -> int:
        return int((self.opened.document.shown(index) == LIVER).sum())

    def _event(self, at: tuple[int, int], modifiers: tuple[str, ...]) -> SimpleNamespace:
        return SimpleNamespace(
            type="mouse_press",
            button=1,
            modifiers=modifiers,
            pos=np.zeros(2),
            position=self._world(at),
            is_dragging=True,
        )

    def _world(self, at: tuple[int, int]) -> tuple[float, ...]:
        return tuple(self.opened.image.data_to_world((self.opened.sync.view.index, *at)))

    def _answer(self, index: int, prompts: SlicePrompts) -> SimpleNamespace:
        self.may_answer.wait()
        self.asked.append((index, prompts))
        asking = self.outline._asking
        self.sams.append("" if asking is None else asking.sam)
        mask = np.zeros(SHAPE[1:], bool) if prompts.logits is None else prompts.logits > 0
        if prompts.box is not None:
            (top, left), (bottom, right) = prompts.box
            mask[top:bottom, left:right] = True
        for row, column, is_inside in prompts.clicks:
            mask[row, max(column - 1, 0) : column + 2] = is_inside
        return SimpleNamespace(mask=mask, logits=np.where(mask, 1.0, -1.0).astype(np.float32))

    def _keep_message(self, text: str) -> None:
        self.message = text


@pytest.fixture
def pointing(opened: Opened, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pointing]:
    made = Pointing(opened, qtbot, monkeypatch)
    yield made
    made.may_answer.set()
    made.outline.close()


def test_a_box_is_outlined_and_enter_takes_it_over_in_one_act(pointing: Pointing) -> None:
    pointing.drag((2, 3), (5, 6))
    pointing.wait()
    assert pointing.asked[0][1].box == ((2, 3), (6, 7))
    assert (pointing.liver(3), pointing.previews) == (0, ["tiny preview"])
    assert "the compact SAM" in pointing.message
    pointing.press("Enter")
    assert (pointing.liver(3), pointing.previews) == (16, [])
    assert pointing.opened.emitted.slices[-1].index == 3
    pointing.opened.undo()
    assert pointing.liver(3) == 0
    assert pointing.opened.emitted.problems[-1] == "Undo: outlining of “liver” in slice 4."


def test_what_is_taken_over_is_to_be_confirmed_with_a_message(pointing: Pointing) -> None:
    pointing.drag((2, 3), (5, 6))
    pointing.wait()
    pointing.press("Enter")
    assert pointing.opened.document.unconfirmed == (3,)
    assert "accept its slice (U)" in pointing.message
    pointing.opened.sync.change(accept_slice, 3)
    assert pointing.opened.document.unconfirmed == ()


def test_clicks_correct_the_outline(pointing: Pointing) -> None:
    pointing.drag((2, 3), (5, 6))
    pointing.wait()
    pointing.click((2, 5), "Shift")
    pointing.wait()
    pointing.click((7, 5))
    pointing.wait()
    _, prompts = pointing.asked[-1]
    assert prompts.clicks == ((2, 5, False), (7, 5, True))
    assert prompts.box == ((2, 3), (6, 7))
    assert prompts.logits is not None
    assert (prompts.logits > 0).sum() == 13
    pointing.press("Enter")
    assert pointing.liver(3) == 16


def test_a_click_goes_on_from_what_is_shown_of_the_class(pointing: Pointing) -> None:
    pointing.drag((2, 3), (5, 6))
    pointing.wait()
    pointing.press("Enter")
    pointing.click((7, 5))
    pointing.wait()
    logits = pointing.asked[-1][1].logits
    assert logits is not None
    assert (logits > 0).sum() == 16


def test_escape_drops_an_outline_even_one_that_is_still_asked_for(pointing: Pointing, qtbot: QtBot) -> None:
    pointing.may_answer.clear()
    pointing.drag((2, 3), (5, 6))
    assert "Escape" in pointing.message
    pointing.press("Escape")
    pointing.may_answer.set()
    qtbot.waitUntil(lambda: bool(pointing.asked))
    qtbot.wait(100)
    pointing.press("Enter")
    assert (pointing.liver(3), pointing.previews, pointing.message) == (0, [], "")


def test_other_classes_keep_their_pixels_unless_they_need_not(pointing: Pointing) -> None:
    opened = pointing.opened
    stroke(opened.labels, SPLEEN, 3)
    opened.choice.flush()
    opened.sync.select_class(LIVER)
    held = int((opened.document.shown(3) == SPLEEN).sum())
    assert held
    pointing.drag((0, 0), (7, 9))
    pointing.wait()
    pointing.press("Enter")
    assert (opened.document.shown(3) == SPLEEN).sum() == held
    pointing.panel._protect.setChecked(False)
    pointing.drag((0, 0), (7, 9))
    pointing.wait()
    pointing.press("Enter")
    assert (opened.document.shown(3) == SPLEEN).sum() == 0


def test_an_outline_is_followed_and_taken_over_in_one_act(pointing: Pointing) -> None:
    pointing.drag((2, 3), (5, 6))
    pointing.wait()
    pointing.panel._follow.click()
    pointing.wait()
    assert "slices 3 to 6" in pointing.message
    pointing.press("Enter")
    assert [pointing.liver(index) for index in range(6)] == [0, 0, 16, 16, 16, 16]
    pointing.opened.undo()
    assert pointing.liver(4) == 0


def test_outlines_of_several_slices_are_kept_and_each_can_be_corrected(pointing: Pointing) -> None:
    pointing.drag((2, 3), (5, 6))
    pointing.wait()
    pointing.panel._follow.click()
    pointing.wait()
    pointing.opened.sync.view.go_to(4)
    pointing.click((7, 5))
    pointing.wait()
    logits = pointing.asked[-1][1].logits
    assert logits is not None
    assert (logits > 0).sum() == 16
    pointing.press("Enter")
    assert [pointing.liver(index) for index in range(6)] == [0, 0, 16, 16, 19, 16]


def test_a_sam_that_finds_nothing_says_so_and_leaves_the_other_outlines(
    pointing: Pointing, monkeypatch: pytest.MonkeyPatch
) -> None:
    pointing.drag((2, 3), (5, 6))
    pointing.wait()
    nothing = SimpleNamespace(mask=np.zeros(SHAPE[1:], bool), logits=np.full(SHAPE[1:], -1, np.float32))
    monkeypatch.setattr(SliceAsking, "outline", lambda *_: nothing)
    pointing.opened.sync.view.go_to(4)
    pointing.click((7, 5))
    pointing.wait()
    assert "finds nothing there" in pointing.message
    pointing.press("Enter")
    assert [pointing.liver(index) for index in (3, 4)] == [16, 0]


def test_following_can_be_stopped_and_what_was_found_stays(pointing: Pointing, qtbot: QtBot) -> None:
    pointing.drag((2, 3), (5, 6))
    pointing.wait()
    pointing.may_answer.clear()
    pointing.panel._follow.click()
    assert pointing.panel._stop.isVisibleTo(pointing.panel)
    pointing.panel._stop.click()
    pointing.may_answer.set()
    pointing.wait()
    pointing.press("Enter")
    assert pointing.liver(3) == 16
    assert pointing.liver(5) == 0


def test_following_that_is_stopped_at_its_last_slice_ends_as_well(pointing: Pointing, qtbot: QtBot) -> None:
    pointing.drag((2, 3), (5, 6))
    pointing.wait()
    pointing.may_answer.clear()
    pointing.panel._follow.click()
    pointing.panel._stop.click()
    pointing.may_answer.set()
    pointing.wait()
    qtbot.wait(100)
    assert pointing.panel._apply.isEnabled()


def test_annotated_slices_are_not_followed_into(pointing: Pointing) -> None:
    opened = pointing.opened
    stroke(opened.labels, LIVER, 4)
    opened.choice.flush()
    pointing.drag((2, 3), (5, 6))
    pointing.wait()
    pointing.panel._follow.click()
    pointing.wait()
    pointing.press("Enter")
    assert [pointing.liver(index) for index in range(6)] == [0, 0, 16, 16, 1, 16]


def test_where_nothing_is_outlined_nothing_is_followed(pointing: Pointing) -> None:
    pointing.drag((2, 3), (5, 6))
    pointing.wait()
    pointing.opened.sync.view.go_to(1)
    pointing.panel._follow.click()
    assert "Nothing is outlined in this slice" in pointing.message


def test_a_box_leaves_other_pieces_of_the_class_as_they_are(pointing: Pointing) -> None:
    stroke(pointing.opened.labels, LIVER, 3, y=7, x=9)
    pointing.opened.choice.flush()
    pointing.drag((2, 3), (4, 5))
    pointing.wait()
    pointing.press("Enter")
    assert pointing.liver(3) == 10


def test_a_slice_with_other_structures_to_come_is_partly_painted(pointing: Pointing) -> None:
    pointing.drag((2, 3), (5, 6))
    pointing.wait()
    pointing.press("Enter")
    assert pointing.opened.document.state(3) is SliceState.PARTIAL


def test_the_second_of_two_quick_clicks_counts(pointing: Pointing) -> None:
    pointing.click((2, 5))
    pointing.wait()
    pointing.double_click((4, 5))
    pointing.wait()
    assert pointing.asked[-1][1].clicks == ((2, 5, True), (4, 5, True))


def test_a_box_beside_the_image_is_none(pointing: Pointing) -> None:
    pointing.drag((-5, -5), (-2, 4))
    assert not pointing.asked
    assert pointing.outline._question is None


def test_in_another_plane_a_drag_moves_the_image_with_a_message(pointing: Pointing) -> None:
    pointing.opened.viewer.dims.ndisplay = 3
    assert "Another plane" in pointing.message
    assert pointing.prompt_layer.mouse_pan
    pointing.drag((2, 3), (5, 6))
    assert not pointing.asked


def test_keys_of_napari_leave_the_layer_as_it_is(pointing: Pointing) -> None:
    pointing.prompt_layer.mode = "add_rectangle"
    assert pointing.prompt_layer.mode == "pan_zoom"
    assert not pointing.prompt_layer.mouse_pan


def test_a_layer_that_somebody_removes_is_missed(pointing: Pointing) -> None:
    pointing.opened.viewer.layers.remove("tiny prompts")
    assert "was removed" in pointing.message
    pointing.outline.set_active(True)
    pointing.drag((2, 3), (5, 6))
    pointing.wait()
    assert pointing.previews


def test_folding_selects_no_layer_of_an_image_that_was_left(pointing: Pointing, tiny: Volume) -> None:
    opened = pointing.opened
    other = add_other(opened, tiny)
    opened.choice.choose_image(other.name)
    pointing.outline.set_active(False)
    assert opened.sync.image is other
    assert opened.viewer.layers.selection.active is not opened.labels


def test_background_cannot_be_outlined(pointing: Pointing) -> None:
    pointing.opened.sync.select_class(pointing.opened.document.brush_value)
    pointing.drag((2, 3), (5, 6))
    assert "Background is chosen" in pointing.message
    assert not pointing.asked


def test_an_error_of_sam_is_reported(pointing: Pointing, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise CheckpointError("These weights are of another network.")

    monkeypatch.setattr(SliceAsking, "outline", refuse)
    pointing.drag((2, 3), (5, 6))
    pointing.wait()
    assert pointing.message == "These weights are of another network."


def test_a_person_can_point_again_after_choosing_a_class(pointing: Pointing, qtbot: QtBot) -> None:
    layers = pointing.opened.viewer.layers
    pointing.opened.sync.select_class(SPLEEN)
    layers.selection.active = pointing.opened.labels
    qtbot.waitUntil(lambda: layers.selection.active is pointing.prompt_layer)


def test_who_paints_goes_on_painting_after_choosing_a_class(pointing: Pointing, qtbot: QtBot) -> None:
    layers = pointing.opened.viewer.layers
    layers.selection.active = pointing.opened.labels
    pointing.opened.sync.select_class(SPLEEN)
    qtbot.wait(50)
    assert layers.selection.active is pointing.opened.labels


def test_the_layer_goes_when_pointing_ends_and_the_one_before_is_selected(pointing: Pointing) -> None:
    layers = pointing.opened.viewer.layers
    pointing.drag((2, 3), (5, 6))
    pointing.wait()
    pointing.outline.set_active(False)
    assert [layer.name for layer in layers] == ["tiny", "mine"]
    assert layers.selection.active is pointing.opened.labels


def test_another_sam_is_asked_only_if_it_is_here(
    pointing: Pointing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KNOWSAM_WEIGHTS", str(tmp_path))
    file = tmp_path / "medsam.pth"
    file.touch()
    for teacher, sam in (("vit_b", "compact"), ("none", "compact"), (str(tmp_path), "compact"), (str(file), str(file))):
        assert promptable(teacher) == sam
    (tmp_path / "sam_vit_b_01ec64.pth").touch()
    assert promptable("vit_b") == "vit_b"
    assert [name_of(sam) for sam in ("compact", "vit_b", str(file))] == [
        "the compact SAM",
        "SAM ViT-B",
        "SAM from medsam.pth",
    ]
    pointing.teacher = str(file)
    pointing.drag((2, 3), (5, 6))
    pointing.wait()
    assert pointing.sams == [str(file)]
