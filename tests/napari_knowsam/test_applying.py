"""The opened model is applied to all open images, and to a folder."""

from __future__ import annotations

from shutil import copyfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gui_robot import TINY, Robot

from knowsam import jobs
from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.io.labels import read_labels
from knowsam.io.sample import sample_folder
from knowsam.models.students import Students
from knowsam.training.trained_model import TrainedModel, save_model
from napari_knowsam import folder_applying

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from knowsam.data.volume import Volume


@pytest.fixture
def robot(make_robot: Callable[..., Robot], tmp_path: Path) -> Robot:
    """The sample, nothing painted in it, and an opened model that nobody has trained."""
    students = Students(2, config=TINY.students, prior=False)
    classes = (BACKGROUND_CLASS, LabelClass(1, "liver", (9, 9, 9)))
    model = TrainedModel(students.eval(), {}, TINY, classes, axis=0, pixel_mm=4.0, steps=5)
    save_model(model, tmp_path / "liver.safetensors")
    robot = make_robot("phantom")
    robot.presenter.models.open(tmp_path / "liver.safetensors")
    return robot


def add(robot: Robot, name: str, shift: int) -> None:
    image = robot.viewer.layers["phantom"]
    moved = np.roll(np.asarray(image.data), shift, axis=2)
    robot.viewer.add_image(moved, name=name, scale=image.scale, affine=image.affine, metadata=image.metadata)
    robot.wait_until(lambda: robot.document.volume.name == name)


def apply_to_all(robot: Robot) -> None:
    robot.choose("All open images")


def predicted(robot: Robot) -> set[str]:
    """Return the images of which every slice was predicted."""
    documents = robot.presenter.layers.documents
    return {one.volume.name for one in documents if len(one.predictions.indices) == one.slice_count}


def test_a_model_is_applied_to_every_open_image(robot: Robot) -> None:
    add(robot, "second", 2)
    add(robot, "third", 4)
    apply_to_all(robot)
    robot.wait_until(lambda: "Applied the model to 3 images." in robot.result_message)
    assert predicted(robot) == {"phantom", "second", "third"}
    robot.wait_until(lambda: not robot.presenter.controller.is_busy)


def test_an_image_that_the_model_does_not_fit_is_reported_and_left_out(robot: Robot) -> None:
    sync = robot.presenter.layers.require_sync()
    sync.add_class()
    sync.change(AnnotationDocument.paint, {5: np.full(sync.document.plane_shape, 2, np.int32)})
    add(robot, "second", 2)
    apply_to_all(robot)
    robot.wait_until(lambda: "Applied the model to one image." in robot.result_message)
    assert "phantom: The labels hold 2" in robot.result_message
    assert predicted(robot) == {"second"}


def test_an_image_whose_class_has_another_name_is_predicted_and_reported_in_the_end(robot: Robot) -> None:
    sync = robot.presenter.layers.require_sync()
    sync.change(AnnotationDocument.paint, {5: np.full(sync.document.plane_shape, 1, np.int32)})
    sync.change(lambda document: document.class_list.change(1, name="spleen"))
    add(robot, "second", 2)
    apply_to_all(robot)
    robot.wait_until(lambda: "Applied the model to 2 images." in robot.result_message)
    assert "phantom: The label value 1 is “spleen” here, but “liver” in the model." in robot.result_message


def test_stop_leaves_the_images_that_come_after_it(robot: Robot) -> None:
    add(robot, "second", 2)
    apply_to_all(robot)
    robot.stop()
    robot.wait_until(lambda: "Applied the model to 0 images." in robot.result_message)
    assert predicted(robot) == set()


def apply_to_folder(robot: Robot, monkeypatch: pytest.MonkeyPatch, images: Path, masks: Path) -> None:
    monkeypatch.setattr(folder_applying, "ask_folders", lambda _parent: (images, masks))
    robot.choose("A folder of images…")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, a damaged one, and a mask that is passed over."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.nii.gz", "b.nii.gz", "a_mask.nii.gz"):
        copyfile(sample_folder() / "phantom.nii.gz", folder / name)
    (folder / "damaged.nii.gz").write_bytes(b"no image")
    return folder


