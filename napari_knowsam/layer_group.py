"""The layers of one image, and the worksheet they are kept in step with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, QTimer, Signal

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass, SliceState, default_classes
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.document.class_list import ClassList, background_brush
from knowsam.errors import InputError
from napari_knowsam.class_looks import show_classes
from napari_knowsam.layer_edits import LayerEdits
from napari_knowsam.painted_layer import painting_of
from napari_knowsam.slice_view import SliceView
from napari_knowsam.volume_layers import BACKGROUND_BRUSH_KEY, CLASSES_KEY, layer_kwargs

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from knowsam.data.annotation import LabelArray
    from knowsam.data.volume import Volume
    from knowsam.document.predictions import PercentArray
    from knowsam.document.slice_annotation import Values

    Prediction = tuple[int, LabelArray, PercentArray]

ROLE_KEY = "knowsam_role"
"""Under this key of its metadata, a layer that shows a result says which."""

_REFRESH_3D_MS = 1000
_UNCERTAINTY_OPACITY = 0.5


class LayerGroup(QObject):
    """An image, the labels a person paints, the prediction and its uncertainty, and what is known of all slices.

    Strokes go from the layers into the worksheet, predictions and accepted slices from the worksheet into the layers.

    Parameters
    ----------
    volume : of the image layer.
    labels : lies on the voxels of the image.
    axis : working axis to annotate along; by default the one a person seems to have painted along.

    Raises
    ------
    InputError
        If the labels hold more values than classes can be told apart.
    """

    slices_changed = Signal(object)
    """Indices of slices whose state, or what is shown of them, changed."""

    slices_annotated = Signal(object)
    """Indices of slices that a person judged otherwise."""

    classes_changed = Signal()
    class_selected = Signal(int)
    problem = Signal(str)

    def __init__(
        self, viewer: Viewer, image: Image, volume: Volume, labels: Labels, axis: int | None, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.image = image
        self.labels: Labels | None = None
        self.prediction: Labels | None = None
        self.uncertainty: Image | None = None
        self.is_training = False
        self.is_chosen = False
        self._unreported: set[int] = set()
        self._edits: dict[Labels, LayerEdits] = {}
        self._held: dict[int, Prediction] = {}
        self.selected_value = BACKGROUND_CLASS.value
        painted = np.asarray(labels.data)
        classes, brush_value = _classes_of(labels, painted)
        painting = painting_of(labels, volume, brush_value, axis)
        self.plane_question = painting.question
        self._notices = painting.notices
        self.worksheet = AnnotationDocument(volume, painting.axes[0], classes, brush_value)
        self.worksheet.load(painted, painting.partial)
        self.view = SliceView(viewer, image, painting.axes[0])
        self._refresh_3d = QTimer(self)
        self._refresh_3d.setSingleShot(True)
        self._refresh_3d.setInterval(_REFRESH_3D_MS)
        self._refresh_3d.timeout.connect(self._on_refresh_3d)
        _make_paintable(labels)
        self.take_labels(labels)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers there are at the moment."""
        layers = (self.image, self.labels, self.prediction, self.uncertainty)
        return tuple(layer for layer in layers if layer is not None)

    def take_notices(self) -> tuple[str, ...]:
        """Return what is to be known of the labels: each notice once, the question of their plane while it is open."""
        notices, self._notices = self._notices, ()
        return notices if self.plane_question is None else (self.plane_question, *notices)

    def take_labels(self, labels: Labels) -> None:
        """Take a layer, which holds what is painted, as the one to paint on."""
        values = [label_class.value for label_class in self.worksheet.classes]
        chosen = self.selected_value or labels.selected_label
        self.selected_value = chosen if chosen in (*values, self.worksheet.brush_value) else values[1]
        self.labels = labels
        self._watch(labels)

    def drop(self, layer: Layer) -> None:
        """Let go of a layer that is no longer in the viewer; what was painted on it stays in the worksheet."""
        if layer is self.labels:
            self._unwatch(layer)
            self.labels = None
        elif layer is self.prediction:
            self._unwatch(layer)
            self.prediction = None
        elif layer is self.uncertainty:
            self.uncertainty = None

    def close(self) -> None:
        """Let go of all layers."""
        self._refresh_3d.stop()
        for layer in list(self._edits):
            self._unwatch(layer)

    def hand_over(self, other: LayerGroup) -> None:
        """Give the layers of results to the group that shows them from now on."""
        for layer in (self.prediction, self.uncertainty):
            if layer is not None:
                self.drop(layer)
                other.adopt(layer)

    def adopt(self, layer: Layer) -> None:
        """Show results on a layer that is there already."""
        if layer.metadata[ROLE_KEY] == "prediction":
            self.prediction = layer
            self._watch(layer)
            layer.data[...] = self.worksheet.mask()
            self._refresh_now(layer)
        else:
            self.uncertainty = layer
            layer.data = self.worksheet.predictions.uncertainty

    def add_prediction(self, *, opacity: float, visible: bool) -> None:
        """Show what is known of all slices on a layer that can be painted on."""
        kwargs = self._kwargs("prediction") | {"opacity": opacity, "visible": visible}
        prediction = Labels(self.worksheet.mask(), **kwargs)
        self.prediction = prediction
        self._watch(prediction)
        self._insert_above_image(prediction)

    def add_uncertainty(self) -> None:
        """Show how sure the prediction is, in percent."""
        self.uncertainty = Image(
            self.worksheet.predictions.uncertainty,
            **self._kwargs("uncertainty"),
            colormap="inferno",
            blending="additive",
            opacity=_UNCERTAINTY_OPACITY,
            contrast_limits=(0, 100),
        )
        self._insert_above_image(self.uncertainty)

    def restore_labels(self) -> None:
        """Make a new layer of what was painted, and paint on it from now on."""
        kwargs = self._kwargs("labels")
        del kwargs["metadata"][ROLE_KEY]
        labels = Labels(self.worksheet.painting(), **kwargs)
        self.take_labels(labels)
        insert_quietly(self._viewer, labels, len(self._viewer.layers))

    def show_classes(self) -> None:
        """Colour the layers by class, and let the labels say what they hold."""
        sheet = self.worksheet
        for layer in self._edits:
            with self._edits[layer].own_changes():
                self._fit_dtype(layer)
                show_classes(layer, sheet.classes, sheet.brush_value)
            layer.metadata.update({CLASSES_KEY: sheet.classes, BACKGROUND_BRUSH_KEY: sheet.brush_value})

    def follow_classes(self, before: tuple[LabelClass, ...]) -> None:
        """Show the classes after there were others, and let the brush paint one that is left."""
        self.show_classes()
        values = [label_class.value for label_class in self.worksheet.classes]
        if values[: len(before)] != [label_class.value for label_class in before]:
            # They tell of classes by index.
            self._held.clear()
        if self.selected_value not in (*values, self.worksheet.brush_value):
            self.select_class(values[1])

    def come_back(self) -> None:
        """Work on this group again, beginning with what was painted on its layers meanwhile."""
        self.is_chosen = True
        self.follow_classes(self.worksheet.classes)
        self.commit_all()
        missed, self._unreported = self._unreported, set()
        if missed:
            self.slices_annotated.emit(sorted(missed))

    def select_class(self, value: int) -> None:
        """Let both layers paint a class, or the background brush."""
        is_new, self.selected_value = value != self.selected_value, value
        for layer in self._edits:
            limits = np.iinfo(layer.dtype)
            if limits.min <= value <= limits.max:
                layer.selected_label = value
        if is_new:
            self.class_selected.emit(value)

    def commit(self, also: Iterable[int] = ()) -> None:
        """Take over what was painted since the last time; `also` names slices to compare in any case."""
        for layer in (self.labels, self.prediction):
            if layer is not None:
                self._commit_layer(layer, self._edits[layer].take() | set(also))

    def commit_all(self) -> None:
        """Take over what was painted in any slice, even by a script that has told nobody."""
        self.commit(range(self.worksheet.slice_count))

    def on_view_changed(self, left: int) -> None:
        """Take over what was painted in the slice that was on the screen until now."""
        self.commit((left,))
        for edits in self._edits.values():
            edits.end_strokes()
        if self.worksheet.open_index != self.view.index:
            self.end_open_slice()
        self.apply_held()

    def end_open_slice(self) -> None:
        """Count the slice that is being painted as every other one."""
        index, self.worksheet.open_index = self.worksheet.open_index, None
        if index is not None:
            self.show_slices((index,))
            self._report((index,))

    def apply(self, predictions: Iterable[Prediction]) -> None:
        """Take predictions of slices, and show them where nobody has judged otherwise.

        What is on the screen stays as it is until a stroke on it has ended.
        """
        by_index = {prediction[0]: prediction for prediction in predictions}
        if self.prediction is not None and self._edits[self.prediction].is_pressed:
            self._held |= {index: one for index, one in by_index.items() if self.view.shows(index)}
            by_index = {index: one for index, one in by_index.items() if not self.view.shows(index)}
        # Painted a moment ago, and perhaps not yet taken over: a prediction must not wipe it out.
        if self.prediction is not None:
            self._commit_layer(self.prediction, by_index)
        for index, labels, uncertainty in by_index.values():
            self.worksheet.predict(index, labels, uncertainty)
        self.show_slices(by_index)

    def apply_held(self) -> None:
        """Show the predictions that came during a stroke."""
        held, self._held = self._held, {}
        if held:
            self.apply(held.values())

    def show_slices(self, indices: Iterable[int]) -> None:
        """Bring slices of the results up to date."""
        indices = tuple(indices)
        if self.prediction is not None:
            self._write(self.prediction, {index: self.worksheet.shown(index) for index in indices})
        if self.uncertainty is not None:
            self._refresh(self.uncertainty, indices)
        self.slices_changed.emit(indices)

    def show_painting(self, indices: Iterable[int]) -> None:
        """Bring slices of the labels up to date: after accepting, undoing or removing a class, and never else."""
        if self.labels is not None:
            self._write(self.labels, {index: self.worksheet.painted(index) for index in indices})

    def show_changes(self, indices: Iterable[int]) -> None:
        """Bring slices of all layers up to date after something was done to the worksheet by command."""
        indices = tuple(indices)
        self.show_painting(indices)
        self.show_slices(indices)
        self._report(indices)

    def _commit_layer(self, layer: Labels, indices: Iterable[int]) -> None:
        sheet = self.worksheet
        if tuple(layer.data.shape) != sheet.volume.shape:
            self.drop(layer)
            self.problem.emit(_other_shape(layer, sheet.volume))
            return
        expected = sheet.painted if layer is self.labels else sheet.shown
        planes = {index: layer.data[sheet.at(index)] for index in sorted(indices)}
        changed = {index: plane for index, plane in planes.items() if not np.array_equal(plane, expected(index))}
        if not changed:
            return
        try:
            self._learn_classes(changed)
            self._open_slice(changed, layer)
            judged = sheet.paint(changed) if layer is self.labels else sheet.correct(changed)
        except InputError as error:
            self.problem.emit(str(error))
            return
        self.show_slices(changed)
        if judged:
            self._report(judged)

    def _report(self, indices: Iterable[int]) -> None:
        """Tell at once, or when somebody listens again."""
        if self.is_chosen:
            self.slices_annotated.emit(indices)
        else:
            self._unreported.update(indices)

    def _learn_classes(self, planes: Mapping[int, Values]) -> None:
        values = set().union(*(np.unique(plane).tolist() for plane in planes.values()))
        if self.worksheet.class_list.ensure(values):
            self.show_classes()
            self.classes_changed.emit()

    def _open_slice(self, changed: Mapping[int, Values], layer: Labels) -> None:
        """Nobody has judged what lies round the first stroke in a slice, until the slice is left."""
        current = self.view.index
        is_first = current in changed and self.worksheet.state(current) is SliceState.UNLABELLED
        if self.is_training and is_first and layer is self.labels and not self.view.is_across:
            self.worksheet.open_index = current

    def _write(self, layer: Labels, planes: Mapping[int, Values]) -> None:
        written = []
        for index, values in planes.items():
            plane = layer.data[self.worksheet.at(index)]
            if not np.array_equal(plane, values):
                plane[...] = values
                written.append(index)
        self._refresh(layer, written)

    def _refresh(self, layer: Layer, indices: Iterable[int]) -> None:
        if not any(self.view.shows(index) for index in indices):
            return
        if not self.view.is_3d:
            self._refresh_now(layer)
        elif not self._refresh_3d.isActive():
            self._refresh_3d.start()

    def _on_refresh_3d(self) -> None:
        for layer in self.layers[1:]:
            self._refresh_now(layer)

    def _refresh_now(self, layer: Layer) -> None:
        with self._edits[layer].own_changes() if layer in self._edits else nullcontext():
            layer.refresh(extent=False, thumbnail=False, highlight=False)

    def _watch(self, layer: Labels) -> None:
        edits = LayerEdits(layer, self.worksheet.axis, self.view, self)
        edits.due.connect(self._on_edits_due)
        self._edits[layer] = edits
        self.show_classes()
        layer.selected_label = self.selected_value
        layer.events.selected_label.connect(self._on_selected_label)

    def _unwatch(self, layer: Labels) -> None:
        layer.events.selected_label.disconnect(self._on_selected_label)
        edits = self._edits.pop(layer)
        edits.close()
        edits.deleteLater()

    def _on_edits_due(self) -> None:
        # Strokes on labels that two images share are those of the chosen one until the other comes back.
        if not self.is_chosen:
            return
        self.commit()
        self.apply_held()

    def _on_selected_label(self, event: Any) -> None:
        value = int(event.source.selected_label)
        if value != self.selected_value:
            self.select_class(value)

    def _fit_dtype(self, layer: Labels) -> None:
        dtype = np.promote_types(layer.data.dtype, self.worksheet.class_list.dtype)
        if dtype != layer.data.dtype:
            layer.data = layer.data.astype(dtype)

    def _kwargs(self, role: str) -> dict[str, Any]:
        """Return where a layer lies, on the voxels of the image as it is on the screen, and what it is."""
        kwargs = layer_kwargs(self.worksheet.volume)
        kwargs["metadata"] |= {ROLE_KEY: role}
        return kwargs | place_of(self.image) | {"name": f"{self.image.name} {role}"}

    def _insert_above_image(self, layer: Layer) -> None:
        layers = self._viewer.layers
        insert_quietly(self._viewer, layer, layers.index(self.image) + 1)


