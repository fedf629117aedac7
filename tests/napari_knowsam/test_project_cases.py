"""Images of a project are opened one after the other in a real window, and the work on each is kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from gui_robot import PROPAGATING, TINY, Robot
from qtpy.QtCore import Qt

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.io.labels import read_labels
from knowsam.models.students import Students
from knowsam.project.case import CaseState
from knowsam.project.project import Project
from knowsam.training.events import Notice
from knowsam.training.schedule import Budget
from knowsam.training.trained_model import TrainedModel, save_model

if TYPE_CHECKING:
    from chosen_file import ChosenFile

    from napari_knowsam.panels.case_bar import CaseBar

LIVER = 2
SHAPE_IJK = (24, 20, 8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images of a bright block, a little elsewhere in each."""
    folder = tmp_path / "hearts"
    folder.mkdir()
    for number in range(1, 4):
        array = np.random.default_rng(number).normal(10, 1, SHAPE_IJK)
        array[6 + number : 14 + number, 5:13, 2:6] += 20
        nib.Nifti1Image(array.astype(np.float32), np.diag([1.0, 1.0, 2.0, 1.0])).to_filename(
            folder / f"p{number}.nii.gz"
        )
    return folder


@pytest.fixture
def robot(make_robot: Callable[..., Robot], folder: Path, classes: tuple[LabelClass, ...]) -> Robot:
    robot = make_robot(None)
    robot.widget.annotate.project_requested.emit(folder)
    wait_for(robot, "p1")
    sync = robot.presenter.layers.require_sync()
    sync.change(AnnotationDocument.take_classes, classes)
    return robot


def wait_for(robot: Robot, name: str) -> None:
    robot.wait_until(lambda: bar(robot)._cases.currentText().endswith(f" {name}"))
    assert robot.document.volume.name == name


def bar(robot: Robot) -> CaseBar:
    return robot.widget.cases


def shown(robot: Robot) -> str:
    cases = bar(robot)._cases
    return " ".join(cases.itemText(row)[0] for row in range(cases.count()))


def paint(robot: Robot, indices: range) -> None:
    plane = np.zeros(robot.document.plane_shape, np.uint8)
    plane[5:12, 6:12] = LIVER
    robot.presenter.layers.require_sync().change(AnnotationDocument.paint, dict.fromkeys(indices, plane))


def test_the_first_image_opens_and_its_state_follows_what_is_painted(robot: Robot, folder: Path) -> None:
    assert not bar(robot).isHidden()
    assert shown(robot) == "○ ○ ○"
    paint(robot, range(2, 4))
    assert shown(robot) == "◐ ○ ○"
    assert Project(folder).cases[0].state is CaseState.IN_WORK


def test_the_next_image_begins_with_the_same_classes_and_the_work_is_there_again(robot: Robot, folder: Path) -> None:
    paint(robot, range(2, 4))
    expected = [one.name for one in robot.document.classes]
    painted = robot.document.painting()
    robot.click(bar(robot), "Next")
    wait_for(robot, "p2")
    assert [layer.name for layer in robot.viewer.layers] == ["p2", "p2 labels"]
    assert [one.name for one in robot.document.classes] == expected
    assert robot.document.annotated == ()
    assert Project(folder).picture(Project(folder).cases[0]).is_file()
    bar(robot).case_chosen.emit(0)
    wait_for(robot, "p1")
    np.testing.assert_array_equal(robot.document.painting(), painted)
    assert "second time" not in robot.annotate_message
    assert shown(robot) == "◐ ○ ○"