def test_a_folder_is_predicted_beside_the_work_with_a_table_and_what_is_damaged_is_named(
    robot: Robot, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    apply_to_folder(robot, monkeypatch, folder, masks)
    assert not robot.presenter.controller.is_busy
    background = robot.background
    robot.wait_until(lambda: background.work is None)
    assert background.window is not None
    assert "Predicted 2 of 3 images" in background.window.text
    assert "damaged.nii.gz: " in background.window.text
    assert sorted(path.name for path in masks.iterdir()) == ["a_mask.nii.gz", "b_mask.nii.gz", "predictions.csv"]
    model = robot.presenter.models.model
    assert model is not None
    expected, _ = jobs.predict(model, robot.document.volume, device="cpu")
    np.testing.assert_array_equal(read_labels(masks / "a_mask.nii.gz").array, expected)
    lines = (masks / "predictions.csv").read_text(encoding="utf-8-sig").splitlines()
    assert lines[0].startswith("image,mask,1 liver: ml")
    assert len(lines) == 4
    apply_to_folder(robot, monkeypatch, folder, masks)
    assert "a_mask.nii.gz is in" in robot.result_message
    assert "Choose an empty folder" in robot.result_message


@pytest.mark.parametrize("value", [0, 1])
def test_masks_of_a_folder_in_which_nothing_was_found_are_counted(
    robot: Robot, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: int
) -> None:
    labels = np.full(robot.document.volume.shape, value, np.uint8)
    monkeypatch.setattr(jobs, "predict", lambda *_, **__: (labels, None))
    apply_to_folder(robot, monkeypatch, folder, tmp_path)
    background = robot.background
    robot.wait_until(lambda: background.work is None)
    assert background.window is not None
    assert "Predicted 2 of 3 images" in background.window.text
    assert ("No structure was found in 2 of them." in background.window.text) is (value == 0)


def test_a_folder_without_an_image_is_refused(robot: Robot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    apply_to_folder(robot, monkeypatch, tmp_path / "empty", tmp_path)
    assert "There is no image in" in robot.result_message


def test_stop_leaves_the_masks_that_are_there_and_their_table(
    robot: Robot, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply_to_folder(robot, monkeypatch, folder, tmp_path)
    background = robot.background
    window = background.window
    assert window is not None
    robot.wait_until(lambda: (tmp_path / "a_mask.nii.gz").exists())
    robot.choose("A folder of images…")
    assert robot.result_message.startswith("Something goes on beside the window already.")
    window._button.click()
    robot.wait_until(lambda: background.work is None)
    masks = list(tmp_path.glob("*_mask.nii.gz"))
    assert f"Predicted {len(masks)} of 3 images" in window.text
    assert robot.result_message == ""
    assert masks
    lines = (tmp_path / "predictions.csv").read_text(encoding="utf-8-sig").splitlines()
    assert len(lines) >= 1 + len(masks)


def test_an_error_in_one_image_costs_no_other(
    robot: Robot, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = jobs.predict

    def fail_in_b(model: TrainedModel, volume: Volume, **more: Any) -> object:
        if volume.name == "b":
            raise MemoryError
        return predict(model, volume, **more)

    monkeypatch.setattr(jobs, "predict", fail_in_b)
    apply_to_folder(robot, monkeypatch, folder, tmp_path)
    background = robot.background
    robot.wait_until(lambda: background.work is None)
    assert background.window is not None
    assert "Predicted 1 of 3 images" in background.window.text
    assert "b.nii.gz: " in background.window.text


def test_an_image_that_is_removed_while_it_waits_or_is_predicted_is_left_out(robot: Robot) -> None:
    add(robot, "second", 2)
    add(robot, "third", 4)
    apply_to_all(robot)
    robot.viewer.layers.remove("phantom")
    robot.viewer.layers.remove("third")
    robot.wait_until(lambda: "Applied the model to one image." in robot.result_message)
    assert "left out" in robot.result_message
    assert predicted(robot) == {"second"}
    assert not robot.presenter.others.applying._is_at_all


def test_painting_in_another_image_does_not_break_an_application_off(robot: Robot) -> None:
    add(robot, "second", 2)
    robot.presenter.layers.choose_image("phantom")
    apply_to_all(robot)
    robot.presenter.layers.choose_image("second")
    sync = robot.presenter.layers.require_sync()
    plane = np.zeros(sync.document.plane_shape, np.int32)
    plane[20:40, 20:40] = 1
    sync.change(AnnotationDocument.paint, {5: plane, 9: plane})
    robot.wait_until(lambda: "Applied the model to 2 images." in robot.result_message)
