"""The demonstration opens ready to train, and does everything by itself when asked to."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from gui_robot import TINY, wait_for_threads
from napari.layers import Image, Labels

from knowsam.errors import KnowSAMError
from knowsam.io.labels import read_labels
from knowsam.training.schedule import Budget
from napari_knowsam import demo
from napari_knowsam.panels.train_panel import TrainPanel

if TYPE_CHECKING:
    from pathlib import Path

    from napari.viewer import Viewer
    from pytestqt.qtbot import QtBot

    from knowsam.data.volume import Volume


@pytest.fixture(autouse=True)
def window(make_napari_viewer: Callable[..., Viewer], monkeypatch: pytest.MonkeyPatch) -> list[Viewer]:
    """The viewers that the demonstration opened; they are closed after the test."""
    opened: list[Viewer] = []

    def open_viewer(title: str) -> Viewer:
        viewer = make_napari_viewer(title=title, show=True)
        viewer.window._qt_window._save_current_window_settings = lambda: None
        opened.append(viewer)
        return viewer

    monkeypatch.setattr(demo.napari, "Viewer", open_viewer)
    return opened


@pytest.fixture
def tiny_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainPanel, "budget", lambda _: Budget(steps=6))
    monkeypatch.setattr(TrainPanel, "config", lambda _: TINY)
    monkeypatch.setattr(TrainPanel, "teacher", lambda _: "none")


def test_it_opens_with_three_painted_slices_and_a_panel_that_is_ready() -> None:
    viewer, widget = demo.open_demo()
    assert [type(layer) for layer in viewer.layers] == [Image, Labels]
    document = widget.presenter.layers.document
    assert document.annotated == (10, 15, 22)
    assert widget.presenter.layers.sync.view.index in document.annotated
    assert [label_class.name for label_class in document.classes[1:]] == ["liver", "kidneys", "lesion"]
    assert widget.train.bar._train.isEnabled()
    widget.close_presenter()


@pytest.mark.usefixtures("tiny_training")
def test_unattended_it_leaves_pictures_a_mask_and_its_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], phantom_labels: Volume, qtbot: QtBot
) -> None:
    folder = tmp_path / "left" / "here"
    assert demo.main(["--unattended", str(folder)]) == 0
    assert {path.name for path in folder.iterdir()} == {"training.png", "trained.png", "mask.nii.gz"}
    assert all(path.stat().st_size > 1000 for path in folder.iterdir())
    mask = read_labels(folder / "mask.nii.gz")
    assert (mask.array[[10, 15, 22]] == phantom_labels.array[[10, 15, 22]]).all()
    said = capsys.readouterr().out
    assert re.search(r"First prediction \d+\.\d s after the click", said)
    assert re.search(r"Dice on the 29 slices that were not painted: liver \d\.\d\d, kidneys \d\.\d\d, lesion", said)
    wait_for_threads(qtbot)


def test_what_never_happens_is_an_error_instead_of_an_endless_wait() -> None:
    with pytest.raises(KnowSAMError, match=r"watched for 0\.05 s"):
        demo.wait_until(lambda: False, longest_s=0.05)


def test_unattended_a_failure_is_an_exit_code_and_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], window: list[Viewer]
) -> None:
    def fail(*_: object) -> None:
        raise KnowSAMError("It did not work. Try again.")

    monkeypatch.setattr(demo, "_run_unattended", fail)
    assert demo.main(["--unattended", str(tmp_path)]) == 1
    assert "It did not work" in capsys.readouterr().err
    assert not hasattr(window[0].window, "_qt_window") or not window[0].window._qt_window.isVisible()


def test_without_a_folder_it_waits_for_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[bool] = []
    monkeypatch.setattr(demo.napari, "run", lambda: ran.append(True))
    assert demo.main([]) == 0
    assert ran == [True]
