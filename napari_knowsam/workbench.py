"""Where the parts of the plugin meet: every signal of a panel, the bridge or the controller ends in one slot here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from knowsam.data.annotation import BACKGROUND, IGNORE, SliceState
from knowsam.data.case import Case
from knowsam.errors import InputError, KnowSAMError
from knowsam.training.events import ClassesChanged, SliceAnnotated, Stage, Watch
from napari_knowsam import narration
from napari_knowsam._writer import save_labels
from napari_knowsam.autosave import Autosave
from napari_knowsam.keys import Keys
from napari_knowsam.layer_bridge import LayerBridge
from napari_knowsam.orientation_letters import OrientationLetters
from napari_knowsam.training_controller import TrainingController, TrainingSettings

if TYPE_CHECKING:
    from pathlib import Path

    from napari.viewer import Viewer

    from knowsam.data.annotation import Annotation, LabelArray, LabelClass, LabelSlice
    from knowsam.training.events import Finished, PredictionReady, StepDone, Validated
    from napari_knowsam.panels.annotate_panel import AnnotatePanel
    from napari_knowsam.panels.result_panel import ResultPanel
    from napari_knowsam.panels.train_panel import TrainPanel
    from napari_knowsam.snapshot import Snapshot
    from napari_knowsam.worksheet import Worksheet

_COALESCE_MS = 100


class Workbench(QObject):
    """Connects one viewer, the panels and the training; knows how each of them is told, and nothing of how it works.

    It has no Qt parent, so that it can still end the training when its widget is being destroyed.
    """

    def __init__(self, viewer: Viewer, annotate: AnnotatePanel, train: TrainPanel, result: ResultPanel) -> None:
        super().__init__()
        self._annotate, self._train, self._result = annotate, train, result
        self.bridge = LayerBridge(viewer)
        self.controller = TrainingController()
        self.autosave = Autosave(parent=self)
        self._letters = OrientationLetters(viewer)
        self._keys = Keys(viewer, self._key_actions())
        self._in_training: Worksheet | None = None
        self._live = True
        self._dice: float | None = None
        self._notice = ""
        self._sentence = narration.READY
        self._closed = False
        # Predictions arrive many a second; the panels follow a few times a second.
        self._panels_due = QTimer(self)
        self._panels_due.setSingleShot(True)
        self._panels_due.setInterval(_COALESCE_MS)
        self._panels_due.timeout.connect(self._show_worksheet)
        self._connect_annotate()
        self._connect_train()
        self._connect_result()
        self._connect_bridge()
        self._connect_controller()
        self._connect_autosave()

    @property
    def is_closed(self) -> bool:
        """Whether it has let go of its viewer."""
        return self._closed

    def start(self) -> None:
        """Choose the first image and show what there is."""
        self.bridge.choose_image(None)
        self._say(narration.READY)

    def close(self) -> None:
        """End the training, save, let go of the viewer; what was painted stays in its layers."""
        if self._closed:
            return
        self._closed = True
        self._panels_due.stop()
        self.controller.close()
        self.bridge.flush()
        self.autosave.close()
        self._keys.close()
        self._letters.close()
        self.bridge.close()

    def _connect_annotate(self) -> None:
        panel, bridge = self._annotate, self.bridge
        panel.image_chosen.connect(self._guarded(bridge.choose_image))
        panel.labels_chosen.connect(self._guarded(bridge.choose_labels))
        panel.new_labels_requested.connect(self._guarded(bridge.new_labels))
        panel.axis_chosen.connect(self._on_axis_chosen)
        panel.class_chosen.connect(bridge.select_class)
        panel.class_added.connect(self._guarded(bridge.add_class))
        panel.class_renamed.connect(self._guarded(bridge.rename_class))
        panel.class_recolored.connect(self._guarded(bridge.recolor_class))
        panel.class_removed.connect(self._guarded(bridge.remove_class))
        panel.slice_requested.connect(bridge.go_to)
        panel.mark_requested.connect(self._guarded(bridge.mark))
        panel.annotated_slice_requested.connect(bridge.go_to_annotated)

        panel.restore_requested.connect(self._guarded(self._restore))
        panel.offer_declined.connect(self.autosave.settle)

    def _connect_train(self) -> None:
        self._train.train_requested.connect(self._on_train_requested)
        self._train.pause_requested.connect(self.controller.pause)
        self._train.resume_requested.connect(self.controller.resume)
        self._train.stop_requested.connect(self._on_stop_requested)

    def _connect_result(self) -> None:
        panel, bridge = self._result, self.bridge
        panel.live_toggled.connect(self._on_live_toggled)
        panel.opacity_chosen.connect(bridge.set_opacity)
        panel.uncertainty_toggled.connect(bridge.set_uncertainty_visible)
        panel.accept_slice_requested.connect(self._guarded(bridge.accept_slice))
        panel.accept_between_requested.connect(self._guarded(bridge.accept_between))
        panel.accept_all_requested.connect(self._guarded(bridge.accept_all))
        panel.undo_requested.connect(self._guarded(bridge.undo))
        panel.redo_requested.connect(self._guarded(bridge.redo))
        panel.export_requested.connect(self._on_export_requested)

    def _key_actions(self) -> dict[str, Callable[[], object]]:
        bridge = self.bridge
        actions: dict[str, Callable[[], object]] = {
            "N": lambda: bridge.go_to_annotated(1),
            "Shift-N": lambda: bridge.go_to_annotated(-1),
            "K": self._guarded(partial(bridge.mark, SliceState.COMPLETE)),
            "J": self._guarded(partial(bridge.mark, SliceState.PARTIAL)),
            "G": self._guarded(partial(bridge.mark, SliceState.BACKGROUND_ONLY)),
            "U": self._guarded(bridge.accept_slice),
            "Alt-Z": self._guarded(bridge.undo),
            "Alt-Shift-Z": self._guarded(bridge.redo),
        }
        return actions | {f"Alt-{number}": partial(self._choose_class, number) for number in range(1, 10)}

    def _guarded(self, action: Callable[..., object]) -> Callable[..., None]:
        """Return the action, with an error it tells the person of as a sentence under the first panel."""

        def act(*values: object) -> None:
            self._annotate.set_message("")
            try:
                action(*values)
            except KnowSAMError as error:
                self._annotate.set_message(str(error))

        return act

    def _choose_class(self, number: int) -> None:
        """Choose a class by its place in the table; the first is background."""
        worksheet = self.bridge.worksheet
        if worksheet is not None and number < len(worksheet.classes):
            self.bridge.select_class(worksheet.classes[number].value)

    def _on_axis_chosen(self, axis: int) -> None:
        if self.controller.is_running:
            self._annotate.set_message("The plane cannot change while training. Stop the training first.")
        else:
            self._guarded(self.bridge.choose_axis)(axis)
        if self.bridge.worksheet is not None:
            self._annotate.set_axis(self.bridge.worksheet.axis)

    def _restore(self) -> None:
        """Bring back what is offered, in the plane it was painted in."""
        self.bridge.flush()
        offer, worksheet = self.autosave.offer, self.bridge.worksheet
        if offer is None or worksheet is None:
            return
        if offer.axis != worksheet.axis:
            if worksheet.annotated:
                raise InputError(
                    "The slices to restore were painted in another plane than those you have painted now. "
                    "Make new labels (New), and restore the slices into them."
                )
            self._on_axis_chosen(offer.axis)
            worksheet = self.bridge.worksheet
        if worksheet is not None and worksheet.axis == offer.axis:
            self._take_back(worksheet, offer)

    def _take_back(self, worksheet: Worksheet, offer: Snapshot) -> None:
        self.bridge.restore(offer)
        if not worksheet.snapshot().holds(offer):
            return
        self.autosave.settle()
        if worksheet.corrected:
            # Corrections are seen in the prediction layer alone.
            self.bridge.set_live_visible(self._live)

    def _on_train_requested(self) -> None:
        if self.controller.is_running:
            return
        try:
            self._start_training()
        except KnowSAMError as error:
            self._say(str(error))

    def _start_training(self) -> None:
        self.bridge.flush()
        worksheet = self.bridge.worksheet
        if worksheet is None:
            raise InputError("There is no image to train on. Open a NIfTI file or a DICOM folder first.")
        worksheet.open_index = None
        annotation = worksheet.annotation()
        _require_trainable(annotation)
        settings = TrainingSettings(
            self._train.budget(), self._train.config(), self._train.teacher(), self._train.device()
        )
        self._dice, self._notice, self._in_training = None, "", worksheet
        self._train.clear_plot()
        self.controller.train(Case(worksheet.volume, annotation), settings)
        self._watch()

    def _on_stop_requested(self) -> None:
        self.controller.stop()

    def _on_live_toggled(self, live: bool) -> None:
        self._live = live
        self.bridge.set_live_visible(live)
        self._watch()

    def _on_export_requested(self, path: Path) -> None:
        self.bridge.flush()
        worksheet = self.bridge.worksheet
        if worksheet is None:
            return
        try:
            save_labels(path, worksheet.mask(), worksheet.volume, overwrite=True)
        except KnowSAMError as error:
            self._result.set_message(str(error))
        else:
            self._result.set_message(f"Saved {path.name}, on the grid of {worksheet.volume.name}.")

    def _connect_bridge(self) -> None:
        bridge = self.bridge
        bridge.images_changed.connect(self._annotate.set_images)
        bridge.labels_changed.connect(self._annotate.set_labels)
        bridge.worksheet_changed.connect(self._on_worksheet_changed)
        bridge.slice_annotated.connect(self._on_slice_annotated)
        bridge.classes_changed.connect(self._on_classes_changed)
        bridge.slices_changed.connect(self._show_worksheet_soon)
        bridge.history_changed.connect(self._show_worksheet_soon)
        bridge.looked_at.connect(self._on_looked_at)
        bridge.class_selected.connect(self._annotate.select_class)
        bridge.problem.connect(self._annotate.set_message)

    def _on_worksheet_changed(self) -> None:
        worksheet = self.bridge.worksheet
        known = worksheet is not None and self.bridge.has_known_orientation
        self._letters.set_visible(known)
        if worksheet is not None:
            self._annotate.set_axis(worksheet.axis)
            self._annotate.set_classes(worksheet.classes, worksheet.brush_value, worksheet.painted_values())
            self._annotate.set_current_slice(self.bridge.current_index)
            self._result.set_suggested_name(f"{worksheet.volume.name}_mask.nii.gz")
        if self.controller.is_running and not self._holds_trained_image():
            self.controller.close()
            self._say("The image was removed, so its training was ended. Open it again to go on.")
        self.autosave.watch(worksheet)
        self._watch()
        self._show_worksheet()

    def _holds_trained_image(self) -> bool:
        return self._in_training is None or self.bridge.holds(self._in_training)

    def _on_slice_annotated(self, label_slice: LabelSlice) -> None:
        if self._is_current():
            self.controller.submit(SliceAnnotated(label_slice))
        self._show_worksheet_soon()

    def _on_classes_changed(self, classes: tuple[LabelClass, ...]) -> None:
        worksheet = self.bridge.worksheet
        if worksheet is None:
            return
        self._annotate.set_classes(classes, worksheet.brush_value, worksheet.painted_values())
        if self._is_current():
            self.controller.submit(ClassesChanged(classes))
        self._show_worksheet_soon()

    def _on_looked_at(self, index: int) -> None:
        self._annotate.set_current_slice(index)
        self._watch()

    def _watch(self) -> None:
        """Tell the session which slice is on the screen, or that nobody looks."""
        looking = self._live and self._is_current()
        self.controller.submit(Watch(self.bridge.current_index if looking else None))

    def _is_current(self) -> bool:
        """Whether the volume on the screen is the one that is trained on."""
        return self._in_training is not None and self.bridge.worksheet is self._in_training

    def _show_worksheet_soon(self, *_: object) -> None:
        if not self._closed and not self._panels_due.isActive():
            self._panels_due.start()

    def _show_worksheet(self) -> None:
        worksheet = self.bridge.worksheet
        if worksheet is None:
            self._result.set_has_prediction(False)
            return
        self._annotate.set_slices(worksheet.states(), worksheet.corrected)
        self._result.set_has_prediction(bool(worksheet.predicted or worksheet.annotated))
        self._result.set_volumes(worksheet.volumes_ml())
        self._result.set_history(worksheet.undo_name, worksheet.redo_name)

    def _connect_autosave(self) -> None:
        self.autosave.offered.connect(self._annotate.set_offer)
        self.autosave.problem.connect(self._annotate.set_message)

    def _connect_controller(self) -> None:
        controller = self.controller
        controller.stage_changed.connect(self._on_stage_changed)
        controller.stepped.connect(self._on_stepped)
        controller.validated.connect(self._on_validated)
        controller.predicted.connect(self._on_predicted)
        controller.noticed.connect(self._on_noticed)
        controller.failed.connect(self._say)
        controller.finished.connect(self._on_finished)

    def _on_stage_changed(self, stage: Stage | None) -> None:
        self._train.set_stage(stage)
        self._train.set_settings_enabled(stage is None)
        self.bridge.set_training(stage is not None)
        if stage is not None:
            self._say(narration.stage_sentence(stage))

    def _on_stepped(self, step: StepDone, seconds_left: float | None) -> None:
        self._train.set_progress(step.step, step.progress, seconds_left)
        self._train.add_losses(step.step, asdict(step.losses) | {"total": step.losses.total})
        if self._in_training is not None:
            self._say(narration.training_sentence(step, len(self._in_training.annotated), self._dice))

    def _on_validated(self, validated: Validated) -> None:
        if validated.adopted:
            self._dice = validated.dice
        self._train.add_dice(validated.step, validated.dice, validated.adopted)

    def _on_predicted(self, ready: PredictionReady) -> None:
        worksheet = self.bridge.worksheet
        # A prediction made before a class went away counts its classes otherwise; a new one is on its way.
        if worksheet is None or not self._is_current() or _values(ready.classes) != _values(worksheet.classes):
            return
        self.bridge.apply_predictions((one.index, one.labels, one.uncertainty_percent) for one in ready.slices)

    def _on_noticed(self, notice: str) -> None:
        self._notice = notice
        self._say(self._sentence)

    def _on_finished(self, finished: Finished) -> None:
        self._notice = ""
        self._say(narration.finished_sentence(finished))

    def _say(self, sentence: str) -> None:
        self._sentence = sentence
        self._train.set_message(f"{sentence}\n{self._notice}".strip())


def _values(classes: tuple[LabelClass, ...]) -> list[int]:
    return [label_class.value for label_class in classes]


def _require_trainable(annotation: Annotation) -> None:
    """Check that there is something to learn and something to tell it from."""
    painted = [label_slice.labels for label_slice in annotation.slices.values()]
    if not any((labels != BACKGROUND).any() for labels in map(_judged, painted)):
        raise InputError(
            "Nothing is painted yet. Choose a class, paint the structure in a few slices, then train on them."
        )
    if not any((labels == BACKGROUND).any() for labels in map(_judged, painted)):
        raise InputError(
            "All painted slices are marked as partly painted, so nothing is known to be background. "
            "Mark one as complete (K), or paint some background with the background brush."
        )


def _judged(labels: LabelArray) -> LabelArray:
    return labels[labels != IGNORE]