def test_only_what_is_finished_is_done_and_a_change_makes_it_unfinished_again(robot: Robot, folder: Path) -> None:
    robot.click(bar(robot), "Done")
    assert "Nothing is painted" in robot.annotate_message
    paint(robot, range(2, 3))
    paint(robot, range(5, 6))
    robot.click(bar(robot), "Done")
    assert "Nobody has accepted 2 slices between 4 and 5 yet" in robot.annotate_message
    assert shown(robot) == "◐ ○ ○"
    paint(robot, range(3, 5))
    robot.click(bar(robot), "Done")
    wait_for(robot, "p2")
    assert shown(robot) == "● ○ ○"
    assert bar(robot)._count.text() == "1/3"
    bar(robot).case_chosen.emit(0)
    wait_for(robot, "p1")
    assert shown(robot) == "● ○ ○"
    robot.presenter.layers.require_sync().undo()
    assert shown(robot) == "◐ ○ ○"
    assert Project(folder).done == ()


def test_an_image_that_is_none_of_the_project_is_not_named_as_one(robot: Robot) -> None:
    image = robot.image
    robot.viewer.add_image(np.array(image.data) + 1, name="other", scale=image.scale)
    robot.wait_until(lambda: robot.document.volume.name == "other")
    assert bar(robot)._cases.currentIndex() == -1
    bar(robot).case_chosen.emit(0)
    wait_for(robot, "p1")
    robot.widget.annotate.image_chosen.emit("other")
    assert bar(robot)._cases.currentIndex() == -1
    robot.viewer.layers.remove("other")
    robot.widget.annotate.image_chosen.emit("p1")
    wait_for(robot, "p1")


def test_no_image_is_left_while_a_training_goes_on(robot: Robot) -> None:
    paint(robot, range(2, 6))
    robot.click(robot.widget.train, "Train on my labels")
    robot.wait_until(lambda: robot.is_running)
    for text in ("Next", "Done"):
        robot.click(bar(robot), text)
        assert "Stop that first" in robot.annotate_message
    assert robot.document.volume.name == "p1"
    robot.stop()


def test_finished_images_of_the_project_propose_a_mask_and_all_are_exported(
    robot: Robot, folder: Path, tmp_path: Path, chosen: ChosenFile
) -> None:
    chosen.path = tmp_path / "masks"
    bar(robot)._on_export_clicked()
    assert "None of the 3 images is done" in robot.annotate_message
    for name in ("p2", "p3"):
        paint(robot, range(2, 6))
        robot.click(bar(robot), "Done")
        wait_for(robot, name)
    robot.widget.result.bar.propose_requested.emit()
    robot.wait_until(lambda: bool(robot.document.predictions.indices))
    assert robot.document.mask()[3].any()
    robot.wait_until(lambda: not robot.presenter.controller.is_busy)
    bar(robot)._on_export_clicked()
    robot.wait_until(lambda: robot.annotate_message == "Saved 2 of 2 masks.")
    for path in sorted(chosen.path.iterdir()):
        assert nib.load(path).shape == SHAPE_IJK
        assert read_labels(path).array.any(axis=(1, 2)).tolist() == [2 <= index < 6 for index in range(8)]
    before = [path.read_bytes() for path in sorted(chosen.path.iterdir())]
    bar(robot)._on_export_clicked()
    assert "2 of 2 masks are in" in robot.annotate_message
    assert [path.read_bytes() for path in sorted(chosen.path.iterdir())] == before


def test_another_image_under_the_same_name_begins_anew_and_says_so(robot: Robot, folder: Path) -> None:
    paint(robot, range(2, 6))
    robot.click(bar(robot), "Done")
    wait_for(robot, "p2")
    shutil.copy(folder / "p3.nii.gz", folder / "p1.nii.gz")
    bar(robot).case_chosen.emit(0)
    wait_for(robot, "p1")
    assert "not the image that was segmented under this name" in robot.annotate_message
    assert robot.document.annotated == ()


def test_an_image_that_cannot_be_read_leaves_the_one_that_is_open(robot: Robot, folder: Path) -> None:
    paint(robot, range(2, 4))
    (folder / "p2.nii.gz").write_bytes(b"damaged")
    robot.click(bar(robot), "Next")
    robot.qtbot.wait(500)
    assert robot.document.volume.name == "p1"
    assert bar(robot)._cases.currentText() == "◐ p1"


