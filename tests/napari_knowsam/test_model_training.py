"""One model of all finished volumes is trained beside the work, kept under a name, and measured."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from gui_robot import TINY, Robot, wait_for_threads

from knowsam.document.annotation_document import AnnotationDocument
from knowsam.io.kept_models import FOLDER_VARIABLE, kept_models, place_of_model
from knowsam.io.labels import read_labels
from knowsam.io.sample import sample_folder
from knowsam.training.schedule import Budget
from knowsam.training.trained_model import load_model
from napari_knowsam import model_training
from napari_knowsam.finished_volumes import FinishedVolumes
from napari_knowsam.model_training import FinishedTraining
from napari_knowsam.panels.model_dialogs import ModelTarget
from napari_knowsam.sessions import TrainingSettings

if TYPE_CHECKING:
    from pathlib import Path

    from knowsam.data.volume import Volume


ENTRY = "Train on finished volumes…"


@pytest.fixture
def robot(robot: Robot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Robot:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "kept"))
    robot.settings(Budget(steps=2), TINY)
    return robot


def finish(robot: Robot, shift: int = 0) -> None:
    """Paint all of the volume on the screen, which lies a few voxels beside the sample."""
    truth = read_labels(sample_folder() / "phantom_labels.nii.gz").array
    sync = robot.presenter.layers.require_sync()
    slices = np.moveaxis(np.roll(truth, shift, axis=2), sync.document.axis, 0)
    sync.change(AnnotationDocument.paint, dict(enumerate(slices)))


def finish_two(robot: Robot) -> None:
    finish(robot)
    classes, image = robot.document.classes, robot.viewer.layers["phantom"]
    moved = np.roll(np.asarray(image.data), 2, axis=2)
    robot.viewer.add_image(moved, name="next", scale=image.scale, affine=image.affine, metadata=image.metadata)
    robot.wait_until(lambda: robot.document.volume.name == "next")
    robot.presenter.layers.require_sync().change(AnnotationDocument.take_classes, classes)
    finish(robot, 2)


def said(robot: Robot) -> str:
    """Return what the window of the work says."""
    window = robot.background.window
    assert window is not None
    return window.text


def agree(monkeypatch: pytest.MonkeyPatch, *, check: bool) -> list[str]:
    """Answer the dialog, and return what it will have asked."""
    asked: list[str] = []

    def ask(_parent: object, suggested: ModelTarget, question: str) -> tuple[ModelTarget, bool]:
        asked.append(f"{suggested.path.stem}: {question}")
        return ModelTarget(place_of_model("phantoms"), "Phantoms."), check

    monkeypatch.setattr(model_training, "ask_model_to_train", ask)
    return asked


def test_with_one_finished_volume_a_second_one_is_asked_for(robot: Robot) -> None:
    finish(robot)
    robot.choose(ENTRY)
    assert "needs 2 finished ones, open or done in a project, but there is one" in robot.result_message


def test_a_model_of_two_volumes_is_kept_measured_and_opened_by_its_name(
    robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish_two(robot)
    asked = agree(monkeypatch, check=True)
    reader = FinishedVolumes.reader
    damaged = "third: The file is damaged."
    monkeypatch.setattr(FinishedVolumes, "reader", lambda *of: lambda check: (reader(*of)(check)[0], [damaged]))
    robot.choose(ENTRY)
    assert asked == [
        "liver, kidneys, lesion: Also measure how good it is in other volumes, which takes 2 more trainings"
    ]
    robot.wait_until(lambda: "probably from" in said(robot))
    model = load_model(place_of_model("phantoms"))
    assert "Trained phantoms on 2 finished volumes" in said(robot)
    assert said(robot).endswith(damaged)
    assert model.about == "Phantoms."
    assert [one.volumes for one in model.expected] == [2, 2, 2]
    assert model.config.plane.whole_slices
    assert [one.name for one in kept_models()] == ["phantoms"]
    robot.wait_until(lambda: robot.background.work is None)
    assert not robot.presenter.controller.is_busy


def test_a_training_that_is_stopped_before_it_has_learnt_leaves_no_model_and_says_so(
    robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot.settings(Budget(seconds=600.0), TINY)
    finish_two(robot)
    agree(monkeypatch, check=False)
    robot.choose(ENTRY)
    window = robot.background.window
    assert window is not None
    window._button.click()
    robot.wait_until(lambda: robot.background.work is None)
    assert "It was stopped before it had learnt anything" in said(robot)
    assert kept_models() == []


def test_a_stop_is_heeded_between_two_volumes_that_are_read(
    robot: Robot, phantom: Volume, phantom_labels: Volume
) -> None:
    read: list[str] = []

    def read_first() -> tuple[Volume, Volume]:
        read.append("first")
        work.stop()
        return phantom, phantom_labels

    def read_second() -> tuple[Volume, Volume]:
        read.append("second")
        return phantom, phantom_labels

    nothing_open = SimpleNamespace(documents=())
    cases = SimpleNamespace(finished_elsewhere=[read_first, read_second], classes=(), axis=0)
    reader = FinishedVolumes(nothing_open, cases).reader(())
    settings, target = TrainingSettings(Budget(steps=1), TINY), ModelTarget(place_of_model("phantoms"), "")
    work = FinishedTraining(reader, 0, (), settings, target, is_checked=False)
    assert list(work.run()) == ["It was stopped before it had learnt anything."]
    assert read == ["first"]


def test_a_training_that_is_stopped_keeps_the_model(robot: Robot, monkeypatch: pytest.MonkeyPatch) -> None:
    robot.settings(Budget(seconds=600.0), TINY)
    finish_two(robot)
    agree(monkeypatch, check=True)
    robot.choose(ENTRY)
    work, window = robot.background.work, robot.background.window
    assert work is not None
    assert window is not None
    robot.wait_until(lambda: work.progress[0] == "Training")
    robot.choose(ENTRY)
    assert "Something goes on beside the window already" in robot.result_message
    window._button.click()
    robot.wait_until(lambda: robot.background.work is None)
    assert "Trained phantoms on 2 finished volumes" in said(robot)
    assert "stopped before it was measured how good it is" in said(robot)
    assert load_model(place_of_model("phantoms")).expected == ()


def test_a_model_that_was_to_be_replaced_stays_if_the_training_is_stopped(
    robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish_two(robot)
    place_of_model("phantoms").parent.mkdir()
    place_of_model("phantoms").write_bytes(b"a good one")
    robot.settings(Budget(seconds=600.0), TINY)
    agree(monkeypatch, check=False)
    robot.choose(ENTRY)
    background = robot.background
    robot.wait_until(lambda: background.work is not None and background.work.progress[0] == "Training")
    assert background.window is not None
    background.window._button.click()
    robot.wait_until(lambda: background.work is None)
    assert "Trained phantoms-1 on 2 finished volumes" in said(robot)
    assert place_of_model("phantoms").read_bytes() == b"a good one"
    assert load_model(place_of_model("phantoms-1")).about == "Phantoms."


def test_two_labels_layers_of_one_image_are_one_finished_volume(robot: Robot) -> None:
    finish(robot)
    classes = robot.document.classes
    robot.presenter.layers.new_labels()
    robot.presenter.layers.require_sync().change(AnnotationDocument.take_classes, classes)
    finish(robot)
    assert [one.is_finished for one in robot.presenter.layers.documents] == [True, True]
    robot.choose(ENTRY)
    assert "but there is one" in robot.result_message


def test_closing_ends_the_work_and_keeps_the_model(robot: Robot, monkeypatch: pytest.MonkeyPatch) -> None:
    robot.settings(Budget(seconds=600.0), TINY)
    finish_two(robot)
    agree(monkeypatch, check=True)
    robot.choose(ENTRY)
    work = robot.background.work
    assert work is not None
    robot.wait_until(lambda: work.progress[0] == "Training")
    robot.widget.close_presenter()
    robot.wait_until(lambda: place_of_model("phantoms").is_file())
    wait_for_threads(robot.qtbot)
