"""Between the layers of a viewer and the worksheets: which ones belong together, and what is done to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtCore import QObject, QTimer, Signal

from knowsam.errors import InputError
from napari_knowsam.layer_groups import LayerGroups
from napari_knowsam.painted_layer import PLANES
from napari_knowsam.volume_layers import has_known_orientation

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from knowsam.data.annotation import SliceState
    from knowsam.document.annotation_document import AnnotationDocument
    from knowsam.document.snapshot import Snapshot
    from napari_knowsam.layer_group import LayerGroup, Prediction

_OPACITY = 0.5


class LayerBridge(QObject):
    """Chooses the layers to work on: what people do to them comes out as signals, what is to be shown goes in.

    Which voxels are written is up to the `LayerGroup` of each image. Layers are known as objects, whatever they are
    called. The work on an image is kept until the image is removed, also while another one is chosen or other layers
    are gone.
    """

    images_changed = Signal(object, object)
    """The names of the image layers, and the name of the chosen one or None."""

    labels_changed = Signal(object, object)
    """The names of the labels layers, and the name of the chosen one or None."""

    worksheet_changed = Signal()
    """Another image, other labels or another axis, or an image is gone: everything is to be read anew."""

    slice_annotated = Signal(object)
    """A `LabelSlice` that a person judged otherwise than before."""

    classes_changed = Signal(object)
    """All classes; when one goes, this comes before the slices it was painted in."""

    slices_changed = Signal(object)
    """Indices of slices whose state, or what is shown of them, changed."""

    looked_at = Signal(int)
    """Another slice came on the screen."""

    class_selected = Signal(int)
    """A person chose a label value in napari."""

    history_changed = Signal()
    """There is something else to undo or to redo."""

    problem = Signal(str)
    """A sentence for the user."""

    def __init__(self, viewer: Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._groups = LayerGroups(viewer, self)
        self._group: LayerGroup | None = None
        self._shown_index = 0
        self._opacity = _OPACITY
        self._is_live = True
        self._is_uncertainty_visible = False
        self._is_training = False
        # A layer that is removed may be one of many, and one that is added may be followed by its labels.
        self._choice_due = QTimer(self)
        self._choice_due.setSingleShot(True)
        self._choice_due.timeout.connect(self._on_choice_due)
        events, dims = viewer.layers.events, viewer.dims.events
        self._connections = [
            (events.inserted, self._on_layer_inserted),
            (events.removed, self._on_layer_removed),
            (events.renamed, self._on_layer_renamed),
            (dims.current_step, self._on_dims_changed),
            (dims.order, self._on_dims_changed),
            (dims.ndisplay, self._on_dims_changed),
        ]
        for emitter, slot in self._connections:
            emitter.connect(slot)

    @property
    def worksheet(self) -> AnnotationDocument | None:
        """The work on the chosen image, if there is one."""
        return None if self._group is None else self._group.worksheet

    @property
    def plane_question(self) -> str | None:
        """What a person has to say of the plane of the labels before they are used."""
        return None if self._group is None else self._group.plane_question

    @property
    def current_index(self) -> int:
        """The slice on the screen."""
        return 0 if self._group is None else self._group.view.index

    @property
    def has_known_orientation(self) -> bool:
        """Whether the file of the chosen image said where left, front and head are."""
        return self._group is not None and has_known_orientation(self._group.image)

    def holds(self, worksheet: AnnotationDocument) -> bool:
        """Whether the image of a worksheet is still there."""
        return any(group.worksheet is worksheet for group in self._groups)

    def close(self) -> None:
        """Take over what was just painted and let go of the viewer; all layers stay."""
        self.flush()
        self._choice_due.stop()
        for emitter, slot in self._connections:
            emitter.disconnect(slot)
        self._connections.clear()
        self._let_go()
        self._groups.close()

    def choose_image(self, name: str | None) -> None:
        """Work on an image, or with None on the selected one or the first that will do.

        Labels that lie on its voxels are taken along; where there are none, an empty layer is made.
        """
        reasons = []
        for image in self._groups.candidates(Image) if name is None else (self._viewer.layers[name],):
            try:
                self._show_group(self._groups.of_image(image))
                return
            except InputError as error:
                reasons.append(str(error))
        self._emit_names()
        if reasons:
            self.problem.emit(reasons[0])

    def choose_labels(self, name: str) -> None:
        """Paint on another labels layer."""
        group = self._group
        if group is None:
            return
        try:
            labels = self._viewer.layers[name]
            self._show_group(self._groups.of_layers(group.image, labels, group.worksheet.volume))
        except InputError as error:
            self.problem.emit(str(error))
            self._emit_names()

    def new_labels(self) -> None:
        """Make an empty labels layer for the chosen image, or bring back the removed one, and take up the brush."""
        group = self._group
        if group is None:
            self.problem.emit("There is no image to label. Open an image file or a DICOM folder first.")
            return
        if group.labels is None:
            self.restore_labels()
        else:
            sheet = group.worksheet
            self._show_group(self._groups.with_new_labels(group.image, sheet.volume, sheet.axis))
        if self._group is not None and self._group.labels is not None:
            self._viewer.layers.selection.active = self._group.labels
            self._group.labels.mode = "paint"

    def restore_labels(self) -> None:
        """Bring back a labels layer that was removed, with everything painted on it."""
        if self._group is not None and self._group.labels is None:
            self._group.restore_labels()
            self._emit_names()
            self.worksheet_changed.emit()

    def choose_axis(self, axis: int) -> None:
        """Annotate along another axis while nothing was annotated along the present one; predictions are dropped.

        Labels of which it is not clear how they were painted are taken to be painted along the axis.
        """
        group = self._group
        if group is None:
            return
        is_asked, group.plane_question = group.plane_question is not None, None
        if group.worksheet.axis == axis:
            return
        self.flush()
        sheet = group.worksheet
        if sheet.annotated and not is_asked:
            self.problem.emit(
                f"What you painted was painted in {PLANES[sheet.axis]} slices. "
                'Make new labels ("New") to paint in another plane.'
            )
        elif group.labels is None:
            self.problem.emit('The labels layer was removed. Press "New" to get it back before you change the plane.')
        else:
            self._show_group(self._groups.begin(group.image, group.labels, sheet.volume, axis))
            self._groups.end(group)
            self.worksheet_changed.emit()

    def select_class(self, value: int) -> None:
        """Let the brush paint a class, or known background."""
        if self._group is not None:
            self._group.select_class(value)

    def add_class(self) -> None:
        """Add a class and choose it."""
        before = () if self.worksheet is None else self.worksheet.classes
        self._change(lambda sheet: _nothing(sheet.class_list.add()))
        if self.worksheet is not None and self.worksheet.classes != before:
            self.select_class(self.worksheet.classes[-1].value)

    def rename_class(self, value: int, name: str) -> None:
        """Give a class another name."""
        self._change(lambda sheet: _nothing(sheet.class_list.change(value, name=name)))

    def recolor_class(self, value: int, color: tuple[int, int, int]) -> None:
        """Give a class another colour (red, green, blue in 0-255)."""
        self._change(lambda sheet: _nothing(sheet.class_list.change(value, color=color)))

    def remove_class(self, value: int) -> None:
        """Take a class away, and unpaint it everywhere."""
        self._change(lambda sheet: sheet.remove_class(value))

    def mark(self, state: SliceState | None) -> None:
        """Say how much of the slice on the screen was judged; None leaves it to what is painted."""
        index = self.current_index
        self._change(lambda sheet: sheet.mark(index, state))

    def accept_slice(self) -> None:
        """Take the prediction of the slice on the screen as painted."""
        index = self.current_index
        self._accept(lambda sheet: (index,), f"Slice {index} holds nothing to accept: no prediction, or painted fully.")

    def accept_between(self) -> None:
        """Take the predictions from the first to the last annotated slice as painted."""
        self._accept(
            lambda sheet: sheet.between(),
            "Between the first and the last annotated slice there is no prediction to accept. "
            "Annotate a slice on each side and train first.",
        )

    def accept_all(self) -> None:
        """Take the predictions of all slices as painted."""
        self._accept(lambda sheet: range(sheet.slice_count), "There is no prediction to accept. Train first.")

    def undo(self) -> None:
        """Take back the last thing a person did."""
        self._change(lambda sheet: sheet.undo())

    def redo(self) -> None:
        """Repeat what was taken back last."""
        self._change(lambda sheet: sheet.redo())

    def restore(self, snapshot: Snapshot) -> None:
        """Bring back what was painted when a snapshot was taken."""
        self._change(lambda sheet: sheet.restore(snapshot))

    def go_to(self, index: int) -> None:
        """Bring a slice on the screen."""
        if self._group is not None:
            self._group.view.go_to(index)

    def go_to_annotated(self, direction: int) -> None:
        """Bring the next annotated slice on the screen, or with -1 the previous one; at the last one, stay."""
        if self._group is None:
            return
        self._group.commit()
        here = self.current_index
        ahead = [i for i in self._group.worksheet.annotated if (i - here) * direction > 0]
        if ahead:
            self.go_to(min(ahead, key=lambda index: abs(index - here)))

    def apply_predictions(self, predictions: Iterable[Prediction], worksheet: AnnotationDocument) -> None:
        """Take predictions into a worksheet, whether its image is chosen or not; one that is gone takes none.

        Parameters
        ----------
        predictions : index, (H, W) indices of the classes of the worksheet, (H, W) uncertainty in percent.
        """
        group = next((group for group in self._groups if group.worksheet is worksheet), None)
        if group is None:
            return
        group.apply(predictions)
        if group is self._group and group.prediction is None:
            self._add_prediction(group)

    def set_live_visible(self, visible: bool) -> None:
        """Show or hide the prediction layer."""
        self._is_live = visible
        if self._group is None:
            return
        if self._group.prediction is not None:
            self._group.prediction.visible = visible
        elif visible and self._group.worksheet.has_results:
            self._add_prediction(self._group)

    def set_opacity(self, opacity: float) -> None:
        """Show the prediction layer more or less clearly, from 0 to 1."""
        self._opacity = opacity
        if self._group is not None and self._group.prediction is not None:
            self._group.prediction.opacity = opacity

    def set_uncertainty_visible(self, visible: bool) -> None:
        """Show or hide how sure the prediction is."""
        self._is_uncertainty_visible = visible
        if self._group is None:
            return
        if self._group.uncertainty is not None:
            self._group.uncertainty.visible = visible
        elif visible:
            self._group.add_uncertainty()
            self._emit_names()

    def set_training(self, is_training: bool) -> None:
        """Tell whether training runs; meanwhile a new slice counts as partly painted until it is left."""
        self._is_training = is_training
        if self._group is not None:
            self._group.is_training = is_training
            if not is_training:
                self._group.end_open_slice()

    def flush(self) -> None:
        """Take over at once whatever was painted, in any slice and in any way."""
        if self._group is not None:
            self._group.commit_all()
            self._group.apply_held()

    def _accept(self, which: Callable[[AnnotationDocument], Iterable[int]], refusal: str) -> None:
        def accept(sheet: AnnotationDocument) -> Iterable[int]:
            changed = sheet.accept(which(sheet))
            if not changed:
                raise InputError(refusal)
            return changed

        self._change(accept)

    def _change(self, action: Callable[[AnnotationDocument], Iterable[int]]) -> None:
        """Do something to the worksheet that changes slices or classes, and show what came of it."""
        group = self._group
        if group is None:
            return
        group.commit()
        group.apply_held()
        classes = group.worksheet.classes
        try:
            indices = action(group.worksheet)
        except InputError as error:
            self.problem.emit(str(error))
            return
        if group.worksheet.classes != classes:
            group.follow_classes(classes)
            self.classes_changed.emit(group.worksheet.classes)
        group.show_changes(indices)

    def _show_group(self, group: LayerGroup) -> None:
        """Make a group the chosen one, with the results of another one of the same image."""
        before = self._group
        if before is not group:
            self.flush()
            self._let_go()
            self._groups.put_first(group)
            self._group = group
            if before is not None and before.image is group.image:
                before.hand_over(group)
            self._listen(group)
            group.is_training = self._is_training
            group.come_back()
            self._show_looks(group)
            self._shown_index = group.view.index
            group.view.come_into_view()
        self._emit_names()
        self.worksheet_changed.emit()
        self.class_selected.emit(group.selected_value)
        notices = group.take_notices()
        if group.labels is None:
            notices += (_labels_are_gone(group),)
        if notices:
            self.problem.emit(" ".join(notices))

    def _listen(self, group: LayerGroup) -> None:
        group.slices_changed.connect(self.slices_changed)
        group.slices_annotated.connect(self._on_slices_annotated)
        group.classes_changed.connect(self._on_classes_changed)
        group.class_selected.connect(self.class_selected)
        group.problem.connect(self._on_group_problem)

    def _let_go(self) -> None:
        group = self._group
        if group is None:
            return
        group.end_open_slice()
        group.is_training = False
        group.is_chosen = False
        self._group = None
        for signal in (
            group.slices_changed,
            group.slices_annotated,
            group.classes_changed,
            group.class_selected,
            group.problem,
        ):
            signal.disconnect()

    def _show_looks(self, group: LayerGroup) -> None:
        """Let the results of a group look as those of the one that was chosen before."""
        if group.prediction is not None:
            group.prediction.opacity = self._opacity
        # Of an image without results, there is nothing to be seen yet.
        if group.prediction is not None or group.worksheet.predictions.indices:
            self.set_live_visible(self._is_live)
            self.set_uncertainty_visible(self._is_uncertainty_visible)

    def _add_prediction(self, group: LayerGroup) -> None:
        group.add_prediction(opacity=self._opacity, visible=self._is_live)
        self._emit_names()

    def _emit_names(self) -> None:
        group = self._group
        self.images_changed.emit(self._groups.names(Image), None if group is None else group.image.name)
        chosen = None if group is None or group.labels is None else group.labels.name
        self.labels_changed.emit(self._groups.names(Labels), chosen)

    def _on_slices_annotated(self, indices: Iterable[int]) -> None:
        if self.worksheet is not None:
            for index in indices:
                self.slice_annotated.emit(self.worksheet.label_slice(index))
            self.history_changed.emit()

    def _on_classes_changed(self) -> None:
        if self.worksheet is not None:
            self.classes_changed.emit(self.worksheet.classes)

    def _on_group_problem(self, sentence: str) -> None:
        self._emit_names()
        self.problem.emit(sentence)

    def _on_dims_changed(self) -> None:
        group = self._group
        if group is None:
            return
        left, self._shown_index = self._shown_index, group.view.index
        group.on_view_changed(left)
        if self._shown_index != left:
            self.looked_at.emit(self._shown_index)

    def _on_layer_inserted(self, event: Any) -> None:
        self._emit_names()
        if self._group is None and isinstance(event.value, Image):
            self._choice_due.start()

    def _on_layer_removed(self, event: Any) -> None:
        layer = event.value
        has_ended = False
        for group in (group for group in self._groups if layer in group.layers):
            group.commit()
            was_labels = layer is group.labels
            group.drop(layer)
            if layer is group.image:
                if group is self._group:
                    self._let_go()
                self._groups.end(group)
                has_ended = True
            elif was_labels and group is self._group:
                self.problem.emit(_labels_are_gone(group))
        if has_ended:
            self.worksheet_changed.emit()
        if self._group is None:
            self._choice_due.start()
        self._emit_names()

    def _on_layer_renamed(self) -> None:
        self._emit_names()

    def _on_choice_due(self) -> None:
        if self._group is None:
            self.choose_image(None)


def _nothing(_: object) -> tuple[int, ...]:
    """Say of a change of the classes that it changes no slice."""
    return ()


def _labels_are_gone(group: LayerGroup) -> str:
    return (
        f"The labels layer of {group.image.name} was removed. What was painted on it is still used. "
        'Press "New" to get it back, or choose other labels.'
    )
