"""What people do by accident or without a thought while training runs: nothing painted is lost, and they are told."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from gui_robot import TINY, Robot, Values, plane_of, wait_for_threads
from qtpy.QtCore import Qt

from knowsam.training.schedule import Budget

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytestqt.qtbot import QtBot

LIVER, LESION = 1, 3


@pytest.fixture
def training(robot: Robot) -> Robot:
    """Training goes on and a prediction is there."""
    robot.train()
    return robot


def test_the_image_is_removed_while_training(training: Robot, painted: Values, qtbot: QtBot) -> None:
    labels = training.labels
    training.viewer.layers.remove(training.image)
    wait_for_threads(qtbot)
    assert not training.is_running
    assert "The image was removed" in training.train_message
    assert np.array_equal(labels.data, painted)
    training.click(training.widget.train, "Train on my labels")
    assert "There is no image to train on" in training.train_message


@pytest.mark.parametrize("is_training", [False, True])
def test_the_labels_are_removed_and_come_back(robot: Robot, painted: Values, is_training: bool) -> None:
    if is_training:
        robot.train()
    document = robot.document
    robot.viewer.layers.remove(robot.labels)
    assert "was removed" in robot.annotate_message
    assert robot.document is document
    assert document.annotated == (10, 15, 22)
    if is_training:
        assert robot.goes_on()
    robot.click(robot.widget.annotate, "New")
    assert np.array_equal(robot.labels.data, painted)
    robot.look_at(12)
    robot.paint(robot.labels, LIVER, [(12, 40, 40), (12, 40, 50)])
    robot.wait_until(lambda: 12 in robot.document.annotated)


def test_training_starts_without_its_labels_layer_on_what_was_painted(robot: Robot) -> None:
    robot.viewer.layers.remove(robot.labels)
    robot.train()
    assert sorted(robot.session.cases[0].annotation.slices) == [10, 15, 22]


@pytest.mark.parametrize("is_training", [False, True])
def test_the_prediction_is_removed_and_comes_back(robot: Robot, painted: Values, is_training: bool) -> None:
    robot.train()
    robot.look_at(12)
    robot.paint(robot.prediction, LESION, [(12, 60, 60), (12, 60, 70)])
    robot.wait_until(lambda: robot.document.corrected == (12,))
    corrected = plane_of(robot.prediction, 12)
    if not is_training:
        robot.stop()
    robot.viewer.layers.remove(robot.prediction)
    if not is_training:
        robot.click(robot.widget.result, "Live segmentation")
        robot.click(robot.widget.result, "Live segmentation")
    robot.wait_until(lambda: robot.has_prediction)
    assert robot.document.corrected == (12,)
    assert np.array_equal(plane_of(robot.prediction, 12), corrected)
    assert np.array_equal(robot.labels.data, painted)


def test_layers_are_renamed_while_training(training: Robot) -> None:
    image, labels, prediction = training.image, training.labels, training.prediction
    image.name, labels.name = "Mrs Example", "my paint"
    prediction.name = "of the machine"
    assert training.goes_on()
    assert training.widget.annotate._images.currentText() == "Mrs Example"
    assert training.widget.annotate._labels.currentText() == "my paint"
    training.look_at(12)
    # Where liver is predicted already, painting it would change nothing.
    training.paint(labels, LESION, [(12, 60, 60), (12, 60, 70)])
    training.wait_until(lambda: 12 in training.session.cases[0].annotation.slices)
    other = plane_of(prediction, 13)
    training.wait_until(lambda: not np.array_equal(plane_of(prediction, 13), other))
    assert len(training.viewer.layers) == 3


def test_another_image_is_chosen_while_training_and_then_the_first_again(training: Robot, painted: Values) -> None:
    first, labels, session = training.document, training.labels, training.session
    training.viewer.add_image(np.random.default_rng(0).random((10, 40, 50)), name="other")
    _choose(training, "other")
    assert training.document is not first
    assert training.document.annotated == ()
    training.look_at(4)
    training.paint(_labels_of(training, "other"), LIVER, [(4, 10, 10), (4, 20, 20)])
    training.wait_until(lambda: training.document.annotated == (4,))
    before = session.trainer.steps
    training.wait_until(lambda: session.trainer.steps > before + 1)
    assert not training.document.predictions.indices
    assert sorted(session.cases[0].annotation.slices) == [10, 15, 22]
    _choose(training, first.volume.name)
    assert training.document is first
    assert np.array_equal(labels.data, painted)
    training.look_at(13)
    before_plane = plane_of(training.prediction, 13)
    training.wait_until(lambda: not np.array_equal(plane_of(training.prediction, 13), before_plane))


def test_another_image_cannot_be_trained_on_meanwhile(training: Robot) -> None:
    worker = training.worker
    training.viewer.add_image(np.random.default_rng(0).random((10, 40, 50)), name="other")
    _choose(training, "other")
    training.widget.train.bar.train_requested.emit()
    assert training.worker is worker


def _choose(robot: Robot, name: str) -> None:
    box = robot.widget.annotate._images
    box.setCurrentText(name)
    box.textActivated.emit(name)


def _labels_of(robot: Robot, image_name: str) -> Any:
    return robot.viewer.layers[f"{image_name} labels"]


def test_train_without_an_image_says_so(make_robot: Callable[..., Robot]) -> None:
    robot = make_robot(None)
    robot.click(robot.widget.train, "Train on my labels")
    assert "There is no image to train on" in robot.train_message
    assert not robot.is_running


def test_train_without_labels_says_so(make_robot: Callable[..., Robot]) -> None:
    robot = make_robot("phantom")
    robot.click(robot.widget.train, "Train on my labels")
    assert "Nothing is painted yet" in robot.train_message
    assert not robot.is_running


def test_train_without_anything_known_to_be_background_says_so(robot: Robot) -> None:
    for index in robot.document.annotated:
        robot.look_at(index)
        robot.press(Qt.Key.Key_J)
    robot.click(robot.widget.train, "Train on my labels")
    assert "partly painted" in robot.train_message
    assert not robot.is_running


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2"), ValueError("out of range")])
def test_an_error_in_a_step_is_reported_and_training_can_go_on(
    robot: Robot, painted: Values, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    from knowsam.training.learner import Learner

    step = Learner.step

    def fail(self: Learner, *arguments: Any) -> Any:
        if arguments[1] >= 2:
            raise error
        return step(self, *arguments)

    monkeypatch.setattr(Learner, "step", fail)
    robot.click(robot.widget.train, "Train on my labels")
    robot.wait_until(lambda: not robot.is_running)
    robot.wait_until(lambda: not robot.presenter.controller.outdated(robot.document))
    assert str(error) in robot.train_message
    assert "rain again" in robot.train_message
    assert np.array_equal(robot.labels.data, painted)
    monkeypatch.setattr(Learner, "step", step)
    robot.click(robot.widget.train, "Train on my labels")
    robot.wait_until(lambda: bool(robot.worker.has_session))
    assert robot.goes_on()


def test_a_bad_file_of_a_teacher_is_reported_before_training(robot: Robot, tmp_path: Path, painted: Values) -> None:
    broken = tmp_path / "sam.pth"
    broken.write_bytes(b"no weights")
    robot.settings(Budget(seconds=60.0), teacher=str(broken))
    robot.click(robot.widget.train, "Train on my labels")
    robot.wait_until(lambda: not robot.is_running)
    assert "sam.pth" in robot.train_message
    assert np.array_equal(robot.labels.data, painted)
    robot.settings(Budget(seconds=60.0))
    robot.train()


def test_a_file_that_cannot_be_written_is_reported_and_nothing_is_lost(training: Robot, tmp_path: Path) -> None:
    mask = training.document.mask
    nowhere = tmp_path / "no such folder" / "mask.nii.gz"
    training.widget.result.ask_export_path = lambda: nowhere  # type: ignore[method-assign]
    training.click(training.widget.result, "Export…")
    training.wait_until(lambda: "Writing" not in training.result_message)
    assert "no such folder does not exist" in training.result_message
    assert not nowhere.exists()
    assert mask().any()
    assert training.goes_on()
    there = tmp_path / "mask.nii.gz"
    training.widget.result.ask_export_path = lambda: there  # type: ignore[method-assign]
    training.click(training.widget.result, "Export…")
    training.wait_until(there.is_file)


def test_a_full_disk_leaves_the_older_file_whole(
    training: Robot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "mask.nii.gz"
    there.write_bytes(b"of yesterday")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(nib.Nifti1Image, "to_filename", fail)
    training.widget.result.ask_export_path = lambda: there  # type: ignore[method-assign]
    training.click(training.widget.result, "Export…")
    training.wait_until(lambda: "Writing" not in training.result_message)
    assert "No space left on device" in training.result_message
    assert there.read_bytes() == b"of yesterday"
    assert training.goes_on()


def test_an_image_that_is_no_volume_is_refused_with_a_sentence(training: Robot) -> None:
    document = training.document
    for name, shape, rgb, sentence in (
        ("photo", (40, 50), False, "3D"),
        ("colours", (10, 40, 50, 3), True, "colour"),
        ("course", (3, 10, 40, 50), False, "3D"),
    ):
        training.viewer.add_image(np.random.default_rng(0).integers(0, 255, shape, np.uint8), name=name, rgb=rgb)
        _choose(training, name)
        assert name in training.annotate_message
        assert sentence in training.annotate_message
        assert training.document is document
        assert training.widget.annotate._images.currentText() == document.volume.name
    assert training.goes_on()


def test_a_stroke_across_the_slices_is_learnt_in_each_of_them(training: Robot) -> None:
    training.viewer.dims.order = (1, 0, 2)
    training.viewer.dims.set_current_step(1, 40)
    training.paint(training.labels, LIVER, [(4, 40, 40), (7, 40, 40)], size=2)
    training.wait_until(lambda: {4, 5, 6, 7} <= set(training.session.cases[0].annotation.slices))


def test_stop_is_pressed_at_once(robot: Robot, qtbot: QtBot) -> None:
    robot.click(robot.widget.train, "Train on my labels")
    robot.click(robot.widget.train, "Stop")
    robot.wait_until(lambda: not robot.is_running)
    assert robot.train_message.startswith("Training ended before its first step")
    assert "Getting ready" not in robot.train_message
    robot.train()


def test_training_that_used_its_time_says_so(robot: Robot, qtbot: QtBot) -> None:
    robot.settings(Budget(steps=4), TINY)
    robot.click(robot.widget.train, "Train on my labels")
    robot.wait_until(lambda: "Training finished after 4 steps" in robot.train_message)
    robot.wait_until(lambda: len(robot.document.predictions.indices) == robot.document.slice_count)