def place_of(image: Image) -> dict[str, Any]:
    """Return the keyword arguments that put a layer (Z, Y, X) on the voxels of an image as it is on the screen."""
    keys = ("scale", "translate", "units", "axis_labels")
    return {key: getattr(image, key)[-3:] for key in keys}


def insert_quietly(viewer: Viewer, layer: Layer, position: int) -> None:
    """Add a layer, and leave the one that a person is working on selected."""
    selection = viewer.layers.selection
    active, selected = selection.active, set(selection)
    viewer.layers.insert(position, layer)
    if active is None:
        viewer.layers.selection = selected
    else:
        selection.active = active


def _make_paintable(labels: Labels) -> None:
    """Replace an array that cannot be painted on, because it is read-only or not in memory, by a copy."""
    if not isinstance(labels.data, np.ndarray) or not labels.data.flags.writeable:
        labels.data = np.array(labels.data)


def _classes_of(labels: Labels, painted: Values) -> tuple[tuple[LabelClass, ...], int]:
    """Return the classes and the brush value of a layer, from its metadata as far as they are there."""
    known: tuple[LabelClass, ...] = labels.metadata.get(CLASSES_KEY, ())
    taken = {label_class.value for label_class in known}
    brush_value = labels.metadata.get(BACKGROUND_BRUSH_KEY)
    values = set(np.unique(painted[painted != BACKGROUND_CLASS.value]).tolist()) - {brush_value}
    if brush_value is None or brush_value in taken:
        brush_value = background_brush(taken | values)
    if len(known) < 2:
        return default_classes(values or {1}), brush_value
    classes = ClassList(known, brush_value)
    classes.ensure(values)
    return classes.all, brush_value


def _other_shape(layer: Labels, volume: Volume) -> str:
    return (
        f"The layer {layer.name} has got the shape {tuple(layer.data.shape)}, but the image has {volume.shape}. "
        'It is not used any more. Choose labels that belong to this image, or press "New" to get those painted back.'
    )
