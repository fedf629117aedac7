"""The widget as napari opens and closes it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from gui_robot import PLUGIN, Robot, sentences
from napari.utils._proxies import PublicOnlyProxy
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QScrollArea, QScrollBar, QTabWidget

from napari_knowsam import dock_widget
from napari_knowsam.dock_widget import KnowSAMWidget
from napari_knowsam.panels.section import Section

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from pytestqt.qtbot import QtBot

MINIMUM_WIDTH_PX, WIDEST_PX = 350, 370


@pytest.fixture
def robot(make_napari_viewer: Callable[..., Viewer], qtbot: QtBot) -> Iterator[Robot]:
    robot = Robot(make_napari_viewer, qtbot)
    yield robot
    robot.widget.close_presenter()


def test_napari_opens_it_with_the_image_and_the_labels_chosen(robot: Robot) -> None:
    assert isinstance(robot.widget, KnowSAMWidget)
    assert robot.widget.annotate._images.currentText() == "phantom"
    assert robot.widget.annotate._labels.currentText() == "phantom labels"
    assert robot.document.annotated == (10, 15, 22)
    assert robot.train_message.startswith("Paint a few slices")


def test_it_is_never_narrower_than_its_panels_need(robot: Robot) -> None:
    dock = robot.widget.parent()
    robot.viewer.window._qt_window.resizeDocks([dock], [100], Qt.Orientation.Horizontal)
    QApplication.processEvents()
    assert robot.widget.width() >= MINIMUM_WIDTH_PX
    for panel in (robot.widget.annotate, robot.widget.train, robot.widget.result):
        assert panel.minimumSizeHint().width() <= MINIMUM_WIDTH_PX
    assert not any(
        bar.isVisible() and bar.orientation() is Qt.Orientation.Horizontal
        for bar in robot.widget.findChildren(QScrollBar)
    )


def test_on_a_small_screen_nothing_has_to_be_scrolled_while_training(robot: Robot) -> None:
    robot.viewer.window._qt_window.resize(1366, 768)
    for value in (2, 3):
        robot.widget.annotate.class_removed.emit(value)
    robot.train()
    area = robot.widget.findChild(QScrollArea)
    robot.wait_until(lambda: area.verticalScrollBar().maximum() == 0)
    for bar in (robot.widget.train.pinned, robot.widget.result.pinned):
        assert bar.isVisible()
        assert not area.isAncestorOf(bar)
    assert robot.widget.width() <= WIDEST_PX


def test_what_applies_an_edit_comes_into_view_on_a_small_screen(robot: Robot) -> None:
    robot.viewer.window._qt_window.resize(1366, 600)
    QApplication.processEvents()
    edit = robot.widget.edit
    robot.widget.findChild(QTabWidget).setCurrentWidget(edit)
    section = next(one for one in robot.widget.findChildren(Section) if one.isAncestorOf(edit))
    QTest.mouseClick(section.toggleButton(), Qt.MouseButton.LeftButton)
    for widget in (edit._tools, edit._apply):
        robot.wait_until(lambda widget=widget: widget.visibleRegion().boundingRect() == widget.rect())


def test_a_second_one_in_the_same_viewer_only_says_so(robot: Robot, qtbot: QtBot) -> None:
    second = KnowSAMWidget(PublicOnlyProxy(robot.viewer))
    qtbot.addWidget(second)
    is_idle, said = second.presenter is None, sentences(second)
    second.close_presenter()
    assert is_idle
    assert "open in this viewer already" in said
    assert robot.presenter.layers.document is not None


def test_two_viewers_have_one_each(robot: Robot, make_napari_viewer: Callable[..., Viewer], qtbot: QtBot) -> None:
    other = Robot(make_napari_viewer, qtbot)
    assert other.presenter is not robot.presenter
    other.widget.close_presenter()


def test_it_opens_anew_after_its_dock_was_closed(robot: Robot) -> None:
    presenter = robot.presenter
    robot.widget.parent().titleBarWidget().close_button.click()
    QApplication.processEvents()
    assert robot.widget.presenter is None
    assert not presenter.controller.is_running
    assert presenter.layers.document is None
    robot.widget = robot.viewer.window.add_plugin_dock_widget(PLUGIN)[1]
    assert robot.presenter is not presenter
    assert robot.document.annotated == (10, 15, 22)
    robot.settings(robot.widget.train.budget())
    robot.train()


def test_keys_are_free_again_after_it_was_closed(robot: Robot) -> None:
    robot.look_at(1)
    document = robot.document
    robot.widget.close_presenter()
    robot.press(Qt.Key.Key_G)
    assert 1 not in document.annotated
    assert not [key for key in map(str, robot.viewer.keymap) if key in {"N", "K", "J", "G", "U", "Alt+Z"}]


def test_the_devices_are_offered_once_torch_knows_them(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dock_widget, "load_torch", lambda: ("mps",))
    robot = Robot(make_napari_viewer, qtbot)
    box = robot.widget.train._device
    robot.wait_until(lambda: box.findData("mps") >= 0)
    assert [box.itemData(row) for row in range(box.count())] == ["auto", "cpu", "mps"]
    assert not robot.widget._looking.isActive()
    robot.widget.close_presenter()


def test_floating_the_dock_leaves_the_work_alone(robot: Robot) -> None:
    presenter = robot.presenter
    dock = robot.widget.parent()
    for is_floating in (True, False):
        dock.setFloating(is_floating)
        QApplication.processEvents()
        assert robot.widget.presenter is presenter
    assert robot.document.annotated == (10, 15, 22)


def test_torch_is_not_loaded_with_the_modules_of_the_menu() -> None:
    modules = ("dock_widget", "_reader", "_writer", "_sample_data", "_commands")
    imports = ", ".join(f"napari_knowsam.{module}" for module in modules)
    program = f"import sys, {imports}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
