"""The widget as napari opens and closes it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from napari.utils._proxies import PublicOnlyProxy
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QScrollBar
from story import PLUGIN, Desk, sentences

from napari_knowsam import dock_widget
from napari_knowsam.dock_widget import KnowSAMWidget

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from pytestqt.qtbot import QtBot

MINIMUM_WIDTH_PX = 350


@pytest.fixture
def desk(make_napari_viewer: Callable[..., Viewer], qtbot: QtBot) -> Iterator[Desk]:
    desk = Desk(make_napari_viewer, qtbot)
    yield desk
    desk.widget.close_workbench()


def test_napari_opens_it_with_the_image_and_the_labels_chosen(desk: Desk) -> None:
    assert isinstance(desk.widget, KnowSAMWidget)
    assert desk.widget.annotate._images.currentText() == "phantom"
    assert desk.widget.annotate._labels.currentText() == "phantom labels"
    assert desk.sheet.annotated == (10, 15, 22)
    assert desk.train_message.startswith("Paint a few slices")


def test_it_is_never_narrower_than_its_panels_need(desk: Desk) -> None:
    dock = desk.widget.parent()
    desk.viewer.window._qt_window.resizeDocks([dock], [100], Qt.Orientation.Horizontal)
    QApplication.processEvents()
    assert desk.widget.width() >= MINIMUM_WIDTH_PX
    for panel in (desk.widget.annotate, desk.widget.train, desk.widget.result):
        assert panel.minimumSizeHint().width() <= MINIMUM_WIDTH_PX
    assert not any(
        bar.isVisible() and bar.orientation() is Qt.Orientation.Horizontal
        for bar in desk.widget.findChildren(QScrollBar)
    )


def test_a_second_one_in_the_same_viewer_only_says_so(desk: Desk, qtbot: QtBot) -> None:
    second = KnowSAMWidget(PublicOnlyProxy(desk.viewer))
    qtbot.addWidget(second)
    is_idle, said = second.workbench is None, sentences(second)
    second.close_workbench()
    assert is_idle
    assert "open in this viewer already" in said
    assert desk.workbench.bridge.worksheet is not None


def test_two_viewers_have_one_each(desk: Desk, make_napari_viewer: Callable[..., Viewer], qtbot: QtBot) -> None:
    other = Desk(make_napari_viewer, qtbot)
    assert other.workbench is not desk.workbench
    other.widget.close_workbench()


def test_it_opens_anew_after_its_dock_was_closed(desk: Desk) -> None:
    workbench = desk.workbench
    desk.widget.parent().titleBarWidget().close_button.click()
    QApplication.processEvents()
    assert desk.widget.workbench is None
    assert not workbench.controller.is_running
    assert workbench.bridge.worksheet is None
    desk.widget = desk.viewer.window.add_plugin_dock_widget(PLUGIN)[1]
    assert desk.workbench is not workbench
    assert desk.sheet.annotated == (10, 15, 22)
    desk.settings(desk.widget.train.budget())
    desk.train()


def test_keys_are_free_again_after_it_was_closed(desk: Desk) -> None:
    desk.look_at(1)
    sheet = desk.sheet
    desk.widget.close_workbench()
    desk.press(Qt.Key.Key_G)
    assert 1 not in sheet.annotated
    assert not [key for key in map(str, desk.viewer.keymap) if key in {"N", "K", "J", "G", "U", "Alt+Z"}]


def test_the_devices_are_offered_once_torch_knows_them(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dock_widget, "_load_torch", lambda: ("mps",))
    desk = Desk(make_napari_viewer, qtbot)
    box = desk.widget.train._device
    desk.wait_until(lambda: box.findData("mps") >= 0)
    assert [box.itemData(row) for row in range(box.count())] == ["auto", "cpu", "mps"]
    assert not desk.widget._looking.isActive()
    desk.widget.close_workbench()


def test_floating_the_dock_leaves_the_work_alone(desk: Desk) -> None:
    workbench = desk.workbench
    dock = desk.widget.parent()
    for is_floating in (True, False):
        dock.setFloating(is_floating)
        QApplication.processEvents()
        assert desk.widget.workbench is workbench
    assert desk.sheet.annotated == (10, 15, 22)


def test_torch_is_not_loaded_with_the_modules_of_the_menu() -> None:
    modules = ("dock_widget", "_reader", "_writer", "_sample_data", "_commands")
    imports = ", ".join(f"napari_knowsam.{module}" for module in modules)
    program = f"import sys, {imports}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
