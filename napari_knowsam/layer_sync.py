"""One image's layers and its annotation document, kept in step both ways; nothing else writes into layers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass, SliceState
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.errors import InputError
from napari_knowsam.image_layers import ImageLayers
from napari_knowsam.paint_layer import PaintLayer
from napari_knowsam.painted_layer import opened_document
from napari_knowsam.slice_view import SliceView
from napari_knowsam.strokes import Strokes

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

    from knowsam.data.annotation import LabelArray
    from knowsam.data.volume import Volume
    from knowsam.document.predictions import PercentArray
    from knowsam.document.slice_annotation import Values
    from napari_knowsam.layer_signals import LayerSignals
    from napari_knowsam.new_layers import ResultLooks

    Prediction = tuple[int, LabelArray, PercentArray]


class LayerSync(QObject):
    """An image, the labels a person paints, the prediction and its uncertainty, and the annotation document.

    Strokes go from the layers into the document; predictions and commands go from it into the layers.

    Parameters
    ----------
    signals : of changes here while the image is chosen.
    looks : of the results, the same for all images.
    labels : lies on the voxels of the image.
    volume : of the image layer.
    axis : working axis to annotate along; by default the one a person seems to have painted along.

    Raises
    ------
    InputError
        If the labels hold more values than there can be classes.
    """

    def __init__(
        self,
        viewer: Viewer,
        signals: LayerSignals,
        looks: ResultLooks,
        image: Image,
        labels: Labels,
        volume: Volume,
        axis: int | None = None,
    ) -> None:
        super().__init__(signals)
        self._signals = signals
        self.image = image
        self.is_chosen = False
        self.selected_value = BACKGROUND_CLASS.value
        self._unreported: set[int] = set()
        self._undo_sentence = ""
        self._held: dict[int, Prediction] = {}
        self.document, painting = opened_document(labels, volume, axis)
        self.plane_question, self._notices = painting.question, painting.notices
        self.view = SliceView(viewer, image, self.document.axis)
        self._strokes = Strokes(self.document, self.view)
        self.layers = ImageLayers(viewer, image, self.document, self.view, looks, self._watched, self)
        self._shown_index = self.view.index
        self._take_labels(labels)

    def take_notices(self) -> tuple[str, ...]:
        """Return the notices of the labels, each once, and the question of their plane while it is open."""
        notices, self._notices = self._notices, ()
        return notices if self.plane_question is None else (self.plane_question, *notices)

    def choose(self) -> None:
        """Work on this image, and take in strokes on its layers since the last time."""
        self.is_chosen = True
        self._follow_classes(self.document.classes)
        self._commit(range(self.document.slice_count))
        missed, self._unreported = self._unreported, set()
        if missed:
            self._report(sorted(missed))
        self.layers.come_back()
        self._shown_index = self.view.index
        self.view.come_into_view()

    def leave(self) -> None:
        """Let another image be worked on."""
        self.set_training(False)
        self.is_chosen = False

    def set_training(self, is_training: bool) -> None:
        """Tell whether training runs; meanwhile a slice painted afresh counts as partly painted until it is left."""
        self._strokes.is_training = is_training
        if not is_training:
            self._end_open_slice()

    def restore_labels(self) -> None:
        """Make a new layer of the annotations, and paint on it from now on."""
        self.layers.add_labels(self._strokes.on_labels)

    def close(self) -> None:
        """Let go of all layers."""
        self.layers.close()

    def select_class(self, value: int) -> None:
        """Let both layers paint a class, or the background brush."""
        is_new, self.selected_value = value != self.selected_value, value
        for layer in self.layers.to_paint_on:
            layer.select_class(value)
        if is_new:
            self._tell(self._signals.class_selected, value)

    def add_class(self) -> None:
        """Add a class and choose it."""
        before = self.document.classes
        self.change(_add_class)
        if self.document.classes != before:
            self.select_class(self.document.classes[-1].value)

    def go_to_annotated(self, direction: int) -> None:
        """Bring the next annotated slice on the screen, or with -1 the previous one; at the last one, stay."""
        self._commit()
        here = self.view.index
        ahead = [i for i in self.document.annotated if (i - here) * direction > 0]
        if ahead:
            self.view.go_to(min(ahead, key=lambda index: abs(index - here)))

    def undo(self) -> None:
        """Undo the last action on either layer and in any slice; name it, and show the slice."""
        self._commit()
        self._step(AnnotationDocument.undo, "undo", self.document.history.undo_name)

    def redo(self) -> None:
        """Redo the action that was undone last; name it, and show the slice."""
        self._commit()
        self._step(AnnotationDocument.redo, "redo", self.document.history.redo_name)

    def change(self, action: Callable[..., Iterable[int] | None], *values: object) -> tuple[int, ...]:
        """Change slices or classes of the document, show the result, and return the changed slices.

        Parameters
        ----------
        action : takes the document and the values, and returns the indices of the slices it changed, if any; an
            `InputError` becomes a sentence for the user.
        """
        self._commit()
        self._apply_held()
        classes = self.document.classes
        try:
            changed = tuple(action(self.document, *values) or ())
        except InputError as error:
            self._tell(self._signals.problem, str(error))
            return ()
        if self.document.classes != classes:
            self._follow_classes(classes)
            self._tell(self._signals.classes_changed, self.document.classes)
        self._show_slices(changed)
        self._report(changed)
        return changed

    def apply_predictions(self, predictions: Iterable[Prediction]) -> None:
        """Take predictions of slices, and show them in slices without annotations.

        The slice on the screen does not change during a stroke.

        Parameters
        ----------
        predictions : index, (H, W) indices of the classes of the document, (H, W) uncertainty in percent.
        """
        by_index = {prediction[0]: prediction for prediction in predictions}
        if self.layers.is_pressed:
            self._held |= {index: one for index, one in by_index.items() if self.view.shows(index)}
            by_index = {index: one for index, one in by_index.items() if not self.view.shows(index)}
        # A stroke that was perhaps not taken in yet: a prediction must not overwrite it.
        self._commit(by_index)
        for index, labels, uncertainty in by_index.values():
            self.document.predict(index, labels, uncertainty)
        self._show_slices(by_index)
        if self.is_chosen and self.layers.prediction is None:
            self.layers.add_prediction()

    def forget_predictions(self) -> None:
        """Take all predictions off the screen; what a person painted on them stays."""
        self._commit(self.document.predictions.indices)
        self._held.clear()
        self._show_slices(self.document.forget_predictions())

    def take_removed(self, layer: Layer) -> None:
        """Take in the strokes on a layer that was just removed from the viewer, and let go of it."""
        self._commit(range(self.document.slice_count))
        self.layers.drop(layer)

    def flush(self) -> None:
        """Take in all strokes at once, in any slice and of any kind, even by a script without an event."""
        self._commit(range(self.document.slice_count))
        self._apply_held()

    def on_view_changed(self) -> None:
        """Take in the strokes in the slice that was on the screen until now."""
        left, self._shown_index = self._shown_index, self.view.index
        for layer in self.layers.to_paint_on:
            layer.end_stroke()
        self._commit((left,))
        if self.document.open_index != self._shown_index:
            self._end_open_slice()
        self._apply_held()
        if self._shown_index != left:
            self._tell(self._signals.looked_at, self._shown_index)

    def _step(self, action: Callable[..., tuple[int, ...]], verb: str, name: str | None) -> None:
        if name is None:
            self._tell(self._signals.problem, f"There is nothing to {verb}.")
            return
        changed = self.change(action)
        if changed and not any(self.view.shows(index) for index in changed):
            self.view.go_to(min(changed, key=lambda index: abs(index - self.view.index)))
        self._undo_sentence = f"{verb.capitalize()}: {name}."
        self._tell(self._signals.problem, self._undo_sentence)

    def _tell(self, signal: Any, *values: object) -> None:
        """Emit a signal if the image is chosen, since all signals are about the chosen one."""
        if self.is_chosen:
            signal.emit(*values)

    def _report(self, indices: Iterable[int]) -> None:
        """Report slices with changed annotations, at once or when the image is chosen again."""
        if not self.is_chosen:
            self._unreported.update(indices)
            return
        self._signals.outlived.emit(self._undo_sentence)
        if indices := tuple(indices):
            self._signals.slices_annotated.emit(indices)
        self._signals.history_changed.emit()

    def _commit(self, also: Iterable[int] = ()) -> None:
        """Take in strokes since the last time; `also` names slices to compare in any case."""
        for layer in self.layers.to_paint_on:
            painted, crossed = layer.take()
            touched = {*painted, *also}
            self._commit_layer(layer, touched, crossed)
            if layer is self.layers.labels and self._strokes.corrected_index in touched and not layer.is_pressed:
                self._correct_on_labels(None)

    def _commit_layer(self, layer: PaintLayer, indices: Iterable[int], crossed: Collection[int]) -> None:
        misfit = layer.misfit
        if misfit is not None:
            self.layers.drop(layer.layer)
            self._tell(self._signals.layer_dropped)
            self._tell(self._signals.problem, misfit)
            return
        changed = layer.differing(indices)
        if not changed:
            return
        try:
            self._learn_classes(changed)
            unannotated = [i for i in crossed if self.document.state(i) is SliceState.UNLABELLED]
            if layer is self.layers.labels:
                is_seen = self.layers.is_prediction_seen
                annotated = self._strokes.paint(changed, crossed=crossed, over_prediction=is_seen)
            else:
                annotated = self._strokes.correct(changed, crossed=crossed)
        except InputError as error:
            self._tell(self._signals.problem, str(error))
            return
        self._show_slices(changed)
        if annotated:
            self._report(annotated)
        partial = len(set(unannotated).intersection(annotated))
        if partial:
            self._tell(self._signals.problem, _crossing_sentence(partial))

    def _correct_on_labels(self, index: int | None) -> None:
        """Copy all that is shown of a slice to the labels layer, and only the annotations of the one before."""
        before, self._strokes.corrected_index = self._strokes.corrected_index, index
        self.layers.update(one for one in (before, index) if one is not None)

    def _learn_classes(self, planes: Mapping[int, Values]) -> None:
        values = set().union(*(np.unique(plane).tolist() for plane in planes.values()))
        if self.document.class_list.ensure(values):
            self._show_classes()
            self._tell(self._signals.classes_changed, self.document.classes)

    def _end_open_slice(self) -> None:
        ended = self._strokes.end_open_slice()
        if ended:
            self._show_slices(ended)
            self._report(ended)

    def _apply_held(self) -> None:
        """Show the predictions that came during a stroke."""
        held, self._held = self._held, {}
        if held:
            self.apply_predictions(held.values())

    def _show_slices(self, indices: Iterable[int]) -> None:
        """Bring slices of all layers up to date."""
        indices = tuple(indices)
        self.layers.update(indices)
        self._tell(self._signals.slices_changed, indices)

    def _show_classes(self) -> None:
        for layer in self.layers.to_paint_on:
            layer.show_classes()

    def _follow_classes(self, before: tuple[LabelClass, ...]) -> None:
        """Show the classes after there were others, and let the brush paint one that is left."""
        self._show_classes()
        values = list(self.document.class_list.values)
        if values[: len(before)] != [label_class.value for label_class in before]:
            # They name classes by index.
            self._held.clear()
        if self.selected_value not in (*values, self.document.brush_value):
            self.select_class(values[1])

    def _take_labels(self, labels: Labels) -> None:
        """Paint on a layer, which holds the annotations, from now on."""
        values = self.document.class_list.values
        chosen = self.selected_value or labels.selected_label
        self.selected_value = chosen if chosen in (*values, self.document.brush_value) else values[1]
        self.layers.paint_on(labels, self._strokes.on_labels)

    def _watched(self, layer: Labels, expected: Callable[[int], Values]) -> PaintLayer:
        watched = PaintLayer(layer, self.document, self.view, expected, self)
        watched.select_class(self.selected_value)
        watched.pressed.connect(self._on_pressed)
        watched.due.connect(self._on_edits_due)
        watched.class_selected.connect(self._on_class_selected)
        watched.undo_requested.connect(self._signals.undo_requested)
        watched.redo_requested.connect(self._signals.redo_requested)
        return watched

    def _on_pressed(self, layer: PaintLayer) -> None:
        """Copy the shown slice to the labels, if a stroke on them has to correct it."""
        self._on_edits_due()
        index, is_labels = self.view.index, layer is self.layers.labels
        if is_labels and self.is_chosen and layer.is_painted_in_plane and not self.view.is_across:
            is_correction = self.layers.is_prediction_seen and self.document.is_correctable(index)
            self._correct_on_labels(index if is_correction else None)

    def _on_edits_due(self) -> None:
        # Strokes on labels that two images share are those of the chosen one until the other comes back.
        if self.is_chosen:
            self._commit()
            self._apply_held()

    def _on_class_selected(self, value: int) -> None:
        if value != self.selected_value:
            self.select_class(value)


def _crossing_sentence(slices: int) -> str:
    count = "one slice" if slices == 1 else f"{slices} slices"
    they_count = "It counts" if slices == 1 else "They count"
    return (
        f"That stroke went through {count} that nobody had annotated. {they_count} as partly painted: nothing is "
        "assumed of what the stroke left out."
    )


def _add_class(document: AnnotationDocument) -> None:
    document.class_list.add()