def test_a_project_that_is_closed_and_opened_again_goes_on_where_it_was(robot: Robot, folder: Path) -> None:
    paint(robot, range(2, 6))
    bar(robot).close_requested.emit()
    assert bar(robot).isHidden()
    assert list(robot.viewer.layers) == []
    robot.widget.annotate.project_requested.emit(folder)
    wait_for(robot, "p1")
    assert robot.document.annotated == (2, 3, 4, 5)


def test_a_folder_without_images_is_refused(robot: Robot, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    robot.widget.annotate.project_requested.emit(tmp_path / "empty")
    assert "There is no image in" in robot.annotate_message
    assert robot.document.volume.name == "p1"


def test_what_is_painted_while_another_image_is_chosen_is_kept_too(robot: Robot) -> None:
    paint(robot, range(2, 4))
    labels = robot.labels
    other = robot.viewer.add_image(np.random.default_rng(0).normal(size=(5, 6, 7)), name="other")
    robot.wait_until(lambda: robot.document.volume.name == other.name)
    labels.data[5, 5:12, 6:12] = LIVER
    robot.click(bar(robot), "Next")
    wait_for(robot, "p2")
    bar(robot).case_chosen.emit(0)
    wait_for(robot, "p1")
    assert robot.document.annotated == (2, 3, 5)


def test_what_is_predicted_beyond_the_painted_slices_after_it_was_done_changes_nothing(
    robot: Robot, folder: Path
) -> None:
    robot.settings(Budget(seconds=120.0), PROPAGATING)
    paint(robot, range(2, 6))
    robot.presenter.cases._note(CaseState.DONE)
    robot.wait_until(lambda: robot.document.unfinished != ())
    robot.click(bar(robot), "Next")
    wait_for(robot, "p2")
    assert shown(robot) == "● ○ ○"
    bar(robot).case_chosen.emit(0)
    wait_for(robot, "p1")
    robot.wait_until(lambda: robot.document.unfinished != ())
    robot.click(bar(robot), "Done")
    assert "mark where each structure ends" in robot.annotate_message


def test_labels_on_the_same_voxels_never_become_those_of_the_next_patient(robot: Robot) -> None:
    paint(robot, range(2, 4))
    reference = np.zeros(robot.labels.data.shape, np.uint8)
    reference[4, 5:12, 6:12] = LIVER
    place = {"scale": robot.image.scale, "translate": robot.image.translate, "metadata": dict(robot.image.metadata)}
    robot.viewer.add_labels(reference, name="reference", **place)
    robot.click(bar(robot), "Next")
    wait_for(robot, "p2")
    assert robot.document.annotated == ()
    # The layer of an image that is removed by hand leaves its labels behind.
    paint(robot, range(2, 4))
    robot.viewer.layers.remove("p2")
    robot.click(bar(robot), "Next")
    wait_for(robot, "p3")
    assert robot.document.annotated == ()
    bar(robot).case_chosen.emit(1)
    wait_for(robot, "p2")
    assert robot.document.annotated == (2, 3)
    assert "second time" not in robot.annotate_message


def test_what_cannot_be_saved_stays_open(robot: Robot, folder: Path) -> None:
    Project(folder).work_folder.parent.mkdir(exist_ok=True)
    Project(folder).work_folder.write_text("a file where the folder is to be")
    paint(robot, range(2, 6))
    for text in ("Done", "Next"):
        robot.click(bar(robot), text)
        robot.qtbot.wait(300)
        assert "could not be saved beside the images, so it stays open" in robot.annotate_message
        assert robot.document.volume.name == "p1"
        assert robot.document.annotated == (2, 3, 4, 5)
        assert "●" not in shown(robot)
    Project(folder).work_folder.unlink()
    robot.click(bar(robot), "Done")
    wait_for(robot, "p2")
    assert shown(robot) == "● ○ ○"


def test_an_image_that_is_no_volume_leaves_the_work_on_others_alone(robot: Robot, folder: Path) -> None:
    nib.Nifti1Image(np.ones((8, 9, 1), np.float32), np.eye(4)).to_filename(folder / "p2.nii.gz")
    paint(robot, range(2, 4))
    robot.click(bar(robot), "Next")
    robot.wait_until(lambda: bar(robot)._cases.currentIndex() < 0)
    assert list(robot.viewer.layers) == []
    bar(robot).case_chosen.emit(0)
    wait_for(robot, "p1")
    assert robot.document.annotated == (2, 3)


def test_an_image_of_which_all_is_erased_is_done_no_more(robot: Robot, folder: Path) -> None:
    paint(robot, range(2, 6))
    robot.click(bar(robot), "Done")
    wait_for(robot, "p2")
    bar(robot).case_chosen.emit(0)
    wait_for(robot, "p1")
    robot.presenter.layers.require_sync().undo()
    assert robot.document.annotated == ()
    robot.click(bar(robot), "Next")
    wait_for(robot, "p2")
    assert shown(robot) == "◐ ○ ○"
    assert Project(folder).done == ()


def test_values_of_other_names_are_not_mixed_and_an_image_that_cannot_be_read_is_left_out(
    robot: Robot, folder: Path
) -> None:
    for name in ("p2", "p3"):
        paint(robot, range(2, 6))
        robot.click(bar(robot), "Done")
        wait_for(robot, name)
    (folder / "p1.nii.gz").write_bytes(b"damaged")
    robot.widget.result.bar.propose_requested.emit()
    robot.wait_until(lambda: bool(robot.document.predictions.indices))
    robot.wait_until(lambda: not robot.presenter.controller.is_busy)
    assert "p1.nii.gz" in robot.widget.train.bar._message.text()
    paint(robot, range(2, 3))
    robot.presenter.layers.require_sync().change(
        lambda work: work.class_list.change(LIVER, name="tumour")  # type: ignore[attr-defined]
    )
    robot.widget.result.bar.propose_requested.emit()
    robot.wait_until(lambda: "“tumour” here, but “liver” in p2" in robot.widget.train.bar._message.text())


def test_a_model_is_applied_again_when_its_image_is_opened_again(robot: Robot, tmp_path: Path) -> None:
    students = Students(2, config=TINY.students, prior=False)
    classes = (BACKGROUND_CLASS, LabelClass(LIVER, "liver", (9, 9, 9)))
    save_model(TrainedModel(students.eval(), {}, TINY, classes, 0, pixel_mm=4.0, steps=5), tmp_path / "m.safetensors")
    robot.presenter.models.open(tmp_path / "m.safetensors")
    robot.click(robot.widget.train, "Apply to this volume")
    _wait_until_all_is_predicted(robot)
    robot.click(bar(robot), "Next")
    wait_for(robot, "p2")
    assert not robot.presenter.controller.is_busy
    bar(robot).case_chosen.emit(0)
    wait_for(robot, "p1")
    _wait_until_all_is_predicted(robot)


def _wait_until_all_is_predicted(robot: Robot) -> None:
    controller = robot.presenter.controller
    robot.wait_until(lambda: not robot.document.unpredicted and not controller.is_busy)


def test_the_list_says_how_well_finished_images_are_proposed_from_the_others(robot: Robot) -> None:
    paint(robot, range(2, 6))
    robot.click(bar(robot), "Done")
    wait_for(robot, "p2")
    (done,) = robot.presenter.cases.project.done
    robot.presenter.others.proposing._correction = SimpleNamespace(dice_by_image={done.fingerprint: 0.834})
    robot.presenter.controller.noticed.emit(Notice("How proposals err was learnt."))
    tips = [bar(robot)._cases.itemData(row, Qt.ItemDataRole.ToolTipRole) for row in range(3)]
    assert tips[0].startswith("p1: done, and proposed from the others with Dice 0.83.")
    assert tips[1:] == ["p2: to do", "p3: to do"]
    assert bar(robot)._cases.currentText().endswith(" p2")
