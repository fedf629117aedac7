"""The widget as napari opens and closes it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from gui_robot import Robot, sentences
from napari.utils._proxies import PublicOnlyProxy
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QScrollArea, QScrollBar, QTabWidget

from napari_knowsam import dock_widget, status_messages
from napari_knowsam.dock_widget import KnowSAMWidget
from napari_knowsam.panels.section import Section

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from pytestqt.qtbot import QtBot
    from window_robot import WindowRobot

MINIMUM_WIDTH_PX, WIDEST_PX = 350, 370


def test_without_an_image_the_first_thing_to_do_is_to_open_one(make_robot: Callable[..., Robot]) -> None:
    assert make_robot(None).train_message == status_messages.NO_IMAGE


def test_napari_opens_it_with_the_image_and_the_labels_chosen(window: WindowRobot) -> None:
    presenter, dock = window.presenter, window.widget.parent()
    assert isinstance(window.widget, KnowSAMWidget)
    assert window.widget.annotate._images.currentText() == "phantom"
    assert window.widget.annotate._labels.currentText() == "phantom labels"
    assert window.document.annotated == (10, 15, 22)
    assert window.train_message == status_messages.PAINTED
    for is_floating in (True, False):
        dock.setFloating(is_floating)
        QApplication.processEvents()
        assert window.widget.presenter is presenter
    assert window.document.annotated == (10, 15, 22)


def test_it_is_never_narrower_than_its_panels_need(window: WindowRobot) -> None:
    dock = window.widget.parent()
    window.viewer.window._qt_window.resizeDocks([dock], [100], Qt.Orientation.Horizontal)
    QApplication.processEvents()
    assert window.widget.width() >= MINIMUM_WIDTH_PX
    for panel in (window.widget.annotate, window.widget.train, window.widget.result):
        assert panel.minimumSizeHint().width() <= MINIMUM_WIDTH_PX
    assert not any(
        bar.isVisible() and bar.orientation() is Qt.Orientation.Horizontal
        for bar in window.widget.findChildren(QScrollBar)
    )


def test_on_a_small_screen_nothing_has_to_be_scrolled_while_training(window: WindowRobot) -> None:
    window.viewer.window._qt_window.resize(1366, 768)
    for value in (2, 3):
        window.widget.annotate.class_removed.emit(value)
    window.train()
    # With the longest sentence of all.
    window.wait_until(lambda: "learnt" in window.train_message)
    area = window.widget.findChild(QScrollArea)
    window.wait_until(lambda: area.verticalScrollBar().maximum() == 0)
    for bar in (window.widget.train.bar, window.widget.result.bar):
        assert bar.isVisible()
        assert not area.isAncestorOf(bar)
    assert window.widget.width() <= WIDEST_PX


def test_what_applies_an_edit_comes_into_view_on_a_small_screen(window: WindowRobot) -> None:
    window.viewer.window._qt_window.resize(1366, 600)
    QApplication.processEvents()
    edit = window.widget.edit
    window.widget.findChild(QTabWidget).setCurrentWidget(edit)
    section = next(one for one in window.widget.findChildren(Section) if one.isAncestorOf(edit))
    QTest.mouseClick(section.toggleButton(), Qt.MouseButton.LeftButton)
    for widget in (edit._tools, edit._apply):
        window.wait_until(lambda widget=widget: widget.visibleRegion().boundingRect() == widget.rect())


def test_a_second_one_in_the_same_viewer_only_says_so(robot: Robot, qtbot: QtBot) -> None:
    second = KnowSAMWidget(PublicOnlyProxy(robot.viewer))
    qtbot.addWidget(second)
    is_idle, said = second.presenter is None, sentences(second)
    second.close_presenter()
    assert is_idle
    assert "open in this viewer already" in said
    assert robot.presenter.layers.document is not None


def test_two_viewers_have_one_each(make_robot: Callable[..., Robot]) -> None:
    assert make_robot().presenter is not make_robot().presenter


def test_keys_are_free_again_after_it_was_closed(robot: Robot) -> None:
    robot.look_at(1)
    document = robot.document
    robot.widget.close_presenter()
    robot.press(Qt.Key.Key_G)
    assert 1 not in document.annotated
    assert not [key for key in map(str, robot.viewer.keymap) if key in {"N", "K", "J", "G", "U", "Alt+Z"}]


def test_the_devices_are_offered_once_torch_knows_them(
    make_robot: Callable[..., Robot], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dock_widget, "load_torch", lambda: ("mps",))
    robot = make_robot()
    box = robot.widget.train._device
    robot.wait_until(lambda: box.findData("mps") >= 0)
    assert [box.itemData(row) for row in range(box.count())] == ["auto", "cpu", "mps"]
    assert not robot.widget._looking.isActive()


def test_torch_is_not_loaded_with_the_modules_of_the_menu() -> None:
    modules = ("dock_widget", "_reader", "_writer", "_sample_data", "_commands")
    imports = ", ".join(f"napari_knowsam.{module}" for module in modules)
    program = f"import sys, {imports}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
