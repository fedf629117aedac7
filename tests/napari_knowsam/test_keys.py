"""Our keys act in our viewer as long as the plugin is open, and none of them is one of napari's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from napari.layers import Image, Labels
from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_knowsam.keys import Keys
from napari_knowsam.panels.annotate_panel import AnnotatePanel
from napari_knowsam.panels.case_bar import CaseBar
from napari_knowsam.panels.result_panel import ResultPanel
from napari_knowsam.panels.train_panel import TrainPanel
from napari_knowsam.presenter import Presenter

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.viewer import Viewer


ACCEPT = "U"
UNDO = {"Ctrl+Z", "Ctrl+Shift+Z"}
PROMISED = {"N", "Shift+N", "Alt+N", "K", "J", "G", "H", "Shift+H", ACCEPT, "W", "Alt+Z", "Shift+Alt+Z", *UNDO} | {
    f"Alt+{number}" for number in range(1, 10)
}


def test_a_key_acts_until_the_keys_are_given_back(make_napari_viewer: Callable[..., Viewer]) -> None:
    viewer, pressed = make_napari_viewer(), list[str]()
    keys = Keys(viewer, {"N": lambda: pressed.append("N"), "Alt-1": lambda: pressed.append("Alt-1")})
    canvas = viewer.window._qt_viewer.canvas.native
    QTest.keyClick(canvas, Qt.Key.Key_N)
    QTest.keyClick(canvas, Qt.Key.Key_1, Qt.KeyboardModifier.AltModifier)
    QTest.keyClick(canvas, Qt.Key.Key_1)
    assert pressed == ["N", "Alt-1"]
    keys.close()
    QTest.keyClick(canvas, Qt.Key.Key_N)
    assert pressed == ["N", "Alt-1"]
    assert not {coerce_keybinding("N"), coerce_keybinding("Alt-1")} & {coerce_keybinding(key) for key in viewer.keymap}


@pytest.fixture
def own_keys(viewer: ViewerModel) -> set[str]:
    """The keys that a presenter binds."""
    before = set(map(str, viewer.keymap))
    presenter = Presenter(viewer, AnnotatePanel(), TrainPanel(), ResultPanel(), CaseBar())
    bound = set(map(str, viewer.keymap)) - before
    presenter.close()
    return bound


def test_the_keys_of_the_plugin_are_the_promised_ones(own_keys: set[str]) -> None:
    assert own_keys == PROMISED


def test_no_key_of_the_plugin_but_undo_is_one_of_naparis(own_keys: set[str]) -> None:
    from napari.settings import get_settings

    theirs = {str(key) for keys in get_settings().shortcuts.shortcuts.values() for key in keys}
    for kind in (Image, Labels):
        theirs |= set(map(str, kind.class_keymap))
    assert theirs
    assert own_keys & theirs == UNDO
