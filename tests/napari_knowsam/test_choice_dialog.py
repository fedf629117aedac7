from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from qtpy.QtWidgets import QApplication, QDialog, QMainWindow, QTreeWidget

from knowsam.io.choice import ImageChoice
from napari_knowsam.choice_dialog import ChoiceDialog, read_chosen

if TYPE_CHECKING:
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
    assert read_chosen(frames(tiny)) is tiny
    assert parents == [window]


@pytest.mark.parametrize("is_known", [True, False])
def test_what_is_known_of_no_image_has_no_column(is_known: bool, qtbot: QtBot, tiny: Volume) -> None:
    dialog = ChoiceDialog(frames(tiny, "6 slices of 8 x 10", 6) if is_known else frames(tiny))
    qtbot.addWidget(dialog)
    table = dialog.findChild(QTreeWidget)
    assert [table.isColumnHidden(column) for column in range(3)] == [False, not is_known, not is_known]
