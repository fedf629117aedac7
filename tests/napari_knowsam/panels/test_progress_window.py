from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QPushButton, QWidget

from napari_knowsam.panels.progress_window import ProgressWindow

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot


def test_it_says_what_goes_on_and_how_far_it_is_until_somebody_stops_it(qtbot: QtBot) -> None:
    parent = QWidget()
    qtbot.addWidget(parent)
    parent.setGeometry(100, 50, 1200, 800)
    window = ProgressWindow("Applying the model", parent)
    window.show()
    window.show_progress("2 of 8 images", 0.25)
    assert (window.labelText(), window.value()) == ("Applying the model. 2 of 8 images", 25)
    assert not window.isModal()
    with qtbot.waitSignal(window.canceled):
        window.findChild(QPushButton).click()
    window.show_progress("3 of 8 images", 0.375)
    assert "2 of 8" in window.labelText()


def test_it_does_not_cover_the_image(qtbot: QtBot) -> None:
    parent = QWidget()
    qtbot.addWidget(parent)
    parent.setGeometry(100, 50, 1200, 800)
    parent.show()
    window = ProgressWindow("Applying the model", parent)
    window.show()
    qtbot.wait(50)
    assert window.geometry().right() < parent.geometry().center().x()
    assert window.geometry().top() > parent.geometry().center().y()
