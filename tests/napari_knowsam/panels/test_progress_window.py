from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from qtpy.QtWidgets import QWidget

from napari_knowsam.panels.progress_window import ProgressWindow

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot


@pytest.fixture
def window(qtbot: QtBot) -> Iterator[ProgressWindow]:
    parent = QWidget()
    qtbot.addWidget(parent)
    parent.setGeometry(100, 50, 1200, 800)
    parent.show()
    window = ProgressWindow("Applying the model", parent)
    window.show()
    yield window
    window.end("")


def test_it_says_what_goes_on_and_how_far_it_is(window: ProgressWindow) -> None:
    window.show_progress("2 of 8 images", 0.25)
    assert window.text == "Applying the model. 2 of 8 images"
    assert window._bar.value() == 25
    assert not window.isModal()


def test_its_button_stops_once_and_then_says_that_it_is_stopping(window: ProgressWindow, qtbot: QtBot) -> None:
    with qtbot.waitSignal(window.stop_requested):
        window._button.click()
    assert not window._button.isEnabled()
    window.show_progress("3 of 8 images", 0.375)
    assert "Stopping" in window.text


def test_it_can_be_closed_only_when_it_is_over(window: ProgressWindow, qtbot: QtBot) -> None:
    window.close()
    window.reject()
    assert window.isVisible()
    window.end("Predicted 8 images.")
    assert window.isVisible()
    assert window.text == "Predicted 8 images."
    with qtbot.assertNotEmitted(window.stop_requested):
        window._button.click()
    assert not window.isVisible()


def test_without_a_sentence_it_closes_at_the_end(window: ProgressWindow) -> None:
    window.end("")
    assert not window.isVisible()


def test_it_covers_neither_the_image_nor_the_buttons_of_napari(window: ProgressWindow, qtbot: QtBot) -> None:
    qtbot.wait(50)
    around = window.parentWidget().geometry()
    assert window.geometry().right() < around.left() + 320
    assert window.geometry().top() > around.center().y()
    assert window.geometry().bottom() < around.bottom() - 65
    bottom = window.geometry().bottom()
    window.end("A sentence of many words that needs more than a few lines. " * 5)
    qtbot.waitUntil(lambda: window.geometry().top() < bottom - 130)
    assert window.geometry().bottom() == bottom
