"""Every wish of a panel ends where it belongs, and every fact is shown; with a session that needs no torch."""

from __future__ import annotations

import gc
import operator
import queue
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.layers import Image
from napari.utils.key_bindings import KeymapHandler
from qtpy.QtWidgets import QLabel, QTableWidget, QWidget

from knowsam.data.annotation import IGNORE, LabelClass, SliceState
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.document.edit import Edit
from knowsam.training import events
from knowsam.training.events import (
    ClassesChanged,
    Event,
    Finished,
    Message,
    Notice,
    Pause,
    PredictedSlice,
    PredictionReady,
    PredictionsGone,
    Resume,
    SliceAnnotated,
    Source,
    Stage,
    StageChanged,
    StepDone,
    Stop,
    Validated,
    Watch,
)
from napari_knowsam import _writer, exporting, model_keeping, status_messages, training_controller
from napari_knowsam.panels.annotate_panel import AnnotatePanel
from napari_knowsam.panels.case_bar import CaseBar
from napari_knowsam.panels.model_dialogs import Unsaved
from napari_knowsam.panels.result_panel import ResultPanel
from napari_knowsam.panels.start_choice import Start, StartChoice
from napari_knowsam.panels.terms_dialog import TermsDialog
from napari_knowsam.panels.train_panel import TrainPanel
from napari_knowsam.presenter import Presenter
from napari_knowsam.status_messages import Shown
from napari_knowsam.volume_layers import image_layer_data, labels_layer_data

if TYPE_CHECKING:
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Layer
    from pytestqt.qtbot import QtBot

    from knowsam.data.volume import Volume

LIVER, SPLEEN = 2, 5
PROPAGATED, LEARNT = events.Shown(Source.PROPAGATION, 0.0), events.Shown(Source.STUDENTS, 1.0)


@dataclass(frozen=True)
class Losses:
    supervised: float = 0.5
    total: float = 0.5


class FakeSession:
    """Tells what it is given, until it is told to stop."""

    students = object()
    display = None
    outdated = 0
    steps = 3

    def __init__(self) -> None:
        self.received: list[Message] = []
        self.happens: queue.SimpleQueue[Event | Exception | None] = queue.SimpleQueue()

    def submit(self, message: Message) -> None:
        self.received.append(message)
        if isinstance(message, Stop):
            self.happens.put(None)

    def run(self) -> Iterator[Event]:
        while (event := self.happens.get(timeout=10)) is not None:
            if isinstance(event, Exception):
                raise event
            yield event
        yield Finished(self.steps, 1.5, stopped=True, outdated=self.outdated)

    def continuation(self) -> Any:
        return SimpleNamespace(model=SimpleNamespace(steps=3), fits=lambda _: True)

    def of(self, kind: type[Message]) -> list[Any]:
        return [message for message in self.received if isinstance(message, kind)]


class Panels:
    """A presenter with its panels, on an image of which one slice is painted."""

    def __init__(
        self, viewer: ViewerModel, qtbot: QtBot, volume: Volume, classes: tuple[LabelClass, ...], session: FakeSession
    ) -> None:
        self.viewer, self.qtbot, self.session = viewer, qtbot, session
        self.shown = LEARNT
        data, kwargs, _ = image_layer_data(volume)
        self.image = viewer.add_image(data, **kwargs)
        values = type(volume)(np.zeros(volume.shape, np.uint8), volume.grid, "mine")
        data, kwargs, _ = labels_layer_data(values, classes)
        data[3, 2:5, 2:6] = LIVER
        self.labels = viewer.add_labels(data, **kwargs)
        self.annotate, self.train, self.result = AnnotatePanel(), TrainPanel(), ResultPanel()
        self.presenter = Presenter(viewer, self.annotate, self.train, self.result, CaseBar())
        self.presenter.start()
        self.layers = self.presenter.layers
        self.layers.sync.view.go_to(3)

    @property
    def document(self) -> Any:
        return self.layers.document

    def start(self) -> None:
        """Begin a training."""
        self.train.bar.train_requested.emit()
        self.qtbot.waitUntil(lambda: bool(self.session.of(Watch)), timeout=30_000)

    def tell(self, *events: Event | Exception) -> None:
        """Let the session tell events."""
        for event in events:
            self.session.happens.put(event)

    def predict(self, index: int, class_index: int, classes: tuple[LabelClass, ...] | None = None) -> None:
        labels = np.full(self.document.plane_shape, class_index, np.uint8)
        one = PredictedSlice(index, labels, np.full_like(labels, 40))
        self.tell(PredictionReady(0, (one,), classes or self.document.classes, 0, self.shown))

    def export(self, path: Path) -> None:
        """Export, and wait until it is said what came of it."""
        self.result.export_requested.emit(path)
        self.wait_until(lambda: "Writing" not in _said(self.result))

    def wait_until(self, condition: Callable[[], bool]) -> None:
        self.qtbot.waitUntil(condition, timeout=30_000)

    def press(self, key: str, layer: Layer | None = None) -> None:
        """Press a key, as napari hands it on from its canvas, with a layer selected."""
        handler = KeymapHandler()
        handler.keymap_providers = [self.viewer] if layer is None else [layer, self.viewer]
        handler.press_key(key)
        handler.release_key(key)

    @property
    def train_message(self) -> str:
        """What is said of the volume, without its name."""
        return self.train.bar._message.text().removeprefix("tiny: ")

    @property
    def annotate_message(self) -> str:
        return self.annotate._message.text()


