"""From the first stroke to the file, as a person does it: with the mouse, the keys and the buttons, and with torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import nibabel as nib
import numpy as np
import pytest
from gui_robot import PROPAGATING, Robot, plane_of
from qtpy.QtCore import Qt

from knowsam.data.annotation import IGNORE, SliceState
from knowsam.io.image import read_volume
from knowsam.io.labels import read_labels
from knowsam.io.sample import sample_folder
from knowsam.training.propagation_session import PropagationSession
from knowsam.training.schedule import Budget
from napari_knowsam.panels.train_panel import TrainPanel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from gui_robot import Values
    from pytestqt.qtbot import QtBot
    from window_robot import WindowRobot

    from knowsam.training.events import PredictionReady

LIVER, KIDNEYS, LESION = 1, 2, 3
ACCEPT = Qt.Key.Key_U
ALT = Qt.KeyboardModifier.AltModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


def test_from_the_first_stroke_to_the_file(make_window: Callable[..., WindowRobot], tmp_path: Path) -> None:
    window = make_window("phantom")
    _paint_two_slices(window)
    window.train()
    _see_the_prediction_change_twice(window)
    corrected = _correct(window, 13)
    _accept_and_take_back(window, 13, corrected)
    window.stop()
    assert "stopped after" in window.train_message
    _export(window, tmp_path / "mask.nii.gz")


def test_a_training_goes_on_where_one_of_an_earlier_session_ended(make_robot: Callable[..., Robot]) -> None:
    before = make_robot("phantom")
    _paint_two_slices(before)
    before.train()
    before.stop()
    trained = before.presenter.controller.model(before.document)
    assert trained is not None
    before.close()
    robot = make_robot("phantom")
    robot.click(robot.widget.annotate, "Restore")
    assert robot.document.annotated == (10, 16)
    restored = robot.presenter.controller.model(robot.document)
    assert restored is not None
    assert restored.steps == trained.steps
    assert TrainPanel.config(robot.widget.train) == before.widget.train.config()
    assert not robot.presenter.models.has_to_ask
    robot.train()
    assert robot.session.plan.last is not None
    assert robot.session.plan.last.model.steps == trained.steps
    robot.stop()
    robot.press(Qt.Key.Key_Z, ALT)
    assert robot.document.annotated == (10,)


def _paint_two_slices(robot: Robot) -> None:
    for index in (10, 16):
        robot.look_at(index)
        robot.paint(robot.labels, LIVER, [(index, 25, 25), (index, 45, 35), (index, 25, 40)], size=9)
    robot.wait_until(lambda: robot.document.annotated == (10, 16))
    assert (plane_of(robot.labels, 10) == LIVER).sum() > 100
    assert robot.document.state(10) is SliceState.COMPLETE


def _see_the_prediction_change_twice(robot: Robot) -> None:
    robot.look_at(13)
    seen: set[bytes] = set()

    def is_new() -> bool:
        seen.add(plane_of(robot.prediction, 13).tobytes())
        return len(seen) >= 3

    robot.wait_until(is_new)
    assert robot.is_running


def _correct(robot: Robot, index: int) -> bytes:
    """Paint over the prediction and see that training takes it in and that no later prediction takes it away."""
    robot.paint(robot.prediction, LIVER, [(index, 60, 60), (index, 60, 75)], size=6)
    robot.wait_until(lambda: index in robot.document.corrected)
    corrected = plane_of(robot.prediction, index)
    assert (corrected[58:63, 60:75] == LIVER).all()
    robot.wait_until(lambda: index in robot.session.cases[0].annotation.slices)
    learnt = robot.session.cases[0].annotation.slices[index].labels
    assert np.array_equal(learnt, corrected)
    elsewhere = plane_of(robot.prediction, index + 1)
    robot.wait_until(lambda: not np.array_equal(plane_of(robot.prediction, index + 1), elsewhere))
    assert np.array_equal(plane_of(robot.prediction, index), corrected)
    return corrected.tobytes()


def _accept_and_take_back(robot: Robot, index: int, corrected: bytes) -> None:
    robot.press(ACCEPT)
    assert robot.document.corrected == ()
    assert plane_of(robot.labels, index).tobytes() == corrected
    assert robot.document.state(index) is SliceState.COMPLETE
    # On a busy machine some slices have no prediction yet that could be accepted.
    robot.wait_until(lambda: all(robot.document.shows(one) for one in range(10, 17)))
    robot.click(robot.widget.result, "Between")
    assert robot.document.annotated == tuple(range(10, 17))
    robot.look_at(11)
    robot.press(Qt.Key.Key_Z, ALT)
    assert robot.document.annotated == (10, index, 16)
    assert not plane_of(robot.labels, 12).any()
    robot.press(Qt.Key.Key_Z, ALT)
    assert robot.document.corrected == (index,)
    assert not plane_of(robot.labels, index).any()
    assert plane_of(robot.prediction, index).tobytes() == corrected
    robot.look_at(20)
    robot.press(Qt.Key.Key_Z, ALT | SHIFT)
    robot.press(Qt.Key.Key_Z, ALT | SHIFT)
    assert robot.document.annotated == tuple(range(10, 17))
    assert robot.document.corrected == ()
    robot.wait_until(lambda: set(robot.session.cases[0].annotation.slices) == set(range(10, 17)))


def _export(robot: Robot, path: Path) -> None:
    robot.widget.result.ask_export_path = lambda: path  # type: ignore[method-assign]
    robot.click(robot.widget.result, "Export…")
    robot.wait_until(lambda: "Writing" not in robot.result_message)
    assert robot.result_message.startswith("Saved mask.nii.gz")
    exported, sample = nib.load(path), nib.load(sample_folder() / "phantom.nii.gz")
    assert exported.shape == sample.shape
    assert np.allclose(exported.affine, sample.affine)
    read = read_labels(path)
    assert np.array_equal(read.array, robot.prediction.data)
    assert set(np.unique(np.asarray(exported.dataobj))) == {0, LIVER}
    image = read_volume(sample_folder() / "phantom.nii.gz")
    assert np.array_equal(image.array, robot.image.data)


def test_the_painted_sample_is_trained_with_the_compact_sam(robot: Robot) -> None:
    painted = robot.labels.data.copy()
    robot.settings(robot.widget.train.budget(), teacher="compact")
    robot.train()
    robot.stop()
    assert np.array_equal(robot.labels.data, painted)
    assert len(robot.document.predictions.indices) == robot.document.slice_count


@pytest.fixture
def propagating(robot: Robot) -> Robot:
    """Sample slices 10, 15 and 22 are painted, and will be propagated."""
    robot.settings(Budget(seconds=120.0), PROPAGATING)
    return robot


def test_propagated_labels_are_in_all_slices_before_the_first_step(propagating: Robot) -> None:
    predicted, stepped = list[int](), list[int]()
    said: list[str] = []
    propagating.presenter.controller.stepped.connect(lambda step, _: stepped.append(step.step))

    def note(ready: PredictionReady) -> None:
        if not stepped:
            predicted.extend(one.index for one in ready.slices)
            said.append(propagating.train_message)

    propagating.presenter.controller.predicted.connect(note)
    propagating.look_at(13)
    propagating.click(propagating.widget.train, "Train on my labels")
    propagating.wait_until(lambda: bool(stepped))
    assert predicted[0] == 13
    assert sorted(predicted) == list(range(32))
    assert said[0].startswith("Shown: propagated from your painted slices")
    between = [plane_of(propagating.prediction, index) == LIVER for index in (10, 13, 15)]
    assert between[1].sum() > 0.5 * min(between[0].sum(), between[2].sum()) > 0


def test_a_correction_changes_the_slices_beside_it_while_training_is_paused(propagating: Robot) -> None:
    _pause(propagating)
    propagating.look_at(12)
    before = {index: plane_of(propagating.prediction, index) for index in range(32)}
    steps = propagating.session.trainer.steps
    propagating.paint(propagating.prediction, LESION, [(12, 60, 55), (12, 60, 75)], size=12)
    propagating.wait_until(lambda: _changed(propagating, before) >= {11, 12, 13})
    assert _changed(propagating, before) <= set(range(10, 16))
    assert propagating.session.trainer.steps == steps
    assert "changes the slices beside it at once" in propagating.train_message


def test_a_stroke_on_the_labels_in_a_pause_corrects_the_slice_and_changes_those_beside_it(propagating: Robot) -> None:
    _pause(propagating)
    propagating.look_at(18)
    before = {index: plane_of(propagating.prediction, index) for index in range(32)}
    propagating.paint(propagating.labels, LESION, [(18, 60, 55), (18, 60, 75)], size=12)
    propagating.wait_until(lambda: _changed(propagating, before) >= {17, 18, 19})
    assert _changed(propagating, before) <= set(range(15, 23))
    stroke = plane_of(propagating.prediction, 18) != before[18]
    assert set(np.unique(plane_of(propagating.prediction, 18)[stroke])) == {LESION}
    assert propagating.document.corrected == (18,)
    assert not plane_of(propagating.labels, 18).any()


def test_before_any_training_a_painted_slice_changes_those_beside_it_without_a_click(propagating: Robot) -> None:
    assert not propagating.has_prediction
    _paint_slice_18(propagating)
    assert "Training adds to it once that helps" in propagating.train_message
    assert not propagating.is_running
    before = {index: plane_of(propagating.prediction, index) for index in range(32)}
    propagating.press(Qt.Key.Key_J)
    propagating.wait_until(lambda: _changed(propagating, before) >= {17, 19})
    assert _changed(propagating, before) <= set(range(15, 23))
    propagating.press(Qt.Key.Key_Z, ALT)
    propagating.wait_until(lambda: not _changed(propagating, before))


def test_scribbles_are_completed_in_their_slice_without_a_click(propagating: Robot) -> None:
    brush = propagating.document.brush_value
    propagating.look_at(26)
    propagating.paint(propagating.labels, LESION, [(26, 60, 62), (26, 60, 66)])
    propagating.press(Qt.Key.Key_J)
    propagating.paint(propagating.labels, brush, [(26, 30, 30), (26, 30, 90), (26, 90, 90), (26, 90, 30), (26, 30, 30)])
    assert propagating.document.state(26) is SliceState.PARTIAL
    stroke = np.count_nonzero(plane_of(propagating.labels, 26) == LESION)
    propagating.wait_until(lambda: propagating.has_prediction)
    propagating.wait_until(lambda: np.count_nonzero(plane_of(propagating.prediction, 26) == LESION) > 2 * stroke)
    assert not (plane_of(propagating.prediction, 26) == brush).any()
    assert propagating.document.fully_annotated == (10, 15, 22)


def test_when_all_but_one_slice_are_erased_what_was_propagated_goes(propagating: Robot) -> None:
    _paint_slice_18(propagating)
    for index in (15, 18, 22):
        propagating.labels.data[index] = 0
    propagating.presenter.layers.flush()
    propagating.wait_until(lambda: not propagating.document.predictions.indices)
    assert np.array_equal(propagating.prediction.data, propagating.labels.data)
    assert propagating.train_message.startswith("Paint further slices")


def test_a_propagation_that_fails_is_reported_where_one_paints(
    propagating: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(PropagationSession, "run", _fail)
        propagating.look_at(18)
        propagating.paint(propagating.labels, LESION, [(18, 60, 55), (18, 60, 75)], size=12)
        propagating.wait_until(lambda: "Propagation ended with" in propagating.annotate_message)
    _paint_slice_18(propagating)


def _fail(_: PropagationSession) -> NoReturn:
    raise ValueError("out of range")


def test_painted_and_accepted_slices_are_never_overwritten_by_propagation(propagating: Robot) -> None:
    _paint_slice_18(propagating)
    propagating.look_at(17)
    propagating.press(Qt.Key.Key_U)
    accepted = plane_of(propagating.labels, 17)
    propagating.look_at(18)
    propagating.paint(propagating.labels, LIVER, [(18, 30, 30), (18, 30, 50)], size=12)
    propagating.look_at(20)
    propagating.wait_until(lambda: (plane_of(propagating.prediction, 19) == LIVER).any())
    assert np.array_equal(plane_of(propagating.prediction, 17), accepted)
    assert np.array_equal(plane_of(propagating.prediction, 18), plane_of(propagating.labels, 18))


def test_with_live_off_nothing_is_propagated_until_it_is_on_again(propagating: Robot, qtbot: QtBot) -> None:
    propagating.widget.result.live_toggled.emit(False)
    propagating.look_at(18)
    propagating.paint(propagating.labels, LESION, [(18, 60, 55), (18, 60, 75)], size=12)
    propagating.press(Qt.Key.Key_K)
    qtbot.wait(300)
    assert not propagating.document.predictions.indices
    propagating.widget.result.live_toggled.emit(True)
    propagating.look_at(19)
    propagating.paint(propagating.labels, LESION, [(19, 60, 55), (19, 60, 75)], size=12)
    propagating.press(Qt.Key.Key_K)
    propagating.wait_until(lambda: len(propagating.document.predictions.indices) == propagating.document.slice_count)


def test_a_training_that_is_started_takes_over_from_propagation(propagating: Robot) -> None:
    _paint_slice_18(propagating)
    before = propagating.worker
    propagating.train()
    assert propagating.is_running
    propagating.wait_until(lambda: before is not None and before.is_done)
    propagating.wait_until(lambda: propagating.session.trainer.steps > 0)


def test_after_training_has_ended_a_correction_changes_the_slices_beside_it_at_once(propagating: Robot) -> None:
    propagating.train()
    propagating.wait_until(lambda: propagating.session.trainer.steps > 2)
    propagating.stop()
    propagating.wait_until(lambda: "Look through the slices" in propagating.train_message)
    # How training ended is to be read until its last predictions have followed.
    propagating.wait_until(lambda: "by themselves" not in propagating.train_message)
    propagating.look_at(12)
    before = {index: plane_of(propagating.prediction, index) for index in range(32)}
    propagating.paint(propagating.prediction, LESION, [(12, 60, 55), (12, 60, 75)], size=12)
    propagating.wait_until(lambda: _changed(propagating, before) >= {11, 12, 13})
    assert _changed(propagating, before) <= set(range(10, 16))
    assert "changes the slices beside it at once" in propagating.train_message
    assert not propagating.is_running


def _paint_slice_18(robot: Robot) -> None:
    """Paint one more slice, mark it as complete, and wait until all others show it."""
    robot.look_at(18)
    robot.paint(robot.labels, LESION, [(18, 60, 55), (18, 60, 75)], size=12)
    robot.press(Qt.Key.Key_K)
    robot.wait_until(lambda: robot.document.state(18) is SliceState.COMPLETE)
    robot.wait_until(lambda: len(robot.document.predictions.indices) == robot.document.slice_count)
    robot.wait_until(lambda: (plane_of(robot.prediction, 17) == LESION).any())


def _pause(robot: Robot) -> None:
    """Train until propagated labels are everywhere, and pause."""
    robot.train()
    robot.wait_until(lambda: len(robot.document.predictions.indices) == robot.document.slice_count)
    robot.click(robot.widget.train, "Pause")
    robot.wait_until(lambda: robot.train_message.startswith("Paused."))


def _changed(robot: Robot, before: Mapping[int, Values]) -> set[int]:
    return {index for index, plane in before.items() if not np.array_equal(plane_of(robot.prediction, index), plane)}


def test_a_class_added_while_training_is_learnt_without_a_restart(robot: Robot) -> None:
    robot.train()
    session = robot.session
    robot.click(robot.widget.annotate, "Add class")
    assert robot.labels.selected_label == 4
    robot.look_at(14)
    robot.wait_until(lambda: bool(robot.prediction.data[14].any()))
    robot.paint(robot.labels, 4, [(14, 40, 40), (14, 40, 55)])
    robot.wait_until(lambda: len(session.trainer.classes) == 5)
    robot.wait_until(lambda: 14 in session.cases[0].annotation.slices)
    learnt = session.cases[0].annotation.slices[14].labels
    assert {0, 4} <= set(np.unique(learnt)) <= {0, 1, 2, 3, 4}
    assert robot.is_running
    assert robot.session is session


def test_a_class_removed_while_training_is_gone_everywhere(robot: Robot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robot.widget.annotate, "confirm_removal", lambda _: True)
    robot.train()
    session = robot.session
    painted = robot.labels.data.copy()
    robot.widget.annotate.table.removal_requested.emit(KIDNEYS)
    robot.wait_until(lambda: [c.value for c in session.cases[0].annotation.classes] == [0, LIVER, LESION])
    assert np.array_equal(robot.labels.data, np.where(painted == KIDNEYS, 0, painted))
    before = session.trainer.steps
    robot.wait_until(lambda: session.trainer.steps > before + 2)
    assert KIDNEYS not in robot.prediction.data
    assert robot.is_running
    robot.press(Qt.Key.Key_Z, ALT)
    assert np.array_equal(robot.labels.data, painted)
    robot.wait_until(lambda: [c.value for c in session.cases[0].annotation.classes] == [0, LIVER, KIDNEYS, LESION])


def test_the_slice_that_is_painted_afresh_counts_as_partly_painted_until_it_is_left(robot: Robot) -> None:
    robot.train()
    robot.prediction.visible = False
    robot.look_at(14)
    robot.paint(robot.labels, LIVER, [(14, 40, 40), (14, 40, 55)])
    robot.wait_until(lambda: robot.document.state(14) is SliceState.PARTIAL)
    robot.look_at(15)
    assert robot.document.state(14) is SliceState.COMPLETE
    session = robot.session
    robot.wait_until(lambda: 14 in session.cases[0].annotation.slices)
    robot.wait_until(lambda: IGNORE not in session.cases[0].annotation.slices[14].labels)


def test_a_prediction_waits_for_the_end_of_a_stroke(window: WindowRobot) -> None:
    window.train()
    window.look_at(14)
    window.take_brush(window.prediction, LESION, size=5)
    before = window.worker
    window.press_mouse(window.prediction, (14, 60, 60))
    under_the_brush = plane_of(window.prediction, 14)
    other = plane_of(window.prediction, 13)
    window.wait_until(lambda: not np.array_equal(plane_of(window.prediction, 13), other))
    assert np.array_equal(plane_of(window.prediction, 14), under_the_brush)
    window.move_mouse(window.prediction, (14, 60, 70))
    window.release_mouse(window.prediction, (14, 60, 70))
    window.wait_until(lambda: window.document.corrected == (14,))
    assert (plane_of(window.prediction, 14)[60, 60:71] == LESION).all()
    assert window.worker is before


def test_a_paused_training_stands_still_and_goes_on(robot: Robot, qtbot: QtBot) -> None:
    robot.train()
    session = robot.session
    robot.click(robot.widget.train, "Pause")
    robot.wait_until(lambda: robot.train_message.startswith("Paused."))
    steps = session.trainer.steps
    qtbot.wait(200)
    assert session.trainer.steps == steps
    robot.click(robot.widget.train, "Resume")
    robot.wait_until(lambda: session.trainer.steps > steps)


def test_a_second_training_goes_on_where_the_first_one_ended(robot: Robot) -> None:
    robot.train()
    robot.stop()
    robot.look_at(12)
    robot.press(ACCEPT)
    trained = robot.presenter.controller.model(robot.document)
    assert trained is not None
    robot.click(robot.widget.train, "Train on my labels")
    robot.wait_until(lambda: robot.is_running and robot.worker.has_session)
    assert robot.session.plan.earlier is not None
    assert robot.session.plan.earlier.steps == trained.steps
    assert not robot.session.cases[0].annotation.slices[12].by_hand


def test_a_slice_is_accepted_by_its_key_whatever_layer_is_selected(window: WindowRobot) -> None:
    window.train()
    window.stop()
    for index, selected in ((12, window.image), (13, window.labels)):
        window.look_at(index)
        window.viewer.layers.selection.active = selected
        window.press(ACCEPT)
        assert index in window.document.annotated
    assert window.document.annotated == (10, 12, 13, 15, 22)
