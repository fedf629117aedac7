"""Where the parts of the plugin meet: every signal of a panel, the layers or the controller ends in one slot here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from knowsam.data.annotation import SliceState
from knowsam.data.ends import Side
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.errors import KnowSAMError
from knowsam.training.events import PREDICTING, Stage
from napari_knowsam import accepting, status_messages
from napari_knowsam.autosave import Autosave
from napari_knowsam.brush import Brush
from napari_knowsam.contrast import Contrast
from napari_knowsam.document_display import DocumentDisplay
from napari_knowsam.end_marks import EndMarks
from napari_knowsam.exporting import Exporting, Made
from napari_knowsam.keys import Keys
from napari_knowsam.layer_choice import LayerChoice
from napari_knowsam.layer_sync import LayerSync
from napari_knowsam.live_prediction import LivePrediction
from napari_knowsam.model_keeping import ModelKeeping
from napari_knowsam.next_check import NextCheck
from napari_knowsam.orientation_letters import OrientationLetters
from napari_knowsam.other_volumes import OtherVolumes
from napari_knowsam.paint_layer import REDO_KEY, UNDO_KEY
from napari_knowsam.project_cases import ProjectCases
from napari_knowsam.restoring import restore
from napari_knowsam.training_case import training_case, training_settings
from napari_knowsam.training_controller import TrainingController
from napari_knowsam.training_display import TrainingDisplay

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from knowsam.data.annotation import LabelClass
    from knowsam.training.events import PredictionReady
    from napari_knowsam.panels.annotate_panel import AnnotatePanel
    from napari_knowsam.panels.case_bar import CaseBar
    from napari_knowsam.panels.result_panel import ResultPanel
    from napari_knowsam.panels.train_panel import TrainPanel

_PLANE_IS_FIXED = "The plane cannot change while training, or while a mask is being made. Stop that first."


class Presenter(QObject):
    """Connects one viewer, the panels and the training; knows their signals and methods, not how they work.

    It has no Qt parent, so that it can still end the training when its widget is being destroyed.
    """

    def __init__(
        self, viewer: Viewer, annotate: AnnotatePanel, train: TrainPanel, result: ResultPanel, cases: CaseBar
    ) -> None:
        super().__init__()
        self._annotate, self._train, self._result = annotate, train, result
        self.layers = LayerChoice(viewer)
        self._brush = Brush(viewer, self.layers)
        self._contrast = Contrast(self.layers)
        self.controller = TrainingController()
        self.autosave = Autosave(parent=self)
        self._letters = OrientationLetters(viewer)
        self._ends = EndMarks(self.layers, annotate, self)
        self._next_check = NextCheck(self.layers, annotate, self)
        self._undo = self._guarded(self._of_sync(LayerSync.undo))
        self._redo = self._guarded(self._of_sync(LayerSync.redo))
        self._stage: Stage | None = None
        self._closed = self._letters_shown = False
        self._training_display = TrainingDisplay(train, self.controller, lambda: self.layers.document, self)
        self._live = LivePrediction(self.layers, self.controller, train, self._training_display, self)
        self._document_display = DocumentDisplay(annotate, train, result, self)
        self.models = ModelKeeping(self.layers, self.controller, train, result, self)
        self._exporting = Exporting(self.layers, result, self._made, self)
        self._restore = self._guarded(
            partial(restore, self.autosave, self.layers, self._on_axis_chosen, self.models.take_up)
        )
        self.cases = ProjectCases(viewer, self.layers, self.controller, self.autosave, cases, self._restore, self)
        self.others = OtherVolumes(self.layers, self.controller, train, result, self.cases, self.models, self)
        self._keys = Keys(viewer, self._key_actions())
        self._connect_annotate()
        self._connect_train()
        self._connect_result()
        self._connect_layers()
        self._connect_controller()

    @property
    def is_closed(self) -> bool:
        """Whether it has let go of its viewer."""
        return self._closed

    def start(self) -> None:
        """Choose the first image and show its state."""
        self.layers.choose_image(None)
        self._training_display.say_what_is_next()

    def show_letters(self) -> None:
        """Show the letters of orientation, whose first drawing takes a while."""
        self._letters_shown = True
        self._letters.set_visible(self.layers.has_known_orientation)

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
        self._live.close()
        self._document_display.close()
        self._exporting.close()
        self.others.close()
        self.controller.close()
        self._training_display.close()
        self.layers.flush()
        self.cases.close()
        self.autosave.close()
        self._brush.close()
        self._contrast.close()
        self._keys.close()
        self._letters.close()
        self.layers.close()

    def _connect_annotate(self) -> None:
        panel, table, layers = self._annotate, self._annotate.table, self.layers
        panel.image_chosen.connect(self._guarded(layers.show_image))
        panel.labels_chosen.connect(self._guarded(layers.choose_labels))
        panel.new_labels_requested.connect(self._guarded(layers.new_labels))
        panel.axis_chosen.connect(self._on_axis_chosen)
        table.class_chosen.connect(self._of_sync(LayerSync.select_class))
        panel.class_added.connect(self._guarded(self._of_sync(LayerSync.add_class)))
        table.class_chosen.connect(lambda _: self._brush.take_up())
        panel.class_added.connect(self._brush.take_up)
        panel.window_chosen.connect(self._contrast.choose)
        self._contrast.changed.connect(panel.set_windows)
        panel.brush.size_chosen.connect(self._brush.set_size)
        panel.brush.edges_toggled.connect(self._brush.set_stops_at_edges)
        self._brush.size_changed.connect(panel.brush.set_size)
        table.class_renamed.connect(self._changing(lambda work, value, name: work.class_list.change(value, name=name)))
        table.class_recolored.connect(self._changing(lambda work, value, rgb: work.class_list.change(value, color=rgb)))
        panel.class_removed.connect(self._changing(AnnotationDocument.remove_class))
        panel.marks.slice_requested.connect(self._of_sync(lambda sync, index: sync.view.go_to(index)))
        panel.marks.mark_requested.connect(self._changing_slice(AnnotationDocument.mark))
        panel.marks.annotated_slice_requested.connect(self._of_sync(LayerSync.go_to_annotated))
        panel.offer.accepted.connect(self._restore)
        panel.offer.declined.connect(self.autosave.settle)
        panel.project_requested.connect(self.cases.open_project)
        self.autosave.offered.connect(panel.offer.set_sentence)
        self.autosave.problem.connect(panel.set_message)

    def _connect_train(self) -> None:
        bar = self._train.bar
        bar.train_requested.connect(self._on_train_requested)
        bar.pause_requested.connect(self.controller.pause)
        bar.resume_requested.connect(self.controller.resume)
        bar.stop_requested.connect(self.controller.stop)

    def _connect_result(self) -> None:
        panel, layers = self._result, self.layers
        panel.live_toggled.connect(self._on_live_toggled)
        panel.opacity_chosen.connect(layers.set_opacity)
        panel.uncertainty_toggled.connect(layers.set_uncertainty_visible)
        panel.bar.accept_slice_requested.connect(self._changing_slice(accepting.accept_slice))
        panel.bar.accept_between_requested.connect(self._accepting(accepting.accept_between))
        panel.bar.accept_all_requested.connect(self._accepting(accepting.accept_all))
        for asking in (panel, layers.signals):
            asking.undo_requested.connect(self._undo)
            asking.redo_requested.connect(self._redo)

    def _key_actions(self) -> dict[str | int, Callable[[], object]]:
        mark = self._changing_slice(AnnotationDocument.mark)
        actions: dict[str | int, Callable[[], object]] = {
            "N": partial(self._of_sync(LayerSync.go_to_annotated), 1),
            "Shift-N": partial(self._of_sync(LayerSync.go_to_annotated), -1),
            "K": partial(mark, SliceState.COMPLETE),
            "J": partial(mark, SliceState.PARTIAL),
            "G": partial(mark, SliceState.BACKGROUND_ONLY),
            "H": partial(self._ends.toggle, Side.BELOW),
            "Shift-H": partial(self._ends.toggle, Side.ABOVE),
            "W": self._next_check.go,
            "Alt-N": self.cases.open_next,
            "U": self._changing_slice(accepting.accept_slice),
            **dict.fromkeys(("Alt-Z", UNDO_KEY), self._undo),
            **dict.fromkeys(("Alt-Shift-Z", REDO_KEY), self._redo),
        }
        return actions | {f"Alt-{number}": partial(self._choose_class, number) for number in range(1, 10)}

    def _of_sync(self, action: Callable[..., object]) -> Callable[..., None]:
        """Return the action, done with the `LayerSync` of the chosen image, if there is one."""

        def act(*values: object) -> None:
            if self.layers.sync is not None:
                action(self.layers.sync, *values)

        return act

    def _changing(self, action: Callable[..., Iterable[int] | None]) -> Callable[..., None]:
        """Return the action, done to the document of the chosen image."""
        return self._guarded(self._of_sync(lambda sync, *values: sync.change(action, *values)))

    def _changing_slice(self, action: Callable[..., Iterable[int] | None]) -> Callable[..., None]:
        """Return the action, done to the slice on the screen."""
        return self._guarded(self._of_sync(lambda sync, *values: sync.change(action, sync.view.index, *values)))

    def _accepting(self, action: Callable[..., Iterable[int] | None]) -> Callable[..., None]:
        """Return the action, which accepts several slices, with a message on those that waited for a new prediction."""

        def act(sync: LayerSync) -> None:
            accepted = sync.change(action)
            self._result.set_message(status_messages.accepted_sentence(self._live.outdated) if accepted else "")

        return self._guarded(self._of_sync(act))

    def _guarded(self, action: Callable[..., object]) -> Callable[..., None]:
        """Return the action, whose errors become a sentence under the first panel."""

        def act(*values: object) -> None:
            self._annotate.set_message("")
            try:
                action(*values)
            except KnowSAMError as error:
                self._annotate.set_message(str(error))

        return act

    def _choose_class(self, number: int) -> None:
        """Choose a class by its place in the table; the first is background."""
        sync = self.layers.sync
        if sync is not None and number < len(sync.document.classes):
            sync.select_class(sync.document.classes[number].value)
            self._brush.take_up()

    def _on_axis_chosen(self, axis: int) -> None:
        document = self.layers.document
        if self.controller.is_busy and document is not None and axis != document.axis:
            self._annotate.set_message(_PLANE_IS_FIXED)
        else:
            self._guarded(self.layers.choose_axis)(axis)
        if self.layers.document is not None:
            self._annotate.set_axis(self.layers.document.axis)
        self._live.propagate_soon()

    def _on_train_requested(self) -> None:
        if self.controller.is_running:
            return
        self._result.set_message(self.models.difference())
        try:
            self._start_training()
        except KnowSAMError as error:
            self._training_display.refuse(str(error))

    def _start_training(self) -> None:
        settings = training_settings(self._train, self.models.to_start_from())
        case, document = training_case(self.layers), self.layers.document
        if document is not None and self.models.may_replace(document, settings):
            self._training_display.begin(settings.config)
            self.controller.train(case, settings, document, self.autosave.keeper(document))
            self._live.watch()

    def _on_live_toggled(self, is_live: bool) -> None:
        self.layers.set_live_visible(is_live)
        self._live.set_live(is_live)

    def _made(self, document: AnnotationDocument) -> Made:
        return Made(self._live.outdated, self._document_display.probable_dice, self.controller.model(document))

    def _connect_layers(self) -> None:
        signals = self.layers.signals
        signals.images_changed.connect(self._on_images_changed)
        signals.labels_changed.connect(self._annotate.set_labels)
        signals.document_changed.connect(self._on_document_changed)
        signals.slices_annotated.connect(self._on_slices_annotated)
        signals.classes_changed.connect(self._on_classes_changed)
        signals.slices_changed.connect(self._document_display.show_predictions)
        signals.history_changed.connect(self._document_display.show_soon)
        signals.looked_at.connect(self._on_looked_at)
        signals.turned.connect(self._annotate.set_seen_axis)
        signals.class_selected.connect(self._annotate.table.select_class)
        signals.problem.connect(self._annotate.set_message)
        signals.corrections_stayed.connect(self.autosave.tell_whether_kept)
        signals.outlived.connect(self._annotate.take_back)

    def _on_images_changed(self, names: list[str], chosen: str | None) -> None:
        self._annotate.set_images(names, chosen)
        work, is_trained = self.controller.work, self.controller.is_running
        if work is not None and self.layers.sync_of(work) is None:
            self.controller.close()
            if is_trained:
                self._training_display.say(status_messages.removed_sentence(work.name))
        self._training_display.images_changed(lambda work: self.layers.sync_of(work) is not None)

    def _on_document_changed(self) -> None:
        sync = self.layers.sync
        self._letters.set_visible(self._letters_shown and self.layers.has_known_orientation)
        if sync is not None:
            self._annotate.marks.set_current_slice(sync.view.index)
            self._annotate.set_seen_axis(sync.view.seen_axis)
        self._document_display.set_document(self.layers.document)
        self._training_display.document_changed()
        self._result.set_message(self.models.difference())
        self.autosave.watch(self.layers.document, self.layers.documents)
        self._live.watch()
        self._live.propagate_soon()

    def _on_slices_annotated(self, indices: tuple[int, ...]) -> None:
        self._training_display.things_changed()
        self._live.submit_slices(indices)
        self._document_display.show_soon()

    def _on_classes_changed(self, classes: tuple[LabelClass, ...]) -> None:
        self._document_display.show_classes()
        self._live.submit_classes(classes)
        self._document_display.show_soon()

    def _on_looked_at(self, index: int) -> None:
        self._annotate.marks.set_current_slice(index)
        self._live.watch()

    def _connect_controller(self) -> None:
        self.controller.stage_changed.connect(self._on_stage_changed)
        self.controller.predicted.connect(self._on_predicted)
        self.controller.predictions_gone.connect(self._on_predictions_gone)
        self.controller.failed.connect(self._on_failed)

    def _on_stage_changed(self, stage: Stage | None) -> None:
        self.layers.set_training(self.controller.is_running)
        self.layers.is_plane_fixed = self.controller.is_busy
        was, self._stage = self._stage, stage
        if stage in PREDICTING:
            self._live.watch()
        elif stage is None:
            self._annotate.take_back(_PLANE_IS_FIXED, status_messages.BUSY)
            self._result.bar.take_back(status_messages.BUSY)
            # Whoever has stopped a model does not want its predictions to continue at once.
            if self.controller.work is None and was not in PREDICTING:
                self._live.propagate()

    def _on_predicted(self, ready: PredictionReady) -> None:
        document = self.controller.work
        # A prediction made before a class went away counts its classes otherwise; a new one is on its way.
        if document is None or tuple(one.value for one in ready.classes) != document.class_list.values:
            return
        sync = self.layers.sync_of(document)
        if sync is not None:
            sync.apply_predictions((one.index, one.labels, one.uncertainty_percent) for one in ready.slices)
        if document is self.layers.document:
            self._document_display.set_estimate(ready.classes, ready.shown.estimate)

    def _on_predictions_gone(self) -> None:
        work = self.controller.work
        sync = None if work is None else self.layers.sync_of(work)
        if sync is not None:
            sync.forget_predictions()
        if work is self.layers.document:
            self._document_display.set_estimate((), None)

    def _on_failed(self, sentence: str) -> None:
        """Report a failed propagation where a person paints; for a training, the Train panel is enough."""
        if not self.controller.is_running:
            self._annotate.set_message(sentence)
