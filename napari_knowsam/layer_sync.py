"""One image's layers and its annotation document, kept in step both ways; nothing else writes into layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass, SliceState
from knowsam.errors import InputError
from napari_knowsam import new_layers
from napari_knowsam.paint_layer import PaintLayer
from napari_knowsam.painted_layer import opened_document
from napari_knowsam.redraw import Redraw
from napari_knowsam.slice_view import SliceView

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

    from knowsam.data.annotation import LabelArray
    from knowsam.data.volume import Volume
    from knowsam.document.annotation_document import AnnotationDocument
    from knowsam.document.predictions import PercentArray
    from knowsam.document.slice_annotation import Values
    from napari_knowsam.layer_signals import LayerSignals
    from napari_knowsam.new_layers import ResultLooks

    Prediction = tuple[int, LabelArray, PercentArray]


class LayerSync(QObject):
    """An image, the labels a person paints, the prediction and its uncertainty, and the document of what is known.

    Strokes go from the layers into the document; predictions and what is done by command go from it into the layers.

    Parameters
    ----------
    signals : tell what happens here while the image is chosen.
    looks : of the results, the same for all images.
    labels : lies on the voxels of the image.
    volume : of the image layer.
    axis : working axis to annotate along; by default the one a person seems to have painted along.

    Raises
    ------
    InputError
        If the labels hold more values than classes can be told apart.
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
        self._viewer, self._signals, self._looks = viewer, signals, looks
        self.image = image
        self.labels: PaintLayer | None = None
        self.prediction: PaintLayer | None = None
        self.uncertainty: Redraw | None = None
        self.is_training = False
        self.is_chosen = False
        self.selected_value = BACKGROUND_CLASS.value
        self._unreported: set[int] = set()
        self._held: dict[int, Prediction] = {}
        self.document, painting = opened_document(labels, volume, axis)
        self.plane_question, self._notices = painting.question, painting.notices
        self.view = SliceView(viewer, image, self.document.axis)
        self._shown_index = self.view.index
        self._take_labels(labels)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers there are at the moment."""
        ours = (self.labels, self.prediction, self.uncertainty)
        return (self.image, *(one.layer for one in ours if one is not None))

    def take_notices(self) -> tuple[str, ...]:
        """Return what is to be known of the labels: each notice once, the question of their plane while it is open."""
        notices, self._notices = self._notices, ()
        return notices if self.plane_question is None else (self.plane_question, *notices)

    def choose(self) -> None:
        """Work on this image, beginning with what was painted on its layers meanwhile."""
        self.is_chosen = True
        self._follow_classes(self.document.classes)
        self._commit(range(self.document.slice_count))
        missed, self._unreported = self._unreported, set()
        if missed:
            self._report(sorted(missed))
        self.show_opacity()
        # Of an image without results, there is nothing to be seen yet.
        if self.prediction is not None or self.document.predictions.indices:
            self.show_live()
            self.show_uncertainty()
        self._shown_index = self.view.index
        self.view.come_into_view()

    def leave(self) -> None:
        """Let another image be worked on."""
        self.set_training(False)
        self.is_chosen = False

    def set_training(self, is_training: bool) -> None:
        """Tell whether training runs; meanwhile a new slice counts as partly painted until it is left."""
        self.is_training = is_training
        if not is_training:
            self._end_open_slice()

    def drop(self, layer: Layer) -> None:
        """Let go of a layer that is no longer in the viewer; what was painted on it stays in the document."""
        for name in ("labels", "prediction", "uncertainty"):
            ours: PaintLayer | Redraw | None = getattr(self, name)
            if ours is not None and ours.layer is layer:
                ours.close()
                setattr(self, name, None)

    def close(self) -> None:
        """Let go of all layers."""
        for layer in self.layers:
            self.drop(layer)

    def hand_over(self, other: LayerSync) -> None:
        """Let the document of the same image with other labels be shown on the layers of results."""
        prediction, uncertainty = self.prediction, self.uncertainty
        if prediction is not None:
            self.drop(prediction.layer)
            other.prediction = other._watched(prediction.layer, other.document.shown)
            other.prediction.fill(other.document.mask())
        if uncertainty is not None:
            self.drop(uncertainty.layer)
            uncertainty.layer.data = other.document.predictions.uncertainty
            other.uncertainty = Redraw(uncertainty.layer, other.view, other)

    def restore_labels(self) -> None:
        """Make a new layer of what was painted, and paint on it from now on."""
        labels = new_layers.painted_labels(self.image, self.document)
        self._take_labels(labels)
        new_layers.insert_quietly(self._viewer, labels, len(self._viewer.layers))

    def show_live(self) -> None:
        """Show or hide the prediction layer."""
        if self.prediction is not None:
            self.prediction.layer.visible = self._looks.is_live
        elif self._looks.is_live and self.document.has_results:
            self._add_prediction()

    def show_opacity(self) -> None:
        """Show the prediction layer more or less clearly."""
        if self.prediction is not None:
            self.prediction.layer.opacity = self._looks.opacity

    def show_uncertainty(self) -> None:
        """Show or hide how sure the prediction is."""
        if self.uncertainty is not None:
            self.uncertainty.layer.visible = self._looks.is_uncertainty_visible
        elif self._looks.is_uncertainty_visible:
            layer = new_layers.uncertainty_layer(self.image, self.document)
            self.uncertainty = Redraw(layer, self.view, self)
            self._insert_above_image(layer)

    def select_class(self, value: int) -> None:
        """Let both layers paint a class, or the background brush."""
        is_new, self.selected_value = value != self.selected_value, value
        for layer in self._paint_layers:
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

    def change(self, action: Callable[..., Iterable[int] | None], *values: object) -> None:
        """Do something to the document that changes slices or classes, and show what came of it.

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
            return
        if self.document.classes != classes:
            self._follow_classes(classes)
            self._tell(self._signals.classes_changed, self.document.classes)
        if self.labels is not None:
            self.labels.update(changed)
        self._show_slices(changed)
        self._report(changed)

    def apply_predictions(self, predictions: Iterable[Prediction]) -> None:
        """Take predictions of slices, and show them where nobody has judged otherwise.

        What is on the screen stays as it is until a stroke on it has ended.

        Parameters
        ----------
        predictions : index, (H, W) indices of the classes of the document, (H, W) uncertainty in percent.
        """
        by_index = {prediction[0]: prediction for prediction in predictions}
        if self.prediction is not None:
            if self.prediction.is_pressed:
                self._held |= {index: one for index, one in by_index.items() if self.view.shows(index)}
                by_index = {index: one for index, one in by_index.items() if not self.view.shows(index)}
            # Painted a moment ago, and perhaps not yet taken over: a prediction must not wipe it out.
            self._commit_layer(self.prediction, by_index)
        for index, labels, uncertainty in by_index.values():
            self.document.predict(index, labels, uncertainty)
        self._show_slices(by_index)
        if self.is_chosen and self.prediction is None:
            self._add_prediction()

    def forget_predictions(self) -> None:
        """Take all predictions off the screen; what a person painted on them stays."""
        self._commit()
        self._held.clear()
        self._show_slices(self.document.forget_predictions())

    def take_removed(self, layer: Layer) -> None:
        """Take over what was painted on a layer that was just removed from the viewer, and let go of it."""
        self._commit()
        self.drop(layer)

    def flush(self) -> None:
        """Take over at once whatever was painted, in any slice and in any way, even by a script that told nobody."""
        self._commit(range(self.document.slice_count))
        self._apply_held()

    def on_view_changed(self) -> None:
        """Take over what was painted in the slice that was on the screen until now."""
        left, self._shown_index = self._shown_index, self.view.index
        self._commit((left,))
        for layer in self._paint_layers:
            layer.end_stroke()
        if self.document.open_index != self._shown_index:
            self._end_open_slice()
        self._apply_held()
        if self._shown_index != left:
            self._tell(self._signals.looked_at, self._shown_index)

    @property
    def _paint_layers(self) -> tuple[PaintLayer, ...]:
        return tuple(layer for layer in (self.labels, self.prediction) if layer is not None)

    def _tell(self, signal: Any, *values: object) -> None:
        """Emit a signal, all of which are about the chosen image."""
        if self.is_chosen:
            signal.emit(*values)

    def _report(self, indices: Iterable[int]) -> None:
        """Hand on slices that a person judged otherwise, at once or when the image is chosen again."""
        if not self.is_chosen:
            self._unreported.update(indices)
            return
        for index in indices:
            self._signals.slice_annotated.emit(self.document.label_slice(index))
        self._signals.history_changed.emit()

    def _commit(self, also: Iterable[int] = ()) -> None:
        """Take over what was painted since the last time; `also` names slices to compare in any case."""
        for layer in self._paint_layers:
            self._commit_layer(layer, {*layer.take(), *also})

    def _commit_layer(self, layer: PaintLayer, indices: Iterable[int]) -> None:
        misfit = layer.misfit
        if misfit is not None:
            self.drop(layer.layer)
            self._tell(self._signals.layer_dropped)
            self._tell(self._signals.problem, misfit)
            return
        changed = layer.differing(indices)
        if not changed:
            return
        try:
            self._learn_classes(changed)
            if layer is self.labels:
                self._open_slice(changed)
                judged = self.document.paint(changed)
            else:
                judged = self.document.correct(changed)
        except InputError as error:
            self._tell(self._signals.problem, str(error))
            return
        self._show_slices(changed)
        if judged:
            self._report(judged)

    def _learn_classes(self, planes: Mapping[int, Values]) -> None:
        values = set().union(*(np.unique(plane).tolist() for plane in planes.values()))
        if self.document.class_list.ensure(values):
            self._show_classes()
            self._tell(self._signals.classes_changed, self.document.classes)

    def _open_slice(self, changed: Mapping[int, Values]) -> None:
        """Nobody has judged what lies round the first stroke in a slice, until the slice is left."""
        current = self.view.index
        is_first = current in changed and self.document.state(current) is SliceState.UNLABELLED
        if self.is_training and is_first and not self.view.is_across:
            self.document.open_index = current

    def _end_open_slice(self) -> None:
        """Count the slice that is being painted as every other one."""
        index, self.document.open_index = self.document.open_index, None
        if index is not None:
            self._show_slices((index,))
            self._report((index,))

    def _apply_held(self) -> None:
        """Show the predictions that came during a stroke."""
        held, self._held = self._held, {}
        if held:
            self.apply_predictions(held.values())

    def _show_slices(self, indices: Iterable[int]) -> None:
        """Bring slices of the results up to date."""
        indices = tuple(indices)
        if self.prediction is not None:
            self.prediction.update(indices)
        if self.uncertainty is not None:
            self.uncertainty.slices(indices)
        self._tell(self._signals.slices_changed, indices)

    def _show_classes(self) -> None:
        for layer in self._paint_layers:
            layer.show_classes()

    def _follow_classes(self, before: tuple[LabelClass, ...]) -> None:
        """Show the classes after there were others, and let the brush paint one that is left."""
        self._show_classes()
        values = list(self.document.class_list.values)
        if values[: len(before)] != [label_class.value for label_class in before]:
            # They tell of classes by index.
            self._held.clear()
        if self.selected_value not in (*values, self.document.brush_value):
            self.select_class(values[1])

    def _add_prediction(self) -> None:
        layer = new_layers.prediction_layer(self.image, self.document, self._looks)
        self.prediction = self._watched(layer, self.document.shown)
        self._insert_above_image(layer)

    def _insert_above_image(self, layer: Layer) -> None:
        new_layers.insert_quietly(self._viewer, layer, self._viewer.layers.index(self.image) + 1)

    def _take_labels(self, labels: Labels) -> None:
        """Take a layer, which holds what is painted, as the one to paint on."""
        values = self.document.class_list.values
        chosen = self.selected_value or labels.selected_label
        self.selected_value = chosen if chosen in (*values, self.document.brush_value) else values[1]
        self.labels = self._watched(labels, self.document.painted)

    def _watched(self, layer: Labels, expected: Callable[[int], Values]) -> PaintLayer:
        watched = PaintLayer(layer, self.document, self.view, expected, self)
        watched.select_class(self.selected_value)
        watched.due.connect(self._on_edits_due)
        watched.class_selected.connect(self._on_class_selected)
        return watched

    def _on_edits_due(self) -> None:
        # Strokes on labels that two images share are those of the chosen one until the other comes back.
        if self.is_chosen:
            self._commit()
            self._apply_held()

    def _on_class_selected(self, value: int) -> None:
        if value != self.selected_value:
            self.select_class(value)


def _add_class(document: AnnotationDocument) -> None:
    document.class_list.add()
