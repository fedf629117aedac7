"""Where the parts of the plugin meet: every signal of a panel, the bridge or the controller ends in one slot here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from knowsam.data.annotation import BACKGROUND, IGNORE, SliceState
from knowsam.data.case import Case
from knowsam.errors import InputError, KnowSAMError
from knowsam.training.events import ClassesChanged, SliceAnnotated, Watch
from napari_knowsam import narration
from napari_knowsam._writer import export_mask
from napari_knowsam.autosave import Autosave
from napari_knowsam.keys import Keys
from napari_knowsam.layer_bridge import LayerBridge
from napari_knowsam.orientation_letters import OrientationLetters
from napari_knowsam.panels.terms_dialog import ask_terms
from napari_knowsam.training_controller import TrainingController, TrainingSettings
from napari_knowsam.training_display import TrainingDisplay

if TYPE_CHECKING:
    from pathlib import Path

    from napari.viewer import Viewer

    from knowsam.data.annotation import Annotation, LabelArray, LabelClass, LabelSlice
    from knowsam.training.events import PredictionReady, Stage
    from napari_knowsam.panels.annotate_panel import AnnotatePanel
    from napari_knowsam.panels.result_panel import ResultPanel
    from napari_knowsam.panels.train_panel import TrainPanel
    from napari_knowsam.snapshot import Snapshot
    from napari_knowsam.worksheet import Worksheet

_SOON_MS = 100
_PREDICTIONS_MS = 500
"""Predictions arrive many a second; the panels follow twice a second, since every repaint delays the brush."""


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
        self._live = True
        self._closed = False
        self._letters_shown = False
        self._display = TrainingDisplay(train, self.controller, self)
        self._panels_due = QTimer(self)
        self._panels_due.setSingleShot(True)
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
        self._display.say(narration.READY)

    def show_letters(self) -> None:
        """Show the letters of orientation, whose first drawing takes a while."""
        self._letters_shown = True
        self._letters.set_visible(self.bridge.worksheet is not None and self.bridge.has_known_orientation)

    def end(self) -> None:
        """Close, as far as Qt still lets us: where the program ends without closing its window, not very far."""
        try:
            self.close()
        except RuntimeError:
            self.controller.abandon()

    def close(self) -> None:
        """End the training, save, let go of the viewer; what was painted stays in its layers."""
        if self._closed:
            return
        self._closed = True
        self._panels_due.stop()
        self.controller.close()
        self._display.close()
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
        self._train.stop_requested.connect(self.controller.stop)

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
            self._display.say(str(error))

    def _start_training(self) -> None:
        self.bridge.flush()
        worksheet = self.bridge.worksheet
        if worksheet is None:
            raise InputError("There is no image to train on. Open an image file or a DICOM folder first.")
        if self.bridge.plane_question is not None:
            raise InputError(self.bridge.plane_question)
        worksheet.open_index = None
        annotation = worksheet.annotation()
        _require_trainable(annotation)
        train = self._train
        settings = TrainingSettings(
            train.budget(), train.config(), train.teacher(), train.device(), continued=train.continues()
        )
        self._display.begin(worksheet, settings.config)
        self.controller.train(Case(worksheet.volume, annotation), settings, worksheet, worksheet.machine_made)
        self._watch()

    def _on_live_toggled(self, live: bool) -> None:
        self._live = live
        self.bridge.set_live_visible(live)
        self._watch()

    def _on_export_requested(self, path: Path) -> None:
        self.bridge.flush()
        worksheet = self.bridge.worksheet
        if worksheet is None:
            return
        source = worksheet.volume
        mask = replace(source, array=worksheet.mask(), classes=worksheet.classes)
        try:
            saved = export_mask(path, mask, source, partial(ask_terms, self._result))
        except KnowSAMError as error:
            self._result.set_message(str(error))
            return
        if saved:
            empty_slices = worksheet.unpredicted if worksheet.predicted else 0
            self._result.set_message(narration.saved_sentence(path.name, source.name, empty_slices))

    def _connect_bridge(self) -> None:
        bridge = self.bridge
        bridge.images_changed.connect(self._on_images_changed)
        bridge.labels_changed.connect(self._annotate.set_labels)
        bridge.worksheet_changed.connect(self._on_worksheet_changed)
        bridge.slice_annotated.connect(self._on_slice_annotated)
        bridge.classes_changed.connect(self._on_classes_changed)
        bridge.slices_changed.connect(self._on_slices_changed)
        bridge.history_changed.connect(self._show_worksheet_soon)
        bridge.looked_at.connect(self._on_looked_at)
        bridge.class_selected.connect(self._annotate.select_class)
        bridge.problem.connect(self._annotate.set_message)

    def _on_images_changed(self, names: list[str], chosen: str | None) -> None:
        self._annotate.set_images(names, chosen)
        work, is_trained = self.controller.work, self.controller.is_running
        if work is not None and not self.bridge.holds(work):
            self.controller.close()
            if not is_trained:
                return
            self._display.say(
                "The image was removed, so its training was ended, and what was learnt is gone. "
                "What you painted was kept: open the image again to get it back."
            )

    def _on_worksheet_changed(self) -> None:
        worksheet = self.bridge.worksheet
        known = worksheet is not None and self.bridge.has_known_orientation
        self._letters.set_visible(known and self._letters_shown)
        if worksheet is not None:
            self._annotate.set_axis(worksheet.axis)
            self._annotate.set_classes(worksheet.classes, worksheet.brush_value, worksheet.painted_values())
            self._annotate.set_current_slice(self.bridge.current_index)
            volume = worksheet.volume
            self._result.set_suggested_name(f"{volume.name}_mask.nii.gz", dicom=bool(volume.dicom_files))
        self.autosave.watch(worksheet)
        self._watch()
        self._show_worksheet()

    def _on_slice_annotated(self, label_slice: LabelSlice) -> None:
        worksheet = self.bridge.worksheet
        if worksheet is not None and self._is_current():
            self.controller.submit(SliceAnnotated(label_slice, by_hand=worksheet.by_hand(label_slice.index)))
        else:
            self._propagate()
        self._show_worksheet_soon()

    def _propagate(self) -> None:
        """Show without a training what the painted slices say of the others, as soon as two of them are complete."""
        worksheet, config = self.bridge.worksheet, self._train.config()
        if worksheet is None or self.controller.is_running or not self._live or self.bridge.plane_question is not None:
            return
        if config.method.shape_prior and len(worksheet.outlined) > 1:
            self.controller.propagate(Case(worksheet.volume, worksheet.annotation()), config, worksheet)
            self._watch()

    def _on_slices_changed(self) -> None:
        """Follow the predictions; what a person does comes by other signals too, and is shown sooner."""
        self._show_worksheet_within(_PREDICTIONS_MS)

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
        """Tell the session which slice is on the screen.

        A training goes on to predict while another volume is there or nothing is to be seen: what is exported must be
        complete.
        """
        if self._is_current():
            is_watched = self._live or self.controller.is_running
            self.controller.submit(Watch(self.bridge.current_index if is_watched else None))

    def _is_current(self) -> bool:
        """Whether the volume on the screen is the one that training or propagation goes on with."""
        return self.controller.work is not None and self.bridge.worksheet is self.controller.work

    def _show_worksheet_soon(self) -> None:
        self._show_worksheet_within(_SOON_MS)

    def _show_worksheet_within(self, milliseconds: int) -> None:
        due = self._panels_due
        if not self._closed and (not due.isActive() or due.remainingTime() > milliseconds):
            due.start(milliseconds)

    def _show_worksheet(self) -> None:
        worksheet = self.bridge.worksheet
        if worksheet is None:
            self._show_nothing()
            return
        marks = {index: mark for index in worksheet.marked if (mark := worksheet.mark_of(index)) is not None}
        self._annotate.set_slices(worksheet.states(), worksheet.corrected, marks)
        self._annotate.set_painted(worksheet.painted_values())
        self._train.set_can_continue(self.controller.can_continue(worksheet))
        self._result.set_has_prediction(bool(worksheet.predicted or worksheet.annotated))
        self._result.set_volumes(worksheet.volumes_ml())
        self._result.set_history(worksheet.undo_name, worksheet.redo_name)

    def _show_nothing(self) -> None:
        self._annotate.set_slices((), (), {})
        self._annotate.set_painted(frozenset())
        self._train.set_can_continue(False)
        self._result.set_has_prediction(False)
        self._result.set_volumes(())
        self._result.set_history(None, None)

    def _connect_autosave(self) -> None:
        self.autosave.offered.connect(self._annotate.set_offer)
        self.autosave.problem.connect(self._annotate.set_message)

    def _connect_controller(self) -> None:
        self.controller.stage_changed.connect(self._on_stage_changed)
        self.controller.predicted.connect(self._on_predicted)

    def _on_stage_changed(self, stage: Stage | None) -> None:
        self.bridge.set_training(stage is not None)
        if stage is None:
            self._show_worksheet_soon()

    def _on_predicted(self, ready: PredictionReady) -> None:
        worksheet = self.controller.work
        # A prediction made before a class went away counts its classes otherwise; a new one is on its way.
        if worksheet is not None and _values(ready.classes) == _values(worksheet.classes):
            slices = ((one.index, one.labels, one.uncertainty_percent) for one in ready.slices)
            self.bridge.apply_predictions(slices, worksheet)


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
