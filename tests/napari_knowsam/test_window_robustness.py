"""What people do to the window while training runs: nothing painted is lost, and nothing of the plugin stays behind."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import numpy as np
import pytest
from gui_robot import PLUGIN, Values, plane_of, wait_for_threads
from napari.settings import get_settings
from qtpy.QtWidgets import QApplication
from window_robot import WindowRobot

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.viewer import Viewer
    from pytestqt.qtbot import QtBot

LESION = 3


@pytest.fixture
def training(window: WindowRobot) -> WindowRobot:
    """A window in which training goes on and a prediction is there."""
    window.train()
    return window


def test_the_dock_is_closed_and_opened_anew(training: WindowRobot, painted: Values, qtbot: QtBot) -> None:
    presenter, labels = training.presenter, training.labels
    training.widget.parent().titleBarWidget().close_button.click()
    wait_for_threads(qtbot)
    assert training.widget.presenter is None
    assert presenter.layers.document is None
    assert not presenter.controller.is_running
    assert np.array_equal(labels.data, painted)
    assert labels in training.viewer.layers
    training.widget = training.viewer.window.add_plugin_dock_widget(PLUGIN)[1]
    assert training.presenter is not presenter
    assert training.document.annotated == (10, 15, 22)
    training.settings(training.widget.train.budget())
    training.train()


@pytest.mark.parametrize("is_training", [False, True])
def test_the_window_is_closed(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, painted: Values, is_training: bool
) -> None:
    window = WindowRobot(make_napari_viewer, qtbot)
    if is_training:
        window.train()
    presenter, viewer, values = window.presenter, window.viewer, window.labels.data
    parts = (window.widget, presenter, presenter.layers, presenter.controller, window.document)
    watched = [weakref.ref(one) for one in parts]
    is_running = presenter.controller.is_running
    del window, presenter, parts
    viewer.window._qt_window._save_current_window_settings = lambda: None
    viewer.close()
    del viewer
    wait_for_threads(qtbot)
    qtbot.wait(100)
    for _ in range(3):
        QApplication.processEvents()
        gc.collect()
    assert is_running is is_training
    assert np.array_equal(values, painted)
    assert [one() for one in watched] == [None] * len(watched)


def test_all_layers_are_removed(training: WindowRobot, qtbot: QtBot) -> None:
    training.viewer.layers.clear()
    wait_for_threads(qtbot)
    assert not training.is_running
    assert "The image was removed" in training.train_message


def test_the_view_changes(training: WindowRobot, painted: Values) -> None:
    for index in [*range(0, 32, 4), *range(31, 0, -4)]:
        training.look_at(index)
        QApplication.processEvents()
    assert training.goes_on()
    for _ in range(3):
        training.viewer.dims.roll()
        assert training.goes_on()
        training.viewer.dims.set_current_step(0, 5)
    training.viewer.dims.ndisplay = 3
    assert training.goes_on()
    before = training.prediction.data.copy()
    training.wait_until(lambda: not np.array_equal(training.prediction.data, before))
    training.viewer.dims.ndisplay = 2
    assert np.array_equal(training.labels.data, painted)
    assert training.document.corrected == ()
    assert training.document.annotated == (10, 15, 22)


def test_slices_are_drawn_in_the_background_of_napari(window: WindowRobot, painted: Values) -> None:
    get_settings().experimental.async_ = True
    try:
        window.train()
        window.look_at(12)
        window.paint(window.prediction, LESION, [(12, 60, 60), (12, 60, 70)])
        window.wait_until(lambda: window.document.corrected == (12,))
        assert window.goes_on()
        get_settings().experimental.async_ = False
        assert window.goes_on()
        assert (plane_of(window.prediction, 12)[60, 60:70] == LESION).all()
        assert np.array_equal(window.labels.data, painted)
    finally:
        get_settings().experimental.async_ = False
