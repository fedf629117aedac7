"""Folders on their way to become an image: seen, cancelled, or failing in words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from napari.utils.progress import cancelable_progress
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QMainWindow, QMessageBox, QProgressDialog, QPushButton

from knowsam.io.choice import ImageChoice
from knowsam.io.sample import sample_folder
from napari_knowsam import opening
from napari_knowsam._reader import read_paths
from napari_knowsam.choice_dialog import ChoiceDialog
from napari_knowsam.opening import Opening

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from knowsam.data.volume import Volume

FOLDER = sample_folder() / "phantom_dicom"


@pytest.fixture
def window(qtbot: QtBot) -> QMainWindow:
    made = QMainWindow()
    qtbot.addWidget(made)
    made.show()
    return made


Search = Callable[..., object]


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> Callable[[Search], None]:
    """Let images be searched for in another way, and the bar come at once."""
    monkeypatch.setattr(opening, "_SHOWN_AFTER_MS", 0)
    return lambda instead: monkeypatch.setattr(opening, "image_choices", instead)


def ended(window: QMainWindow) -> bool:
    return window.findChild(Opening) is None and window.findChild(QProgressDialog) is None


def test_an_image_is_handed_on_when_it_is_read(window: QMainWindow, qtbot: QtBot, phantom: Volume) -> None:
    opened: list[Volume] = []
    Opening(FOLDER, lambda volume, _: opened.append(volume), window)
    assert opened == []
    qtbot.waitUntil(lambda: ended(window))
    assert opened[0].shape == phantom.shape


def test_a_long_search_shows_how_far_it_is_and_can_be_cancelled(
    window: QMainWindow, qtbot: QtBot, search: Callable[[Search], None]
) -> None:
    def endless(_: Path, tracked: Callable[[Sequence[Path]], Iterator[Path]]) -> None:
        for _ in tracked(range(10**9)):
            time.sleep(0.001)

    search(endless)
    before = len(notification_manager.records)
    Opening(FOLDER, lambda *_: pytest.fail("opened"), window)
    bar = window.findChild(QProgressDialog)
    qtbot.waitUntil(lambda: bar.isVisible() and bar.value() > 0)
    assert (bar.maximum(), bar.isModal()) == (10**9, False)
    bar.findChild(QPushButton).click()
    qtbot.waitUntil(lambda: ended(window))
    assert len(notification_manager.records) == before


def test_the_bar_stays_away_after_cancel_however_long_a_file_takes(
    window: QMainWindow, qtbot: QtBot, search: Callable[[Search], None]
) -> None:
    go_on = threading.Event()

    def slow(_: Path, tracked: Callable[[Sequence[Path]], Iterator[Path]]) -> None:
        for number in tracked(range(10)):
            if number == 5:
                go_on.wait(10)

    search(slow)
    Opening(FOLDER, lambda *_: pytest.fail("opened"), window)
    bar = window.findChild(QProgressDialog)
    qtbot.waitUntil(lambda: bar.isVisible() and bar.value() == 5)
    bar.findChild(QPushButton).click()
    qtbot.wait(300)
    is_back = bar.isVisible()
    go_on.set()
    qtbot.waitUntil(lambda: ended(window))
    assert not is_back


def two_choices(*_: object) -> tuple[ImageChoice, ...]:
    return tuple(ImageChoice(name, "", 0, lambda: pytest.fail("read")) for name in ("one", "other"))


def asked() -> list[ChoiceDialog]:
    return [found for found in QApplication.topLevelWidgets() if isinstance(found, ChoiceDialog)]


def test_no_bar_lies_over_the_question_which_image_is_meant(
    window: QMainWindow, qtbot: QtBot, search: Callable[[Search], None]
) -> None:
    seen: list[tuple[int, bool]] = []

    def look() -> None:
        seen.append((len(asked()), window.findChild(QProgressDialog).isVisible()))
        for dialog in asked():
            dialog.reject()

    search(two_choices)
    Opening(FOLDER, lambda *_: pytest.fail("opened"), window)
    QTimer.singleShot(800, look)
    qtbot.waitUntil(lambda: ended(window))
    assert seen == [(1, False)]


def test_the_window_may_be_closed_while_it_is_asked_which_image_is_meant(
    qtbot: QtBot, search: Callable[[Search], None]
) -> None:
    """As a napari window, this one is deleted when it is closed; what is raised then fails the test through Qt."""
    seen: list[int] = []
    window = QMainWindow()
    window.show()
    window.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    search(two_choices)
    Opening(FOLDER, lambda *_: pytest.fail("opened"), window)
    QTimer.singleShot(800, lambda: (seen.append(len(asked())), window.close()))
    qtbot.waitUntil(lambda: bool(seen) and not asked())
    assert seen == [1]


def test_an_unreadable_file_is_reported_in_a_sentence(window: QMainWindow, qtbot: QtBot, tmp_path: Path) -> None:
    Opening(tmp_path, lambda *_: pytest.fail("opened"), window)
    qtbot.waitUntil(lambda: ended(window))
    assert "No DICOM images were found" in str(notification_manager.records[-1].message)


@pytest.mark.parametrize("agrees", [True, False])
def test_voxels_without_a_value_are_background_if_a_person_says_so(
    window: QMainWindow, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agrees: bool
) -> None:
    asked: list[str] = []

    def answer(_: object, title: str, question: str) -> QMessageBox.StandardButton:
        asked.append(question)
        return QMessageBox.StandardButton.Yes if agrees else QMessageBox.StandardButton.No

    monkeypatch.setattr(QMessageBox, "question", answer)
    opened: list[Volume] = []
    before = len(notification_manager.records)
    Opening(stripped(tmp_path), lambda volume, _: opened.append(volume), window)
    qtbot.waitUntil(lambda: ended(window))
    assert [one.partition(".")[0] for one in asked] == ["1 of 24 voxels of brain"]
    assert [volume.array.min() for volume in opened] == [1] * agrees
    assert len(notification_manager.records) == before
    # Also where napari opens it.
    layers = [layer for layer in read_paths(str(stripped(tmp_path))) if layer[0] is not None]
    assert [array.min() for array, *_ in layers] == [1] * agrees
    assert len(asked) == 2


def test_a_mask_with_voxels_without_a_value_opens_as_labels_if_a_person_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> None:
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    mask = stripped(tmp_path).rename(tmp_path / "brain_mask.nii")
    ((array, _, kind),) = read_paths(str(mask))
    assert (kind, array.min(), array.max()) == ("labels", 0, 23)


def stripped(folder: Path) -> Path:
    """Return an image of which the first voxel has no value, and the others those from 1 to 23."""
    grey = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    grey[0, 0, 0] = np.nan
    nib.Nifti1Image(grey, np.eye(4)).to_filename(folder / "brain.nii")
    return folder / "brain.nii"


def test_a_folder_that_is_dropped_shows_its_progress_to_napari_and_can_be_cancelled_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bars: list[cancelable_progress] = []

    def cancelled_soon(*arguments: object, **keywords: object) -> cancelable_progress:
        bars.append(cancelable_progress(*arguments, **keywords))
        bars[0].cancel()
        return bars[0]

    assert len(read_paths(str(FOLDER))[0]) == 3
    monkeypatch.setattr(opening, "cancelable_progress", cancelled_soon)
    assert read_paths(str(FOLDER)) == [(None,)]
    assert bars[0].total == len(list(FOLDER.iterdir()))
