"""Models are saved, opened and applied, and none is lost without a question."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from gui_robot import TINY, Robot, plane_of
from napari._qt.dialogs.confirm_close_dialog import ConfirmCloseDialog
from napari._qt.qt_main_window import _QtMainWindow
from napari._qt.widgets.qt_viewer_dock_widget import QtViewerDockWidget
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication

from knowsam import jobs
from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass
from knowsam.data.image_statistics import ImageStatistics
from knowsam.io.kept_models import FOLDER_VARIABLE, place_of_model
from knowsam.models.students import Students
from knowsam.training.schedule import Budget
from knowsam.training.trained_model import TrainedModel, load_model, save_model
from napari_knowsam import background, model_keeping, training_controller
from napari_knowsam.background import Work
from napari_knowsam.panels import model_dialogs, result_panel
from napari_knowsam.panels.model_dialogs import ModelTarget, SaveModelDialog, Unsaved
from napari_knowsam.panels.start_choice import Start

if TYPE_CHECKING:
    from pathlib import Path

    from pytestqt.qtbot import QtBot
    from window_robot import WindowRobot

    from knowsam.data.case import Case
    from knowsam.training.session import TrainingSession


@dataclass
class Person:
    """Answers every question as it was told to, and remembers what was asked."""

    target: Path
    about: str = ""
    answer: Unsaved = Unsaved.CANCEL
    suggested: list[ModelTarget] = field(default_factory=list)
    asked: list[list[str]] = field(default_factory=list)

    def name(self, _parent: object, suggested: ModelTarget, _elsewhere: object) -> ModelTarget:
        self.suggested.append(suggested)
        return ModelTarget(self.target, self.about)

    def decide(self, _parent: object, volumes: list[str]) -> Unsaved:
        self.asked.append(volumes)
        return self.answer


@pytest.fixture(autouse=True)
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Person:
    person = Person(tmp_path / "liver.safetensors")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "kept"))
    monkeypatch.setattr(model_keeping, "ask_model_target", person.name)
    monkeypatch.setattr(model_keeping, "ask_unsaved", person.decide)
    monkeypatch.setattr(result_panel, "ask_model_file", lambda _parent: person.target)
    monkeypatch.setattr(ConfirmCloseDialog, "exec_", lambda _dialog: pytest.fail("napari asked as well"))
    return person


@pytest.fixture
def trained(robot: Robot) -> Robot:
    return learn(robot)


def learn(robot: Robot) -> Robot:
    """Train for two steps."""
    robot.settings(Budget(steps=2))
    robot.train()
    robot.wait_until(lambda: not robot.is_running)
    return robot


def begin_with(robot: Robot, start: Start) -> None:
    box = robot.widget.train._start
    box.setCurrentIndex(box.findData(start.value))
    box.activated.emit(box.currentIndex())


@pytest.fixture
def model(person: Person) -> TrainedModel:
    """Networks nobody has trained, in a file: what they see has nothing to do with the phantom."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        students = Students(4, config=TINY.students, prior=False)
    names = zip((1, 2, 3), ("left atrium", "kidneys", "lesion"), strict=True)
    classes = (BACKGROUND_CLASS, *(LabelClass(value, name, (value, 9, 9)) for value, name in names))
    model = TrainedModel(students.eval(), {}, TINY, classes, axis=0, pixel_mm=4.0, steps=5, annotated_slices=7)
    save_model(model, person.target)
    return model


def test_a_model_is_saved_while_training_goes_on_and_after_it(robot: Robot, person: Person) -> None:
    person.about = "Livers."
    save = robot.entry("Save model…")
    assert not save.isEnabled()
    robot.train()
    robot.wait_until(save.isEnabled)
    robot.choose("Save model…")
    robot.wait_until(lambda: "Saved the model as liver" in robot.result_message)
    assert robot.is_running
    early = load_model(person.target)
    assert [one.name for one in early.classes[1:]] == ["liver", "kidneys", "lesion"]
    assert early.annotated_slices == 3
    assert early.about == "Livers."
    assert person.suggested == [ModelTarget(place_of_model("liver, kidneys, lesion"), "")]
    assert robot.presenter.models.has_to_ask
    robot.stop()
    robot.widget.annotate.table.class_renamed.emit(1, "my liver")
    robot.choose("Save model…")
    assert load_model(person.target).classes[1].name == "my liver"
    assert person.suggested[1:] == [ModelTarget(person.target, "Livers.")]
    assert not robot.presenter.models.has_to_ask


