from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QApplication, QDialog, QListWidget, QMainWindow

from knowsam.io.choice import ImageChoice
from napari_knowsam.choice_dialog import ChoiceDialog, ask_choice

if TYPE_CHECKING:
    import pytest
    from pytestqt.qtbot import QtBot

    from knowsam.data.volume import Volume


def frames(volume: Volume, extent: str = "", slices: int = 0) -> list[ImageChoice]:
    return [ImageChoice(f"frame {number}", extent, slices, lambda: volume) for number in (1, 2)]


def test_it_belongs_to_the_window_although_another_program_is_active(
    qtbot: QtBot, tiny: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = QMainWindow()
    qtbot.addWidget(window)
    window.show()
    parents = []
    monkeypatch.setattr(QApplication, "activeWindow", lambda: None)
    monkeypatch.setattr(ChoiceDialog, "exec", lambda self: parents.append(self.parent()) or QDialog.DialogCode.Accepted)
    assert ask_choice(frames(tiny)).read() is tiny
    assert parents == [window]


def test_each_image_is_one_line_of_what_is_known_of_it(qtbot: QtBot, tiny: Volume) -> None:
    dialog = ChoiceDialog([*frames(tiny, "6 slices of 8 x 10", 6)[:1], *frames(tiny)[1:]])
    qtbot.addWidget(dialog)
    listed = dialog.findChild(QListWidget)
    assert [listed.item(row).text() for row in range(listed.count())] == ["frame 1, 6 slices of 8 x 10", "frame 2"]
    assert dialog.choice().description == "frame 1"
