"""From the first stroke to the file, as a person does it: with the mouse, the keys and the buttons, and with torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from qtpy.QtCore import Qt
from story import PROPAGATING, Desk, plane_of, wait_for_threads

from knowsam.data.annotation import IGNORE, SliceState
from knowsam.data.sampling import SliceKey
from knowsam.io.nifti import read_nifti, read_nifti_labels
from knowsam.io.sample import sample_folder
from knowsam.training.schedule import Budget

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari.viewer import Viewer
    from pytestqt.qtbot import QtBot
    from story import Values

    from knowsam.training.events import PredictionReady

LIVER, KIDNEYS, LESION = 1, 2, 3
ACCEPT = Qt.Key.Key_U
ALT = Qt.KeyboardModifier.AltModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def desk(make_napari_viewer: Callable[..., Viewer], qtbot: QtBot) -> Iterator[Desk]:
    desk = Desk(make_napari_viewer, qtbot)
    yield desk
    desk.widget.close_workbench()
    wait_for_threads(qtbot, 5.0)


def test_from_the_first_stroke_to_the_file(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, tmp_path: Path
) -> None:
    desk = Desk(make_napari_viewer, qtbot, "phantom")
    _paint_two_slices(desk)
    desk.train()
    _see_the_prediction_change_twice(desk)
    corrected = _correct(desk, 13)
    _accept_and_take_back(desk, 13, corrected)
    desk.stop()
    assert "stopped after" in desk.train_message
    _export(desk, tmp_path / "mask.nii.gz")
    desk.widget.close_workbench()
    wait_for_threads(qtbot)


def _paint_two_slices(desk: Desk) -> None:
    for index in (10, 16):
        desk.look_at(index)
        desk.paint(desk.labels, LIVER, [(index, 25, 25), (index, 45, 35), (index, 25, 40)], size=9)
    desk.wait_until(lambda: desk.sheet.annotated == (10, 16))
    assert (plane_of(desk.labels, 10) == LIVER).sum() > 100
    assert desk.sheet.state(10) is SliceState.COMPLETE


def _see_the_prediction_change_twice(desk: Desk) -> None:
    desk.look_at(13)
    seen: set[bytes] = set()

    def is_new() -> bool:
        seen.add(plane_of(desk.prediction, 13).tobytes())
        return len(seen) >= 3

    desk.wait_until(is_new)
    assert desk.is_running


def _correct(desk: Desk, index: int) -> bytes:
    """Paint over the prediction and see that training takes it in and that no later prediction takes it away."""
    desk.paint(desk.prediction, LIVER, [(index, 60, 60), (index, 60, 75)], size=6)
    desk.wait_until(lambda: index in desk.sheet.corrected)
    corrected = plane_of(desk.prediction, index)
    assert (corrected[58:63, 60:75] == LIVER).all()
    desk.wait_until(lambda: index in desk.session.cases[0].annotation.slices)
    learnt = desk.session.cases[0].annotation.slices[index].labels
    assert np.array_equal(learnt, corrected)
    elsewhere = plane_of(desk.prediction, index + 1)
    desk.wait_until(lambda: not np.array_equal(plane_of(desk.prediction, index + 1), elsewhere))
    assert np.array_equal(plane_of(desk.prediction, index), corrected)
    return corrected.tobytes()


def _accept_and_take_back(desk: Desk, index: int, corrected: bytes) -> None:
    desk.press(ACCEPT)
    assert desk.sheet.corrected == ()
    assert plane_of(desk.labels, index).tobytes() == corrected
    assert desk.sheet.state(index) is SliceState.COMPLETE
    desk.click(desk.widget.result, "Between")
    assert desk.sheet.annotated == tuple(range(10, 17))
    desk.look_at(11)
    desk.press(Qt.Key.Key_Z, ALT)
    assert desk.sheet.annotated == (10, index, 16)
    assert not plane_of(desk.labels, 12).any()
    desk.press(Qt.Key.Key_Z, ALT)
    assert desk.sheet.corrected == (index,)
    assert not plane_of(desk.labels, index).any()
    assert plane_of(desk.prediction, index).tobytes() == corrected
    desk.look_at(20)
    desk.press(Qt.Key.Key_Z, ALT | SHIFT)
    desk.press(Qt.Key.Key_Z, ALT | SHIFT)
    assert desk.sheet.annotated == tuple(range(10, 17))
    assert desk.sheet.corrected == ()
    desk.wait_until(lambda: set(desk.session.cases[0].annotation.slices) == set(range(10, 17)))


def _export(desk: Desk, path: Path) -> None:
    desk.widget.result.ask_export_path = lambda: path  # type: ignore[method-assign]
    desk.click(desk.widget.result, "Export…")
    assert desk.result_message.startswith("Saved mask.nii.gz")
    exported, sample = nib.load(path), nib.load(sample_folder() / "phantom.nii.gz")
    assert exported.shape == sample.shape
    assert np.allclose(exported.affine, sample.affine)
    read = read_nifti_labels(path)
    assert np.array_equal(read.array, desk.prediction.data)
    assert set(np.unique(np.asarray(exported.dataobj))) == {0, LIVER}
    image = read_nifti(sample_folder() / "phantom.nii.gz")
    assert np.array_equal(image.array, desk.image.data)


def test_the_painted_sample_is_trained_with_the_compact_sam(desk: Desk) -> None:
    painted = desk.labels.data.copy()
    desk.settings(desk.widget.train.budget(), teacher="compact")
    desk.train()
    desk.stop()
    assert np.array_equal(desk.labels.data, painted)
    assert len(desk.sheet.predicted) == desk.sheet.slice_count


@pytest.fixture
def propagating(desk: Desk) -> Desk:
    """Sample slices 10, 15 and 22 are painted, and will be propagated."""
    desk.settings(Budget(seconds=120.0), PROPAGATING)
    return desk


def test_propagated_labels_are_in_all_slices_before_the_first_step(propagating: Desk) -> None:
    predicted, stepped = list[int](), list[int]()
    said: list[str] = []
    propagating.workbench.controller.stepped.connect(lambda step, _: stepped.append(step.step))

    def note(ready: PredictionReady) -> None:
        if not stepped:
            predicted.extend(one.index for one in ready.slices)
            said.append(propagating.train_message)

    propagating.workbench.controller.predicted.connect(note)
    propagating.look_at(13)
    propagating.click(propagating.widget.train, "Train on my labels")
    propagating.wait_until(lambda: bool(stepped))
    assert predicted[0] == 13
    assert sorted(predicted) == list(range(32))
    assert said[0].startswith("Shown: propagated from your painted slices")
    between = [plane_of(propagating.prediction, index) == LIVER for index in (10, 13, 15)]
    assert between[1].sum() > 0.5 * min(between[0].sum(), between[2].sum()) > 0


def test_a_correction_changes_the_slices_beside_it_while_training_is_paused(propagating: Desk) -> None:
    _pause(propagating)
    propagating.look_at(12)
    before = {index: plane_of(propagating.prediction, index) for index in range(32)}
    steps = propagating.session.trainer.steps
    propagating.paint(propagating.prediction, LESION, [(12, 60, 55), (12, 60, 75)], size=12)
    propagating.wait_until(lambda: _changed(propagating, before) >= {11, 12, 13})
    assert _changed(propagating, before) <= set(range(10, 16))
    assert propagating.session.trainer.steps == steps
    assert "changes the slices beside it at once" in propagating.train_message


def test_a_slice_painted_in_a_pause_changes_those_beside_it_once_it_is_complete(
    propagating: Desk,
) -> None:
    _pause(propagating)
    propagating.look_at(18)
    before = {index: plane_of(propagating.prediction, index) for index in range(32)}
    propagating.paint(propagating.labels, LESION, [(18, 60, 55), (18, 60, 75)], size=12)
    propagating.wait_until(lambda: propagating.sheet.state(18) is SliceState.PARTIAL)
    assert _changed(propagating, before) == {18}
    propagating.press(Qt.Key.Key_K)
    propagating.wait_until(lambda: _changed(propagating, before) >= {17, 18, 19})
    assert _changed(propagating, before) <= set(range(15, 23))


def test_before_any_training_a_painted_slice_changes_those_beside_it_without_a_click(propagating: Desk) -> None:
    assert not propagating.has_prediction
    _paint_slice_18(propagating)
    assert "no network yet" in propagating.train_message
    assert not propagating.is_running
    before = {index: plane_of(propagating.prediction, index) for index in range(32)}
    propagating.press(Qt.Key.Key_J)
    propagating.wait_until(lambda: _changed(propagating, before) >= {17, 19})
    assert _changed(propagating, before) <= set(range(15, 23))
    propagating.press(Qt.Key.Key_Z, ALT)
    propagating.wait_until(lambda: not _changed(propagating, before))


def test_painted_and_accepted_slices_are_never_overwritten_by_propagation(propagating: Desk) -> None:
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


def test_with_live_off_nothing_is_propagated_until_it_is_on_again(propagating: Desk, qtbot: QtBot) -> None:
    propagating.widget.result.live_toggled.emit(False)
    propagating.look_at(18)
    propagating.paint(propagating.labels, LESION, [(18, 60, 55), (18, 60, 75)], size=12)
    propagating.press(Qt.Key.Key_K)
    qtbot.wait(300)
    assert propagating.sheet.predicted == ()
    propagating.widget.result.live_toggled.emit(True)
    propagating.look_at(19)
    propagating.paint(propagating.labels, LESION, [(19, 60, 55), (19, 60, 75)], size=12)
    propagating.press(Qt.Key.Key_K)
    propagating.wait_until(lambda: len(propagating.sheet.predicted) == propagating.sheet.slice_count)


def test_a_training_that_is_started_takes_over_from_propagation(propagating: Desk) -> None:
    _paint_slice_18(propagating)
    before = propagating.workbench.controller._worker
    propagating.train()
    assert propagating.is_running
    propagating.wait_until(lambda: before is not None and before.is_done)
    propagating.wait_until(lambda: propagating.session.trainer.steps > 0)


def test_after_training_has_ended_a_correction_changes_the_slices_beside_it_at_once(propagating: Desk) -> None:
    propagating.train()
    propagating.wait_until(lambda: propagating.session.trainer.steps > 2)
    propagating.stop()
    propagating.look_at(12)
    before = {index: plane_of(propagating.prediction, index) for index in range(32)}
    propagating.paint(propagating.prediction, LESION, [(12, 60, 55), (12, 60, 75)], size=12)
    propagating.wait_until(lambda: _changed(propagating, before) >= {11, 12, 13})
    assert _changed(propagating, before) <= set(range(10, 16))
    assert "changes the slices beside it at once" in propagating.train_message
    assert not propagating.is_running


def _paint_slice_18(desk: Desk) -> None:
    """Paint one more slice, mark it as complete, and wait until all others show it."""
    desk.look_at(18)
    desk.paint(desk.labels, LESION, [(18, 60, 55), (18, 60, 75)], size=12)
    desk.press(Qt.Key.Key_K)
    desk.wait_until(lambda: desk.sheet.state(18) is SliceState.COMPLETE)
    desk.wait_until(lambda: len(desk.sheet.predicted) == desk.sheet.slice_count)
    desk.wait_until(lambda: (plane_of(desk.prediction, 17) == LESION).any())


def _pause(desk: Desk) -> None:
    """Train until propagated labels are everywhere, and pause."""
    desk.train()
    desk.wait_until(lambda: len(desk.sheet.predicted) == desk.sheet.slice_count)
    desk.click(desk.widget.train, "Pause")
    desk.wait_until(lambda: desk.train_message.startswith("Paused."))


def _changed(desk: Desk, before: Mapping[int, Values]) -> set[int]:
    return {index for index, plane in before.items() if not np.array_equal(plane_of(desk.prediction, index), plane)}


def test_a_class_added_while_training_is_learnt_without_a_restart(desk: Desk) -> None:
    desk.train()
    session = desk.session
    desk.click(desk.widget.annotate, "Add class")
    assert desk.labels.selected_label == 4
    desk.look_at(14)
    desk.paint(desk.labels, 4, [(14, 40, 40), (14, 40, 55)])
    desk.wait_until(lambda: len(session.trainer.classes) == 5)
    desk.wait_until(lambda: 14 in session.cases[0].annotation.slices)
    learnt = session.cases[0].annotation.slices[14].labels
    assert {4} <= set(np.unique(learnt)) <= {4, IGNORE}
    desk.look_at(15)
    desk.wait_until(lambda: 0 in session.cases[0].annotation.slices[14].labels)
    assert desk.is_running
    assert desk.session is session


def test_a_class_removed_while_training_is_gone_everywhere(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.widget.annotate, "confirm_removal", lambda _: True)
    desk.train()
    session = desk.session
    painted = desk.labels.data.copy()
    desk.widget.annotate._table.removal_requested.emit(KIDNEYS)
    desk.wait_until(lambda: [c.value for c in session.cases[0].annotation.classes] == [0, LIVER, LESION])
    assert np.array_equal(desk.labels.data, np.where(painted == KIDNEYS, 0, painted))
    before = session.trainer.steps
    desk.wait_until(lambda: session.trainer.steps > before + 2)
    assert KIDNEYS not in desk.prediction.data
    assert desk.is_running
    desk.press(Qt.Key.Key_Z, ALT)
    assert np.array_equal(desk.labels.data, painted)
    desk.wait_until(lambda: [c.value for c in session.cases[0].annotation.classes] == [0, LIVER, KIDNEYS, LESION])


def test_the_slice_under_the_brush_counts_as_partly_painted_until_it_is_left(desk: Desk) -> None:
    desk.train()
    desk.look_at(14)
    desk.paint(desk.labels, LIVER, [(14, 40, 40), (14, 40, 55)])
    desk.wait_until(lambda: desk.sheet.state(14) is SliceState.PARTIAL)
    desk.look_at(15)
    assert desk.sheet.state(14) is SliceState.COMPLETE
    session = desk.session
    desk.wait_until(lambda: 14 in session.cases[0].annotation.slices)
    desk.wait_until(lambda: IGNORE not in session.cases[0].annotation.slices[14].labels)


def test_a_prediction_waits_for_the_end_of_a_stroke(desk: Desk) -> None:
    desk.train()
    desk.look_at(14)
    desk.take_brush(desk.prediction, LESION, size=5)
    before = desk.workbench.controller._worker
    desk.press_mouse(desk.prediction, (14, 60, 60))
    under_the_brush = plane_of(desk.prediction, 14)
    other = plane_of(desk.prediction, 13)
    desk.wait_until(lambda: not np.array_equal(plane_of(desk.prediction, 13), other))
    assert np.array_equal(plane_of(desk.prediction, 14), under_the_brush)
    desk.move_mouse(desk.prediction, (14, 60, 70))
    desk.release_mouse(desk.prediction, (14, 60, 70))
    desk.wait_until(lambda: desk.sheet.corrected == (14,))
    assert (plane_of(desk.prediction, 14)[60, 60:71] == LESION).all()
    assert desk.workbench.controller._worker is before


def test_a_paused_training_stands_still_and_goes_on(desk: Desk, qtbot: QtBot) -> None:
    desk.train()
    session = desk.session
    desk.click(desk.widget.train, "Pause")
    desk.wait_until(lambda: desk.train_message.startswith("Paused."))
    steps = session.trainer.steps
    qtbot.wait(200)
    assert session.trainer.steps == steps
    desk.click(desk.widget.train, "Resume")
    desk.wait_until(lambda: session.trainer.steps > steps)


def test_a_second_training_goes_on_where_the_first_one_ended(desk: Desk) -> None:
    desk.train()
    desk.stop()
    desk.look_at(12)
    desk.press(ACCEPT)
    trained = desk.workbench.controller._trained.get(desk.sheet)
    assert trained is not None
    desk.click(desk.widget.train, "Train on my labels")
    desk.wait_until(lambda: desk.is_running and desk.workbench.controller._worker.has_session)
    assert desk.session.plan.earlier is not None
    assert desk.session.plan.earlier.steps == trained.model.steps
    assert desk.session.trainer.selection._machine_made == {SliceKey(0, 12)}


def test_a_key_says_how_much_of_a_slice_is_painted(desk: Desk) -> None:
    index = desk.sheet.annotated[0]
    desk.look_at(index)
    for key, state in ((Qt.Key.Key_J, SliceState.PARTIAL), (Qt.Key.Key_K, SliceState.COMPLETE)):
        desk.press(key)
        assert desk.sheet.mark_of(index) is state
        assert desk.sheet.state(index) is state


def test_a_key_marks_an_empty_slice_as_background_only(desk: Desk) -> None:
    desk.look_at(1)
    desk.press(Qt.Key.Key_G)
    assert desk.sheet.state(1) is SliceState.BACKGROUND_ONLY
    desk.press(Qt.Key.Key_Z, ALT)
    assert desk.sheet.state(1) is SliceState.UNLABELLED
    desk.press(Qt.Key.Key_Z, ALT | SHIFT)
    assert desk.sheet.state(1) is SliceState.BACKGROUND_ONLY


@pytest.mark.parametrize("selected", ["image", "labels"])
def test_a_slice_is_accepted_by_its_key_whatever_layer_is_selected(desk: Desk, selected: str) -> None:
    desk.train()
    desk.stop()
    desk.look_at(12)
    desk.viewer.layers.selection.active = getattr(desk, selected)
    desk.press(ACCEPT)
    assert desk.sheet.annotated == (10, 12, 15, 22)


def test_a_mark_that_cannot_be_is_refused_with_a_sentence(desk: Desk) -> None:
    desk.look_at(1)
    desk.press(Qt.Key.Key_K)
    assert desk.sheet.state(1) is SliceState.UNLABELLED
    assert desk.annotate_message.startswith("Nothing is painted in slice 1")


def test_alt_and_a_number_choose_a_class(desk: Desk) -> None:
    for key, value in ((Qt.Key.Key_3, LESION), (Qt.Key.Key_2, KIDNEYS), (Qt.Key.Key_1, LIVER)):
        desk.press(key, ALT)
        assert desk.labels.selected_label == value
        assert desk.widget.annotate._table.chosen_value() == value


def test_a_number_without_a_class_chooses_nothing(desk: Desk) -> None:
    desk.press(Qt.Key.Key_2, ALT)
    desk.press(Qt.Key.Key_9, ALT)
    assert desk.labels.selected_label == 2


def test_n_goes_from_one_annotated_slice_to_the_next_and_back(desk: Desk) -> None:
    first, second, third = desk.sheet.annotated
    desk.look_at(first)
    visited = []
    for modifier in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.NoModifier, SHIFT, SHIFT, SHIFT):
        desk.press(Qt.Key.Key_N, modifier)
        visited.append(desk.workbench.bridge.current_index)
    assert visited == [second, third, second, first, first]