def test_a_model_is_named_and_described_and_opened_again_from_the_kept_ones(
    robot: Robot, model: TrainedModel, qtbot: QtBot
) -> None:
    dialog = SaveModelDialog(ModelTarget(place_of_model("liver"), ""), place_of_model("elsewhere"))
    qtbot.addWidget(dialog)
    dialog._name.setText("")
    assert not dialog._save.isEnabled()
    dialog._name.setText("left: atrium & more")
    dialog._about.setPlainText("Our scanner")
    dialog._save.click()
    assert dialog.target == ModelTarget(place_of_model("left_ atrium & more"), "Our scanner")
    save_model(replace(model, about=dialog.target.about), dialog.target.path)
    robot.entry("Save model…").parent().aboutToShow.emit()
    entry = robot.entry("Kept models").menu().actions()[0]
    assert entry.text() == "left_ atrium && more"
    assert entry.toolTip().splitlines()[0] == "Our scanner"
    entry.trigger()
    assert "Opened left_ atrium & more" in robot.result_message
    assert robot.widget.train.model_box._facts.toolTip().startswith("Our scanner")


def test_a_model_of_that_name_is_replaced_only_after_a_question(
    model: TrainedModel, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(model, place_of_model("liver"))
    dialog = SaveModelDialog(ModelTarget(place_of_model("liver"), ""), place_of_model("elsewhere"))
    qtbot.addWidget(dialog)
    monkeypatch.setattr(model_dialogs, "confirm_overwrite", lambda _parent, _path: False)
    dialog._save.click()
    assert dialog.target is None
    monkeypatch.setattr(model_dialogs, "confirm_overwrite", lambda _parent, _path: True)
    dialog._save.click()
    assert dialog.target is not None


def test_without_kept_models_there_is_none_to_choose(robot: Robot) -> None:
    robot.entry("Save model…").parent().aboutToShow.emit()
    assert not robot.entry("Kept models").isEnabled()


def test_a_model_that_cannot_be_saved_is_still_unsaved_and_says_why(trained: Robot, person: Person) -> None:
    person.target.parent.joinpath("taken").write_text("a file")
    person.target = person.target.parent / "taken" / "liver.safetensors"
    trained.choose("Save model…")
    assert "cannot be written" in trained.result_message
    assert "Choose another folder" in trained.result_message
    assert trained.presenter.models.has_to_ask


def test_a_model_is_applied_to_an_unpainted_volume_and_what_it_predicts_can_be_corrected(
    make_robot: Callable[..., Robot], model: TrainedModel
) -> None:
    robot = make_robot("phantom")
    robot.widget.annotate.class_added.emit()
    robot.choose("Open model…")
    assert robot.document.classes == model.classes
    facts = robot.widget.train.model_box._facts.text()
    assert "liver: left atrium, kidneys, lesion; axial slices" in facts
    assert "7 slices in 5 steps" in facts
    robot.click(robot.widget.train, "Apply to this volume")
    robot.wait_until(lambda: "The model was applied" in robot.train_message)
    expected = jobs.predict(model, robot.document.volume, device="cpu")[1].labels
    np.testing.assert_array_equal(robot.document.mask(), expected)
    robot.look_at(12)
    robot.paint(robot.prediction, 2, [(12, 40, 40), (12, 40, 60)])
    robot.wait_until(lambda: robot.document.corrected == (12,))


def test_a_model_is_never_applied_over_painted_slices_and_may_be_stopped(
    robot: Robot, model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, loaded = training_controller.application_session, threading.Event()
    monkeypatch.setattr(training_controller, "application_session", lambda *given: loaded.wait(60) and begin(*given))
    painted = {index: robot.document.painted(index) for index in robot.document.annotated}
    robot.choose("Open model…")
    assert robot.document.classes[1].name == "liver"
    robot.click(robot.widget.train, "Apply to this volume")
    robot.click(robot.widget.train, "Stop")
    assert "Stopped before all slices were predicted" in robot.train_message
    loaded.set()
    robot.click(robot.widget.train, "Apply to this volume")
    robot.wait_until(lambda: "The model was applied" in robot.train_message)
    for index, values in painted.items():
        np.testing.assert_array_equal(plane_of(robot.prediction, index), values)


def test_what_is_no_model_and_a_model_that_does_not_know_what_is_painted_are_refused(
    robot: Robot, model: TrainedModel, person: Person
) -> None:
    person.target.write_text("nothing")
    robot.choose("Open model…")
    assert "liver.safetensors is not a usable KnowSAM model" in robot.result_message
    assert robot.widget.train.model_box.isHidden()
    others = (replace(one, value=one.value + 5) for one in model.classes[2:])
    save_model(replace(model, classes=(*model.classes[:2], *others)), person.target, overwrite=True)
    robot.choose("Open model…")
    refusal = "The labels hold 2 (kidneys), 3 (lesion), but the model knows 1 (left atrium), 7 (kidneys), 8 (lesion)."
    assert refusal in robot.result_message
    robot.click(robot.widget.train, "Apply to this volume")
    assert not robot.presenter.controller.is_busy
    robot.click(robot.widget.train, "Train on my labels")
    assert refusal in robot.train_message
    assert [one.value for one in robot.document.classes] == [0, 1, 2, 3]


def test_the_next_training_begins_with_the_opened_model_and_says_why_it_learns_nothing_yet(
    robot: Robot, model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[TrainingSession] = []
    make_session = training_controller.training_session

    def made_session(case: Case, *rest: Any) -> TrainingSession:
        made.append(make_session(case, *rest))
        return made[-1]

    monkeypatch.setattr(training_controller, "training_session", made_session)
    robot.choose("Open model…")
    robot.click(robot.widget.train, "Train on my labels")
    robot.wait_until(lambda: not robot.is_running)
    assert made[0].plan.is_transfer
    assert made[0].plan.earlier is not None
    assert made[0].plan.earlier.steps == model.steps
    assert "Nothing was trained." in robot.train_message
    assert "Annotate at least 12 slices" in robot.train_message
    robot.wait_until(lambda: robot.presenter.controller.outdated(robot.document) == 0)
    assert len(robot.document.predictions.indices) > 3
    assert "Annotate at least 12 slices" in robot.train_message


def test_a_model_that_predicts_poorly_by_itself_says_so_when_it_is_opened_and_applied(
    robot: Robot, person: Person, model: TrainedModel
) -> None:
    save_model(replace(model, dice=0.25), person.target, overwrite=True)
    robot.choose("Open model…")
    assert "predicts poorly: Dice 0.25" in robot.result_message
    robot.click(robot.widget.train, "Apply to this volume")
    robot.wait_until(lambda: "The model was applied." in robot.train_message)
    assert "predicts poorly: Dice 0.25" in robot.train_message


def test_an_image_unlike_those_of_the_model_to_start_from_is_reported_when_it_is_chosen(
    make_robot: Callable[..., Robot], person: Person, model: TrainedModel
) -> None:
    robot = make_robot("phantom")
    known = ImageStatistics.of(robot.document.volume, 0, TINY.plane.clip_percent)
    save_model(replace(model, images=(known,)), person.target, overwrite=True)
    robot.choose("Open model…")
    assert "unlike" not in robot.result_message
    thick = np.array(robot.image.scale) * (3, 1, 1)
    robot.viewer.add_image(np.array(robot.image.data), name="thick", scale=thick)
    robot.wait_until(lambda: robot.document.volume.name == "thick")
    assert "thick is unlike the images that the model has learnt from: its slices are" in robot.result_message
    assert "choose New networks" in robot.result_message
    robot.choose("Open model…")
    assert "thick is unlike" in robot.result_message
    robot.widget.annotate.image_chosen.emit("phantom")
    assert robot.result_message == ""
    begin_with(robot, Start.NEW)
    robot.widget.annotate.image_chosen.emit("thick")
    assert robot.result_message == ""


def test_an_image_is_compared_with_the_opened_model_once(
    robot: Robot, model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []
    monkeypatch.setattr(TrainedModel, "difference", lambda _model, volume: compared.append(volume.name) or "Unlike.")
    robot.choose("Open model…")
    robot.widget.annotate.new_labels_requested.emit()
    assert "Unlike." in robot.result_message
    assert compared == ["phantom"]
    robot.choose("Open model…")
    assert compared == ["phantom"] * 2


def test_a_model_that_names_a_painted_class_otherwise_says_so_when_it_is_opened_applied_and_trained_on(
    robot: Robot, model: TrainedModel
) -> None:
    difference = "The label value 1 is “liver” here, but “left atrium” in the model. Check that they are the same"
    robot.choose("Open model…")
    assert difference in robot.result_message
    robot.click(robot.widget.train, "Apply to this volume")
    assert difference in robot.result_message
    robot.wait_until(lambda: "The model was applied" in robot.train_message)
    robot.click(robot.widget.train, "Train on my labels")
    assert difference in robot.result_message
    robot.wait_until(lambda: not robot.is_running)
    robot.widget.annotate.table.class_renamed.emit(1, "left atrium")
    robot.click(robot.widget.train, "Apply to this volume")
    assert robot.result_message == ""


def close_dock(robot: WindowRobot) -> None:
    robot.widget.parent().titleBarWidget().close_button.click()


def close_window_by_menu(robot: WindowRobot) -> None:
    robot.viewer.window._qt_window.close(quit_app=False, confirm_need=True)


class Click(QCloseEvent):
    """A click on the cross of a window."""

    def spontaneous(self) -> bool:
        return True


def close_window_by_click(robot: WindowRobot) -> None:
    QApplication.sendEvent(robot.viewer.window._qt_window, Click())


class Waiting(Work):
    """Goes on until it is stopped."""

    def run(self) -> Iterator[str]:
        self._stopping.wait()
        yield "Done."


WAYS_TO_CLOSE = [close_dock, close_window_by_menu, close_window_by_click]


@pytest.fixture
def closed() -> Iterator[list[str]]:
    """What napari was told to close, which it does when the test is over."""
    closed: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_QtMainWindow, "close", lambda *_: closed.append("window"))
        patch.setattr(QtViewerDockWidget, "destroyOnClose", lambda _: closed.append("dock"))
        yield closed


def test_closing_asks_once_what_becomes_of_a_model_that_was_not_saved(
    window: WindowRobot, person: Person, closed: list[str]
) -> None:
    learn(window)
    window.wait_until(lambda: window.widget._guard._window() is not None)
    for answer, expected in ((Unsaved.CANCEL, []), (Unsaved.DISCARD, ["dock", "window", "window"])):
        person.answer, person.asked = answer, []
        for close in WAYS_TO_CLOSE:
            close(window)
        QApplication.processEvents()
        assert person.asked == [["phantom"]] * len(WAYS_TO_CLOSE)
        assert closed == expected
    person.answer = Unsaved.SAVE
    assert window.presenter.models.may_close()
    assert load_model(person.target).steps == 2
    close_dock(window)
    close_window_by_menu(window)
    assert len(person.asked) == len(WAYS_TO_CLOSE) + 1
    assert len(closed) == 5


def test_closing_asks_whether_work_beside_the_window_may_end(
    window: WindowRobot, closed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    answers = {"may end": False}
    monkeypatch.setattr(background, "ask_to_end", lambda _parent, title: asked.append(title) or answers["may end"])
    window.wait_until(lambda: window.widget._guard._window() is not None)
    work = Waiting("Waiting", "for the end")
    window.background.begin(lambda: work)
    for may_end, expected in ((False, []), (True, ["dock", "window", "window"])):
        answers["may end"] = may_end
        for close in WAYS_TO_CLOSE:
            close(window)
        QApplication.processEvents()
        assert closed == expected
    assert asked == ["Waiting"] * 2 * len(WAYS_TO_CLOSE)
    work.stop()
    window.wait_until(lambda: window.background.work is None)
    close_dock(window)
    assert len(asked) == 2 * len(WAYS_TO_CLOSE)


def test_nobody_is_asked_where_nothing_would_be_lost_and_no_program_is(
    window: WindowRobot, person: Person, closed: list[str]
) -> None:
    window.wait_until(lambda: window.widget._guard._window() is not None)
    close_dock(window)
    learn(window)
    window.viewer.window._qt_window.close()
    assert closed == ["dock", "window"]
    assert person.asked == []


def test_a_training_that_would_replace_an_unsaved_model_asks_first(trained: Robot, person: Person) -> None:
    begin_with(trained, Start.NEW)
    trained.click(trained.widget.train, "Train on my labels")
    assert not trained.is_running
    begin_with(trained, Start.LAST)
    trained.click(trained.widget.train, "Train on my labels")
    trained.wait_until(lambda: trained.is_running)
    assert person.asked == [["phantom"]]


def test_saving_while_closing_ends_the_training_and_keeps_the_model(robot: Robot, person: Person) -> None:
    robot.train()
    robot.wait_until(lambda: robot.presenter.models.has_to_ask)
    person.answer = Unsaved.SAVE
    assert robot.presenter.models.may_close()
    assert not robot.is_running
    assert load_model(person.target).steps > 0
    assert not robot.presenter.models.has_to_ask