def choose(box: StartChoice, start: Start) -> None:
    box.setCurrentIndex(box.findData(start.value))
    box.activated.emit(box.currentIndex())


@pytest.fixture(autouse=True)
def _nothing_learnt_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the sessions of these tests leave is no model."""
    monkeypatch.setattr("knowsam.training.continuation.write_continuation", lambda *_: None)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> FakeSession:
    session = FakeSession()
    monkeypatch.setattr(training_controller, "training_session", lambda *_: session)
    return session


@pytest.fixture
def panels(
    viewer: ViewerModel,
    qtbot: QtBot,
    tiny: Volume,
    classes: tuple[LabelClass, ...],
    session: FakeSession,
) -> Iterator[Panels]:
    panels = Panels(viewer, qtbot, tiny, classes, session)
    yield panels
    panels.presenter.close()
    for panel in (panels.annotate, panels.train, panels.result):
        panel.deleteLater()


@pytest.fixture
def training(panels: Panels) -> Panels:
    panels.start()
    panels.tell(StageChanged(Stage.TRAINING))
    panels.wait_until(lambda: panels.train_message.startswith("Learning"))
    return panels


def test_the_panels_show_what_there_is(panels: Panels) -> None:
    assert panels.annotate._images.currentText() == "tiny"
    assert panels.annotate._labels.currentText() == "mine"
    assert panels.annotate._axes.currentIndex() == 0
    assert panels.annotate.marks._current == 3
    assert panels.annotate.marks._states[3] is SliceState.COMPLETE
    assert panels.result._suggested_name == "tiny_mask.nii.gz"
    assert panels.result.bar._export.isEnabled()


def test_training_gets_the_painted_slices_and_the_slice_that_is_looked_at(training: Panels) -> None:
    assert training.session.of(Watch)[-1] == Watch(3)
    training.layers.sync.view.go_to(1)
    assert training.session.of(Watch)[-1] == Watch(1)


def test_predictions_are_taken_in_while_they_are_hidden(training: Panels) -> None:
    training.result.live_toggled.emit(False)
    assert training.session.of(Watch)[-1] == Watch(3)
    training.predict(1, 2)
    training.wait_until(lambda: 1 in training.document.predictions.indices)
    assert not training.viewer.layers["tiny prediction"].visible
    assert (training.document.mask()[1] == SPLEEN).all()


def test_predictions_are_taken_in_while_another_image_is_looked_at(training: Panels) -> None:
    trained = training.document
    training.viewer.add_image(np.random.default_rng(0).random(trained.volume.shape), name="other")
    training.layers.choose_image("other")
    training.layers.sync.view.go_to(5)
    assert training.document is not trained
    training.predict(1, 2, trained.classes)
    training.wait_until(lambda: 1 in trained.predictions.indices)
    assert training.session.of(Watch)[-1] == Watch(3)
    assert not training.document.predictions.indices


def test_a_second_training_goes_on_unless_new_networks_are_chosen(
    panels: Panels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_keeping, "ask_unsaved", lambda *_: Unsaved.DISCARD)
    lasts: list[Any] = []
    sessions = [panels.session, FakeSession(), FakeSession()]

    def make(_case: Any, _settings: Any, last: Any, _progress: Any) -> FakeSession:
        lasts.append(last)
        return sessions[len(lasts) - 1]

    monkeypatch.setattr(training_controller, "training_session", make)
    box = panels.train._start
    assert not box.isEnabled()
    for session in sessions:
        panels.session = session
        if session is sessions[2]:
            choose(box, Start.NEW)
        panels.start()
        panels.train.bar.stop_requested.emit()
        panels.wait_until(lambda: not panels.presenter.controller.is_running)
        panels.wait_until(box.isEnabled)
    assert [last is None for last in lasts] == [True, False, True]


def test_a_second_training_that_is_stopped_before_its_first_step_keeps_the_model(training: Panels) -> None:
    training.train.bar.stop_requested.emit()
    training.wait_until(lambda: training.train_message.startswith("Training stopped"))
    training.wait_until(lambda: not training.presenter.controller.is_running)
    training.session.steps = 0
    training.start()
    training.train.bar.stop_requested.emit()
    training.wait_until(lambda: training.train_message.startswith("Training ended before its first step"))
    assert "what was learnt before is kept" in training.train_message


def test_a_second_click_on_train_starts_nothing(training: Panels) -> None:
    worker = training.presenter.controller._worker
    training.train.bar.train_requested.emit()
    assert training.presenter.controller._worker is worker


def test_pause_resume_and_stop_reach_the_session(training: Panels) -> None:
    training.train.bar.pause_requested.emit()
    training.train.bar.resume_requested.emit()
    training.train.bar.stop_requested.emit()
    assert [m for m in training.session.received if isinstance(m, (Pause, Resume, Stop))] == [Pause(), Resume(), Stop()]
    training.wait_until(lambda: not training.presenter.controller.is_running)
    assert training.train_message.startswith("Training stopped after 3 steps")


def test_the_settings_cannot_change_while_training(training: Panels) -> None:
    assert not training.train._basic.isEnabled()
    training.train.bar.stop_requested.emit()
    training.wait_until(lambda: training.train._basic.isEnabled())


def test_whoever_chooses_a_class_can_paint_at_once(panels: Panels) -> None:
    for choose in (lambda: panels.annotate.table.class_chosen.emit(SPLEEN), lambda: panels.press("Alt-2")):
        panels.viewer.layers.selection.active, panels.labels.mode = panels.image, "pan_zoom"
        choose()
        assert panels.viewer.layers.selection.active is panels.labels
        assert (panels.labels.mode, panels.labels.selected_label) == ("paint", SPLEEN)


def test_a_step_moves_the_progress_and_says_how_it_stands(training: Panels) -> None:
    shown = events.Shown(Source.STUDENTS, 1.0, 0.75)
    training.tell(Validated(1, 0.75, adopted=True, shown=shown), StepDone(12, 0.5, 20.0, Losses()))  # type: ignore[arg-type]
    training.wait_until(lambda: training.train_message.startswith("Step 12"))
    assert "Dice is 0.75" in training.train_message
    assert training.train.bar._bar.value() == 50


def test_a_score_that_was_not_adopted_is_not_claimed(training: Panels) -> None:
    training.tell(Validated(1, 0.75, adopted=False, shown=LEARNT), StepDone(12, 0.5, 20.0, Losses()))  # type: ignore[arg-type]
    training.wait_until(lambda: training.train_message.startswith("Step 12"))
    assert "Dice" not in training.train_message


def test_steps_are_shown_together_and_the_last_one_is_named(training: Panels, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, said = list[int](), list[str]()
    monkeypatch.setattr(training.train, "add_losses", lambda step, _: drawn.append(step))
    monkeypatch.setattr(training.train.bar, "set_message", said.append)
    training.tell(*(StepDone(step, 0.5, 20.0, Losses()) for step in range(1, 21)))  # type: ignore[arg-type]
    training.wait_until(lambda: bool(drawn))
    assert drawn == list(range(1, 21))
    assert len(said) == 1
    assert said[0].startswith("tiny: Step 20")


def test_the_end_says_how_many_slices_are_older_and_so_do_accepting_and_exporting(
    training: Panels, tmp_path: Path
) -> None:
    training.predict(5, 1)
    training.session.outdated = 12
    training.train.bar.stop_requested.emit()
    training.wait_until(lambda: not training.presenter.controller.is_running)
    assert "12 slices still show an older prediction" in training.train_message
    training.result.bar.accept_all_requested.emit()
    assert "while 12 slices waited" in training.result.bar._message.text()
    training.result.bar.accept_all_requested.emit()
    assert training.result.bar._message.text() == ""
    assert "nothing to accept" in training.annotate_message
    training.export(tmp_path / "mask.nii.gz")
    assert "12 slices still show" in training.result.bar._message.text()


def test_a_notice_stays_under_the_sentence(training: Panels) -> None:
    training.tell(Notice("Memory ran out."), StepDone(12, 0.5, 20.0, Losses()))  # type: ignore[arg-type]
    training.wait_until(lambda: training.train_message.startswith("Step 12"))
    assert training.train_message.endswith("\nMemory ran out.")


def test_messages_on_a_result_are_removed_when_training_begins(panels: Panels) -> None:
    panels.result.set_message("Saved mask.nii.gz.")
    panels.start()
    assert panels.result.bar._message.text() == ""


def test_a_notice_goes_with_its_image(training: Panels) -> None:
    training.tell(Notice("Memory ran out."))
    training.wait_until(lambda: training.train_message.endswith("\nMemory ran out."))
    training.viewer.layers.remove(training.image)
    assert "The image was removed" in training.train_message
    assert "Memory" not in training.train_message


def test_notices_on_the_settings_are_not_repeated_under_the_training(training: Panels) -> None:
    training.tell(Notice("SAM does not teach.", by_default=True), Notice("Memory ran out."))
    training.wait_until(lambda: training.train_message.endswith("\nMemory ran out."))
    assert "does not teach" not in training.train_message


def test_messages_before_training_are_kept_until_there_is_news(panels: Panels) -> None:
    panels.start()
    panels.tell(Notice("SAM does not teach."), Notice("Training on 5 slices."), StageChanged(Stage.TRAINING))
    panels.wait_until(lambda: panels.train_message.startswith("Learning"))
    assert panels.train_message.endswith("\nSAM does not teach. Training on 5 slices.")
    panels.tell(Notice("Memory ran out."))
    panels.wait_until(lambda: panels.train_message.endswith("\nMemory ran out."))


def _validate(panels: Panels, shown: events.Shown) -> None:
    """Let training be found to add something to propagated labels, or nothing, and take a step."""
    panels.tell(Validated(12, None, adopted=True, shown=shown), StepDone(12, 0.5, 20.0, Losses()))  # type: ignore[arg-type]
    panels.wait_until(lambda: panels.train_message.startswith("Step 12"))


def test_propagated_labels_are_called_so_as_soon_as_they_are_shown(training: Panels) -> None:
    training.shown = PROPAGATED
    training.predict(1, 2)
    training.wait_until(lambda: training.train_message.startswith("Shown: propagated from your painted slices"))
    training.tell(StepDone(12, 0.5, 20.0, Losses()))  # type: ignore[arg-type]
    training.wait_until(lambda: training.train_message.startswith("Step 12"))
    assert status_messages.shown_sentence(Shown.PROPAGATED) in training.train_message
    training.tell(StageChanged(Stage.PAUSED))
    training.wait_until(lambda: training.train_message.startswith("Paused."))
    assert "slices beside it at once" in training.train_message


def test_training_that_does_not_make_propagated_labels_better_says_so_to_the_end(training: Panels) -> None:
    _validate(training, PROPAGATED)
    assert status_messages.shown_sentence(Shown.NOT_BETTER) in training.train_message
    training.train.bar.stop_requested.emit()
    training.wait_until(lambda: training.train_message.startswith("Training stopped"))
    assert "did not improve on what is propagated" in training.train_message


def test_training_that_adds_to_propagated_labels_says_so(training: Panels) -> None:
    _validate(training, events.Shown(Source.ENSEMBLE, 0.3))
    assert status_messages.shown_sentence(Shown.BOTH) in training.train_message


def test_where_nothing_is_propagated_only_the_model_is_claimed(training: Panels) -> None:
    _validate(training, LEARNT)
    assert status_messages.shown_sentence(Shown.LEARNT) in training.train_message


def test_an_error_is_reported_and_training_can_begin_again(training: Panels) -> None:
    training.tell(ValueError("no such thing"))
    training.wait_until(lambda: not training.presenter.controller.is_running)
    assert "no such thing" in training.train_message
    assert training.train.bar._train.isEnabled()


def test_a_prediction_is_shown_and_counted(training: Panels) -> None:
    training.predict(1, 2)
    training.wait_until(lambda: 1 in training.document.predictions.indices)
    layer = training.viewer.layers["tiny prediction"]
    assert (layer.data[1] == SPLEEN).all()
    training.wait_until(lambda: training.result.bar._export.isEnabled())


def test_a_prediction_of_other_classes_is_not_shown(training: Panels) -> None:
    before = training.document.classes
    training.layers.sync.change(AnnotationDocument.remove_class, SPLEEN)
    training.predict(1, 2, before)
    training.tell(Notice("afterwards"))
    training.wait_until(lambda: "afterwards" in training.train_message)
    assert not training.document.predictions.indices


def test_what_is_painted_while_training_reaches_the_session(training: Panels) -> None:
    training.labels.data[1, 1:3, 1:3] = SPLEEN
    training.layers.flush()
    submitted = training.session.of(SliceAnnotated)[-1].label_slice
    assert submitted.index == 1
    assert (submitted.labels[1:3, 1:3] == 2).all()
    assert submitted.labels[0, 0] == 0


def test_the_session_hears_who_made_the_labels(training: Panels) -> None:
    training.predict(1, 2)
    training.wait_until(lambda: 1 in training.document.predictions.indices)
    training.layers.sync.view.go_to(1)
    training.result.bar.accept_slice_requested.emit()
    submitted = training.session.of(SliceAnnotated)[-1]
    assert (submitted.label_slice.index, submitted.label_slice.by_hand) == (1, False)
    training.labels.data[2, 1:3, 1:3] = SPLEEN
    training.layers.flush()
    submitted = training.session.of(SliceAnnotated)[-1]
    assert (submitted.label_slice.index, submitted.label_slice.by_hand) == (2, True)


def test_a_mark_reaches_the_session(training: Panels) -> None:
    training.annotate.marks.mark_requested.emit(SliceState.PARTIAL)
    submitted = training.session.of(SliceAnnotated)[-1].label_slice
    assert (submitted.index, submitted.labels[0, 0]) == (3, IGNORE)
    training.annotate.marks.mark_requested.emit(None)
    assert training.session.of(SliceAnnotated)[-1].label_slice.labels[0, 0] == 0


def test_changes_of_the_classes_reach_the_session_and_the_table(training: Panels) -> None:
    training.annotate.class_added.emit()
    added = training.document.classes[-1]
    training.annotate.table.class_renamed.emit(added.value, "vessel")
    training.annotate.table.class_recolored.emit(added.value, (1, 2, 3))
    expected = LabelClass(added.value, "vessel", (1, 2, 3))
    assert training.session.of(ClassesChanged)[-1].classes[-1] == expected
    assert training.annotate._classes[-1] == expected
    assert np.allclose(training.labels.get_color(added.value)[:3], np.array([1, 2, 3]) / 255, atol=0.01)
    training.annotate.class_removed.emit(added.value)
    assert expected not in training.session.of(ClassesChanged)[-1].classes
    assert len(training.annotate._classes) == 3


def test_the_last_class_cannot_be_removed(panels: Panels) -> None:
    panels.annotate.class_removed.emit(SPLEEN)
    panels.annotate.class_removed.emit(LIVER)
    assert [c.value for c in panels.document.classes] == [0, LIVER]
    assert panels.annotate_message


def test_the_plane_changes_only_while_nothing_is_trained(training: Panels) -> None:
    training.annotate._axes.setCurrentIndex(1)
    training.annotate.axis_chosen.emit(1)
    assert training.document.axis == 0
    assert training.annotate._axes.currentIndex() == 0
    assert "The plane cannot change while training" in training.annotate_message
    training.train.bar.stop_requested.emit()
    training.wait_until(lambda: not training.presenter.controller.is_running)
    training.annotate.new_labels_requested.emit()
    training.annotate.axis_chosen.emit(1)
    assert training.document.axis == 1
    assert training.annotate._axes.currentIndex() == 1


def test_the_plane_does_not_change_under_what_is_painted(panels: Panels) -> None:
    panels.annotate._axes.setCurrentIndex(1)
    panels.annotate.axis_chosen.emit(1)
    assert panels.document.annotated == (3,)
    assert panels.annotate._axes.currentIndex() == 0
    assert "painted in axial slices" in panels.annotate_message


def test_a_class_is_chosen_in_the_table_and_in_napari(panels: Panels) -> None:
    panels.annotate.table.class_chosen.emit(SPLEEN)
    assert panels.labels.selected_label == SPLEEN
    panels.labels.selected_label = LIVER
    assert panels.annotate.table.chosen_value() == LIVER


def test_the_strip_and_the_arrows_move_the_viewer(panels: Panels) -> None:
    panels.annotate.marks.slice_requested.emit(5)
    assert panels.layers.sync.view.index == 5
    panels.annotate.marks.annotated_slice_requested.emit(-1)
    assert panels.layers.sync.view.index == 3


def test_new_labels_are_made_and_chosen_and_the_others_are_a_choice_away(panels: Panels) -> None:
    panels.annotate.new_labels_requested.emit()
    assert panels.document.annotated == ()
    assert panels.annotate._labels.count() == 2
    panels.annotate.labels_chosen.emit("mine")
    assert panels.document.annotated == (3,)


def test_what_is_seen_of_the_result_follows_the_panel(training: Panels) -> None:
    training.predict(1, 1)
    training.wait_until(lambda: 1 in training.document.predictions.indices)
    prediction = training.viewer.layers["tiny prediction"]
    training.result.opacity_chosen.emit(0.25)
    assert prediction.opacity == 0.25
    training.result.live_toggled.emit(False)
    assert not prediction.visible
    training.result.live_toggled.emit(True)
    assert prediction.visible
    training.result.uncertainty_toggled.emit(True)
    uncertainty = training.viewer.layers["tiny uncertainty"]
    assert isinstance(uncertainty, Image)
    assert (uncertainty.data[1] == 40).all()
    training.result.uncertainty_toggled.emit(False)
    assert not uncertainty.visible


def test_slices_are_accepted_undone_and_redone_from_the_panel(training: Panels) -> None:
    for index in range(6):
        training.predict(index, 1)
    training.wait_until(lambda: len(training.document.predictions.indices) == 6)
    training.layers.sync.view.go_to(4)
    training.result.bar.accept_slice_requested.emit()
    assert training.document.annotated == (3, 4)
    training.result.bar.accept_all_requested.emit()
    assert training.document.annotated == tuple(range(6))
    training.result.undo_requested.emit()
    assert training.document.annotated == (3, 4)
    training.result.redo_requested.emit()
    assert training.document.annotated == tuple(range(6))
    training.wait_until(lambda: training.result._undo.isEnabled())
    assert not training.result._redo.isEnabled()


def test_an_impossible_acceptance_is_reported(panels: Panels) -> None:
    panels.layers.sync.view.go_to(1)
    panels.result.bar.accept_slice_requested.emit()
    assert "holds nothing to accept" in panels.annotate_message
    panels.result.bar.accept_all_requested.emit()
    assert "There is nothing to accept: no prediction" in panels.annotate_message


def test_why_nobody_could_train_is_taken_back_once_something_is_painted(panels: Panels) -> None:
    panels.labels.data = np.zeros_like(panels.labels.data)
    panels.train.bar.train_requested.emit()
    assert panels.train_message.startswith("Nothing is painted yet")
    panels.labels.data[1, 2:5, 2:6] = LIVER
    panels.labels.refresh()
    panels.layers.flush()
    assert panels.train_message == status_messages.PAINTED


def test_the_plane_is_shown_as_fixed_only_while_training(training: Panels) -> None:
    training.annotate.axis_chosen.emit(1)
    assert "The plane cannot change while training" in training.annotate_message
    training.tell(None)
    training.wait_until(lambda: not training.presenter.controller.is_running)
    training.wait_until(lambda: training.annotate_message == "")


def test_other_work_is_named_only_while_it_goes_on(training: Panels, tmp_path: Path) -> None:
    training.annotate.project_requested.emit(tmp_path)
    assert training.annotate_message == status_messages.BUSY
    training.tell(None)
    training.wait_until(lambda: training.annotate_message == "")


def test_a_volume_is_called_by_the_name_of_its_image_in_the_list_of_layers(training: Panels) -> None:
    training.tell(StageChanged(Stage.PAUSED))
    training.wait_until(lambda: "Paused" in training.train_message)
    training.image.name = "patient 7"
    assert training.train.bar._message.text().startswith("patient 7: Paused.")
    training.tell(StageChanged(Stage.TRAINING))
    training.wait_until(lambda: "Learning" in training.train_message)
    assert training.train.bar._message.text().startswith("patient 7: Learning")
    training.image.name = "a_name_that_takes_the_room_of_a_sentence"
    assert training.train.bar._message.text().startswith("a_name_that_tak…om_of_a_sentence: Learning")
    training.image.name = "patient 7"
    training.viewer.layers.remove(training.image)
    training.wait_until(lambda: training.train_message.startswith("patient 7: The image was removed"))


@pytest.mark.parametrize("asks", ["train.model_box.apply_requested", "result.bar.propose_requested"])
def test_a_running_training_is_named_beside_models_only_while_it_does(training: Panels, asks: str) -> None:
    operator.attrgetter(asks)(training).emit()
    assert training.result.bar._message.text() == status_messages.BUSY
    training.tell(None)
    training.wait_until(lambda: training.result.bar._message.text() == "")


@pytest.mark.parametrize("is_written_before", [True, False])
def test_an_export_is_not_reported_of_another_volume(
    panels: Panels, tmp_path: Path, tiny: Volume, is_written_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    infos: list[str] = []
    monkeypatch.setattr(exporting, "show_info", infos.append)
    if is_written_before:
        panels.export(tmp_path / "mask.nii.gz")
    else:
        panels.result.export_requested.emit(tmp_path / "mask.nii.gz")
    data, kwargs, _ = image_layer_data(tiny)
    panels.viewer.add_image(data, **kwargs | {"name": "other"})
    panels.annotate.image_chosen.emit("other")
    assert "Saved" not in _said(panels.result)
    if not is_written_before:
        panels.wait_until(lambda: bool(infos))
        assert infos[0].startswith("tiny: Saved mask.nii.gz")
        assert "mask.nii.gz" not in _said(panels.result)


def test_who_closes_the_panel_still_gets_the_file(
    panels: Panels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    infos: list[str] = []
    monkeypatch.setattr(exporting, "show_info", infos.append)
    panels.result.export_requested.emit(tmp_path / "mask.nii.gz")
    panels.presenter.close()
    panels.wait_until(lambda: bool(infos))
    assert (tmp_path / "mask.nii.gz").is_file()


def test_the_volumes_follow_what_is_painted(panels: Panels, tiny: Volume) -> None:
    rows = dict(panels.document.volumes_ml())
    assert rows[panels.document.classes[1]] == pytest.approx(12 * tiny.voxel_volume_ml)
    assert "tiny" in panels.result._suggested_name


def test_who_looks_at_the_volumes_is_shown_what_else_was_measured(panels: Panels) -> None:
    panels.wait_until(lambda: panels.result.findChild(QTableWidget).rowCount() == 2)
    panels.result.volumes_looked_at.emit()
    panels.wait_until(lambda: "mm" in panels.result.findChild(QTableWidget).item(0, 0).toolTip())
    # The slice (3, 2:5, 2:6) of voxels that count from 0.
    assert "Grey values: 273.5" in panels.result.findChild(QTableWidget).item(0, 0).toolTip()


def test_a_mask_is_written_without_any_training(panels: Panels, tmp_path: Path) -> None:
    panels.export(tmp_path / "mask.nii.gz")
    assert (tmp_path / "mask.nii.gz").is_file()
    assert "Saved mask.nii.gz, on the grid of tiny." in _said(panels.result)
    assert "no prediction" not in _said(panels.result)


@pytest.mark.parametrize("answer", [True, False])
def test_surfaces_of_several_classes_replace_their_own_files_only_if_asked(
    panels: Panels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bool
) -> None:
    panels.labels.data[3, 6, 6] = SPLEEN
    panels.labels.refresh()
    monkeypatch.setattr(exporting, "confirm_overwrite", lambda *_: answer)
    existing = tmp_path / f"organs_{SPLEEN}_spleen.stl"
    existing.touch()
    panels.export(tmp_path / "organs.stl")
    assert bool(existing.stat().st_size) == answer
    assert (tmp_path / f"organs_{LIVER}_liver.stl").exists() == answer


def test_a_report_is_a_kind_of_file(panels: Panels, tmp_path: Path) -> None:
    panels.export(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "\nSaved report.html.\n" in _said(panels.result)
    assert "A person painted or corrected 1 of 6 slices: 4." in page
    assert "liver" in page
    assert "tiny" not in page.split("base64")[0]


def test_an_export_reports_unconfirmed_outlines(panels: Panels, tmp_path: Path) -> None:
    outline = Edit(LIVER, {1: np.ones(panels.document.plane_shape, bool)}, is_by_sam=True)
    panels.layers.sync.change(AnnotationDocument.edit, outline, "outlining in")
    panels.export(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "A person painted or corrected 1 of 6 slices: 4." in page
    assert "SAM outlined structures in 1 of 6 slices: 2." in page
    assert "One slice was outlined by SAM" in _said(panels.result)


def test_the_names_of_classes_go_into_the_file(panels: Panels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[Any] = []
    monkeypatch.setattr(_writer, "write_label_file", lambda _path, _values, _grid, classes, **_: handed.append(classes))
    panels.export(tmp_path / "mask.nii.gz")
    assert handed == [panels.document.classes]


def test_a_segmentation_of_an_image_that_is_not_from_dicom_is_refused(
    panels: Panels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TermsDialog, "exec", lambda _: 1)
    panels.export(tmp_path / "seg.dcm")
    assert "tiny was not read from DICOM" in _said(panels.result)
    assert not (tmp_path / "seg.dcm").exists()


def test_an_export_that_is_thought_better_of_says_nothing(
    panels: Panels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TermsDialog, "exec", lambda _: 0)
    panels.export(tmp_path / "seg.dcm")
    assert "seg.dcm" not in _said(panels.result)
    assert not (tmp_path / "seg.dcm").exists()


def test_an_export_that_lacks_predictions_says_so(training: Panels, tmp_path: Path) -> None:
    training.predict(1, 2)
    training.wait_until(lambda: 1 in training.document.predictions.indices)
    training.export(tmp_path / "mask.nii.gz")
    assert "4 slices have no prediction yet and are empty." in _said(training.result)


def test_without_an_image_nothing_of_the_last_one_is_shown(training: Panels) -> None:
    training.predict(1, 2)
    training.wait_until(lambda: training.result.bar._export.isEnabled())
    training.annotate.marks.mark_requested.emit(SliceState.PARTIAL)
    training.viewer.layers.clear()
    assert training.annotate.marks._states == ()
    assert not training.result._undo.isEnabled()
    assert training.result._volumes.rowCount() == 0
    assert "The image was removed" in training.train_message


def test_nothing_holds_on_to_an_image_that_was_removed_while_it_was_trained_on(training: Panels) -> None:
    gone = weakref.ref(training.document)
    training.viewer.layers.remove(training.image)
    training.qtbot.wait(100)
    gc.collect()
    assert training.presenter.controller.work is None
    assert training.presenter.controller._work is None
    assert gone() is None


def test_training_ends_when_its_image_is_removed_while_another_is_looked_at(training: Panels) -> None:
    training.viewer.add_image(np.random.default_rng(0).random((6, 7, 8)), name="other")
    training.layers.choose_image("other")
    training.viewer.layers.remove(training.image)
    assert not training.presenter.controller.is_running
    assert "The image was removed" in training.train_message
    assert training.document is not None


def test_no_message_is_shown_of_an_image_that_is_gone(training: Panels) -> None:
    training.train.bar.stop_requested.emit()
    training.wait_until(lambda: not training.presenter.controller.is_running)
    assert training.train_message.startswith("Training stopped")
    training.viewer.layers.remove(training.image)
    assert training.train_message == status_messages.NO_IMAGE


def test_the_next_steps_are_shown_until_something_goes_on(panels: Panels) -> None:
    assert panels.train_message == status_messages.PAINTED
    panels.labels.data[3] = 0
    panels.layers.flush()
    assert panels.train_message == status_messages.READY
    panels.viewer.layers.remove(panels.image)
    assert panels.train_message == status_messages.NO_IMAGE
    panels.viewer.add_layer(panels.image)
    panels.wait_until(lambda: panels.train_message == status_messages.READY)


def test_where_nothing_is_propagated_the_next_thing_is_to_paint_on_or_to_train(panels: Panels) -> None:
    panels.result.live_toggled.emit(False)
    panels.labels.data[1, 2:5, 2:6] = LIVER
    panels.layers.flush()
    assert panels.document.can_propagate
    assert panels.train_message == status_messages.PAINTED


def test_a_class_painted_just_now_is_not_removed_without_a_question(
    panels: Panels, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[LabelClass] = []
    monkeypatch.setattr(panels.annotate, "confirm_removal", lambda one: asked.append(one))
    panels.labels.data_setitem((np.array([1]), np.array([1]), np.array([1])), SPLEEN)
    panels.wait_until(lambda: 1 in panels.document.annotated)
    panels.wait_until(lambda: SPLEEN in panels.annotate._painted)
    panels.annotate.table.removal_requested.emit(SPLEEN)
    assert [one.value for one in asked] == [SPLEEN]
    assert SPLEEN in [one.value for one in panels.document.classes]


def test_a_slice_that_is_complete_by_painting_can_be_marked_and_unmarked(panels: Panels) -> None:
    complete = panels.annotate.marks._mark_buttons[SliceState.COMPLETE]
    complete.click()
    assert panels.document.marks.get(3) is SliceState.COMPLETE
    panels.wait_until(lambda: bool(panels.annotate.marks._marks))
    complete.click()
    assert panels.document.marks.get(3) is None


def test_after_it_is_closed_it_hears_and_shows_nothing(training: Panels, qtbot: QtBot) -> None:
    training.labels.data[1, 1:3, 1:3] = SPLEEN
    training.presenter.close()
    training.presenter.close()
    before = len(training.session.received)
    training.annotate.class_added.emit()
    training.layers.flush()
    qtbot.wait(200)
    assert len(training.session.received) == before
    assert not training.presenter.controller.is_running
    assert training.layers.document is None


def _open_another(panels: Panels, tiny: Volume) -> None:
    data, kwargs, _ = image_layer_data(tiny)
    other = panels.viewer.add_image(data.copy(), **kwargs | {"name": "other"})
    panels.wait_until(lambda: panels.layers.sync.image is other)


def _paint_two_slices(panels: Panels) -> None:
    for index in (1, 4):
        panels.layers.sync.layers.labels.layer.paint((index, 4, 5), 1)
    panels.layers.flush()


def _said(widget: QWidget) -> str:
    return "\n".join(label.text() for label in widget.findChildren(QLabel))


def test_messages_on_a_training_name_its_volume_while_another_one_is_on_the_screen(
    training: Panels, tiny: Volume
) -> None:
    _open_another(training, tiny)
    training.tell(StepDone(12, 0.5, 20.0, Losses()))  # type: ignore[arg-type]
    training.wait_until(lambda: "Step 12" in training.train_message)
    assert training.train.bar._message.text().startswith("tiny: Step 12")


def test_messages_on_an_ended_training_go_when_another_image_is_chosen(training: Panels, tiny: Volume) -> None:
    training.tell(Notice("Memory ran out."))
    training.train.bar.stop_requested.emit()
    training.wait_until(lambda: training.train_message.startswith("Training stopped"))
    training.wait_until(lambda: not training.presenter.controller.is_running)
    _open_another(training, tiny)
    assert training.train.bar._message.text() == status_messages.READY
    training.annotate.image_chosen.emit("tiny")
    assert training.train.bar._message.text() == status_messages.PAINTED


def test_labels_are_reported_as_propagated_only_in_their_volume(
    panels: Panels, tiny: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_controller, "propagation_session", lambda *_: FakeSession())
    panels.labels.paint((1, 4, 5), LIVER)
    panels.layers.flush()
    assert panels.train.bar._message.text() == f"tiny: {status_messages.PROPAGATING}"
    _open_another(panels, tiny)
    _paint_two_slices(panels)
    assert panels.train.bar._message.text() == f"other: {status_messages.PROPAGATING}"


def test_of_a_volume_that_was_not_trained_no_lack_of_gain_is_reported(
    training: Panels, tiny: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    _validate(training, PROPAGATED)
    training.tell(None)
    training.wait_until(lambda: not training.presenter.controller.is_running)
    monkeypatch.setattr(training_controller, "propagation_session", lambda *_: training.session)
    _open_another(training, tiny)
    _paint_two_slices(training)
    training.shown = PROPAGATED
    training.predict(3, 1)
    said = f"other: {status_messages.shown_sentence(Shown.PROPAGATED)}"
    training.wait_until(lambda: training.train.bar._message.text().startswith(said))


def test_where_all_slices_are_accepted_the_panel_does_not_ask_to_paint(
    panels: Panels, monkeypatch: pytest.MonkeyPatch
) -> None:
    propagating = FakeSession()
    monkeypatch.setattr(training_controller, "propagation_session", lambda *_: propagating)
    panels.labels.data[:, 2:5, 2:6] = LIVER
    panels.layers.flush()
    # It has nothing left to propagate to.
    propagating.happens.put(PredictionsGone(0))
    panels.wait_until(lambda: panels.train_message.startswith(status_messages.shown_sentence(Shown.ANNOTATED)))


def test_keys_say_how_much_of_a_slice_is_painted(panels: Panels) -> None:
    for key, state in (("J", SliceState.PARTIAL), ("K", SliceState.COMPLETE)):
        panels.press(key)
        assert panels.document.marks.get(3) is state
        assert panels.document.state(3) is state


def test_a_key_marks_an_empty_slice_as_background_only(panels: Panels) -> None:
    panels.layers.sync.view.go_to(1)
    states = []
    for key in ("G", "Alt-Z", "Alt-Shift-Z"):
        panels.press(key)
        states.append(panels.document.state(1))
    assert states == [SliceState.BACKGROUND_ONLY, SliceState.UNLABELLED, SliceState.BACKGROUND_ONLY]


@pytest.mark.parametrize("selected", ["image", "labels", "prediction"])
@pytest.mark.parametrize("undo", ["Control-Z", "Alt-Z"])
def test_there_is_one_undo_for_all_slices_and_layers_in_the_order_of_the_acts(
    training: Panels, undo: str, selected: str
) -> None:
    training.predict(1, 1)
    training.wait_until(lambda: 1 in training.document.predictions)
    prediction = training.viewer.layers["tiny prediction"]
    view = training.layers.sync.view
    view.go_to(1)
    prediction.paint((1, 4, 5), SPLEEN)
    view.go_to(4)
    training.labels.paint((4, 4, 5), SPLEEN)
    view.go_to(0)
    layer = {"image": training.image, "labels": training.labels, "prediction": prediction}[selected]
    seen, said = [], []
    for key in (undo, undo, undo.replace("Z", "Shift-Z"), undo):
        training.press(key, layer)
        seen.append(view.index)
        said.append(training.annotate_message)
    assert seen == [4, 1, 1, 1]
    assert (
        said
        == ["Undo: painting of slice 5.", *("Undo: correction of slice 2.", "Redo: correction of slice 2.") * 2][:4]
    )
    assert training.document.annotated == (3,)
    assert (prediction.data[1] == LIVER).all()
    assert training.labels.data[4].sum() == 0
    training.press(undo, layer)
    assert training.annotate_message == "There is nothing to undo."
    states = {one.label_slice.index: one.label_slice.state for one in training.session.of(SliceAnnotated)}
    assert states == {1: SliceState.UNLABELLED, 4: SliceState.UNLABELLED}


def test_the_undone_action_is_shown_until_somebody_paints_again(panels: Panels) -> None:
    panels.labels.paint((4, 4, 5), SPLEEN)
    panels.layers.flush()
    panels.press("Alt-Z", panels.labels)
    assert panels.annotate_message == "Undo: painting of slice 5."
    panels.labels.paint((2, 4, 5), SPLEEN)
    panels.layers.flush()
    assert panels.annotate_message == ""


def test_the_keys_of_undo_are_given_back_with_the_layers(panels: Panels) -> None:
    panels.presenter.close()
    panels.labels.paint((4, 4, 5), SPLEEN)
    panels.press("Control-Z", panels.labels)
    assert panels.labels.data[4].sum() == 0
    assert not panels.labels.keymap


def test_a_mark_that_cannot_be_is_refused_with_a_sentence(panels: Panels) -> None:
    panels.layers.sync.view.go_to(1)
    panels.press("K")
    assert panels.document.state(1) is SliceState.UNLABELLED
    assert panels.annotate_message.startswith("Nothing is painted in slice 2")


def test_alt_and_a_number_choose_a_class_if_there_is_one(panels: Panels) -> None:
    for key, value in (("Alt-2", SPLEEN), ("Alt-9", SPLEEN), ("Alt-1", LIVER)):
        panels.press(key)
        assert panels.labels.selected_label == value
        assert panels.annotate.table.chosen_value() == value


def test_n_goes_from_one_annotated_slice_to_the_next_and_back(panels: Panels) -> None:
    visited = []
    for index in (5, 1):
        panels.layers.sync.view.go_to(index)
        panels.press("G")
    for key in ("N", "N", "Shift-N", "Shift-N", "Shift-N"):
        panels.press(key)
        visited.append(panels.layers.sync.view.index)
    assert visited == [3, 5, 3, 1, 1]
