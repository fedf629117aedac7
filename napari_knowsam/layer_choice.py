"""The choice of image, labels and axis in a viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtCore import QTimer

from knowsam.data.orientation import PLANE_NAMES
from knowsam.errors import InputError
from napari_knowsam.layer_signals import LayerSignals
from napari_knowsam.new_layers import ROLE_KEY, ResultLooks
from napari_knowsam.open_images import OpenImages, uncover
from napari_knowsam.other_labels import OtherLabels
from napari_knowsam.place_guard import PlaceGuard
from napari_knowsam.volume_layers import has_known_orientation, volume_of

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from knowsam.document.annotation_document import AnnotationDocument
    from napari_knowsam.layer_sync import LayerSync


class LayerChoice:
    """Chooses the layers of a viewer to work on; the `LayerSync` of the image changes them.

    Layers are identified as objects, not by name. The work on an image is kept until the image is removed, also while
    another one is chosen or other layers are gone.

    Attributes
    ----------
    signals : of changes of the layers.
    sync : of the chosen image, if any.
    looks : of the results of all images.
    is_plane_fixed : whether turning the view keeps the plane to annotate in.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self.signals = LayerSignals()
        self.sync: LayerSync | None = None
        self.looks = ResultLooks()
        self._images = OpenImages(viewer, self.signals, self.looks)
        self._is_training = self.is_plane_fixed = False
        # A layer that is removed may be one of many, and one that is added may be followed by its labels.
        self._choice_due = QTimer(self.signals)
        self._choice_due.setSingleShot(True)
        self._choice_due.timeout.connect(self._on_choice_due)
        self._selection_due = QTimer(self.signals)
        self._selection_due.setSingleShot(True)
        self._selection_due.timeout.connect(self._on_selection_due)
        self.signals.layer_dropped.connect(self._emit_names)
        events, dims = viewer.layers.events, viewer.dims.events
        self._connections = [
            (events.inserted, self._on_layer_inserted),
            (events.removed, self._on_layer_removed),
            (events.renamed, self._emit_names),
            (viewer.layers.selection.events.active, self._on_selected),
            (dims.current_step, self._on_dims_changed),
            (dims.order, self._on_turned),
            (dims.ndisplay, self._on_turned),
            (viewer.canvas.grid.events.enabled, self._on_grid_toggled),
        ]
        for emitter, slot in self._connections:
            emitter.connect(slot)
        self._other_labels = OtherLabels(
            viewer, self.signals, self._images, lambda: self.sync, self.choose_labels, self._take_up
        )
        self._place_guard = PlaceGuard(viewer, self._images.holds, self.signals)
        self._place_guard.put_back.connect(self.signals.problem)

    @property
    def document(self) -> AnnotationDocument | None:
        """The work on the chosen image, if there is one."""
        return None if self.sync is None else self.sync.document

    @property
    def has_known_orientation(self) -> bool:
        """Whether the file of the chosen image said where left, front and head are."""
        return self.sync is not None and has_known_orientation(self.sync.image)

    @property
    def documents(self) -> tuple[AnnotationDocument, ...]:
        """The work on every image that was worked on, the last chosen first."""
        return tuple(sync.document for sync in self._images)

    @property
    def images(self) -> list[Image]:
        """The images to choose from, the chosen one first."""
        names = set(self._images.names(Image))
        images = [layer for layer in self._viewer.layers if isinstance(layer, Image) and layer.name in names]
        return sorted(images, key=lambda image: self.sync is None or image is not self.sync.image)

    def require_sync(self, purpose: str = "") -> LayerSync:
        """Return the `LayerSync` of the chosen image, with the latest strokes taken in.

        Parameters
        ----------
        purpose : of the image, for the message.

        Raises
        ------
        InputError
            If there is no image, or it is open in which plane its slices lie.
        """
        self.flush()
        if self.sync is None:
            raise InputError(f"There is no image{purpose}. Open an image file or a DICOM folder first.")
        if self.sync.plane_question is not None:
            raise InputError(self.sync.plane_question)
        return self.sync

    def sync_of(self, document: AnnotationDocument) -> LayerSync | None:
        """Return the `LayerSync` of a document, whether its image is chosen or not; None if it is gone."""
        return next((sync for sync in self._images if sync.document is document), None)

    def document_of(self, image: Image) -> AnnotationDocument | None:
        """Return the work on an image that was chosen last; None if there is none, or the image is gone."""
        return next((sync.document for sync in self._images if sync.image is image), None)

    def close(self) -> None:
        """Take in the latest strokes and let go of the viewer; all layers stay."""
        self.flush()
        self._choice_due.stop()
        self._selection_due.stop()
        for emitter, slot in self._connections:
            emitter.disconnect(slot)
        self._connections.clear()
        self._leave()
        self._images.close()
        self._place_guard.close()
        self._other_labels.close()

    def flush(self) -> None:
        """Take in at once all strokes on the layers of the chosen image."""
        if self.sync is not None:
            self.sync.flush()

    def choose_image(self, name: str | None) -> None:
        """Work on an image, or with None on the selected one or the first that will do.

        Labels that lie on its voxels are taken along; where there are none, an empty layer is made.
        """
        reasons = []
        for image in self._images.candidates(Image) if name is None else (self._viewer.layers[name],):
            try:
                self._choose(self._images.of_image(image))
                return
            except InputError as error:
                reasons.append(str(error))
        self._emit_names()
        if reasons:
            self.signals.problem.emit(reasons[0])

    def show_image(self, name: str) -> None:
        """Work on an image that somebody wants to see."""
        self.choose_image(name)
        if self.sync is not None and self.sync.image.name == name:
            uncover(self._viewer, self.sync.image)

    def choose_anew(self, image: Image) -> None:
        """Work on an image that was just opened, with labels of its own, whatever other labels lie on its voxels.

        Raises
        ------
        InputError
            If the image cannot be worked on.
        """
        self._choose(self._images.with_new_labels(image, volume_of(image)))

    def choose_labels(self, name: str, axis: int | None = None) -> None:
        """Paint on another labels layer, by default along the axis it seems to be painted along."""
        sync = self.sync
        if sync is None:
            return
        try:
            self._choose(self._images.of_layers(sync.image, self._viewer.layers[name], sync.document.volume, axis))
        except InputError as error:
            self.signals.problem.emit(str(error))
            self._emit_names()

    def _take_up(self, image: Image, labels: Labels) -> None:
        """Work on an image with labels that were opened for it, in place of empty ones."""
        if self.sync is None or self.sync.image is not image:
            self.show_image(image.name)
        if self.sync is None or self.sync.image is not image:
            return
        before = self.sync
        self.choose_labels(labels.name)
        if self.sync is not before:
            self._images.end_unused(before)
            self.signals.document_changed.emit()

    def new_labels(self) -> None:
        """Make an empty labels layer for the chosen image, or bring back the removed one, and take up the brush."""
        sync = self.sync
        if sync is None:
            self.signals.problem.emit("There is no image to label. Open an image file or a DICOM folder first.")
            return
        if sync.layers.labels is None:
            sync.restore_labels()
            self.signals.document_changed.emit()
        else:
            document = sync.document
            self._choose(self._images.with_new_labels(sync.image, document.volume, document.axis))
        if self.sync is not None and self.sync.layers.labels is not None:
            self._viewer.layers.selection.active = self.sync.layers.labels.layer
            self.sync.layers.labels.layer.mode = "paint"

    def choose_axis(self, axis: int) -> None:
        """Annotate along an axis, and bring its plane on the screen; predictions along another axis are dropped.

        The axis stays while anything is annotated along it. Labels of which it is not clear how they were painted are
        taken to be painted along the axis.
        """
        sync = self.sync
        if sync is None:
            return
        is_asked, sync.plane_question = sync.plane_question is not None, None
        document = sync.document
        if document.axis == axis:
            sync.view.turn()
            return
        sync.flush()
        if document.annotated and not is_asked:
            self.signals.problem.emit(
                f"What you painted was painted in {PLANE_NAMES[document.axis]} slices. "
                'Make new labels ("New") to paint in another plane.'
            )
        elif sync.layers.labels is None:
            self.signals.problem.emit(
                'The labels layer was removed. Press "New" to get it back before you change the plane.'
            )
        else:
            turned = self._images.begin(sync.image, sync.layers.labels.layer, document.volume, axis)
            turned.document.proposal = document.proposal
            self._choose(turned)
            self._images.end(sync)
            self.signals.document_changed.emit()

    def close_image(self, image: Image) -> None:
        """Take an image out of the viewer, with all layers of the work on it; what was painted is taken over before."""
        self.flush()
        work = [sync for sync in self._images if sync.image is image]
        layers = {one.layer for sync in work for one in (*sync.layers.to_paint_on, *sync.layers.results)}
        for layer in (image, *layers):
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def show_restored_corrections(self) -> None:
        """Show corrections, in place of a layer that showed them when the image was removed."""
        if self.sync is not None and self.sync.document.corrected:
            self._images.remove_left_predictions(self.sync.document)
            self.sync.layers.show_live()

    def set_live_visible(self, visible: bool) -> None:
        """Show or hide the prediction layer."""
        self.looks.is_live = visible
        if self.sync is not None:
            self.sync.layers.show_live()

    def set_opacity(self, opacity: float) -> None:
        """Show the prediction layer more or less clearly, from 0 to 1."""
        self.looks.opacity = opacity
        if self.sync is not None:
            self.sync.layers.show_opacity()

    def set_uncertainty_visible(self, visible: bool) -> None:
        """Show or hide the uncertainty of the prediction."""
        self.looks.is_uncertainty_visible = visible
        if self.sync is not None:
            self.sync.layers.show_uncertainty()

    def set_training(self, is_training: bool) -> None:
        """Tell whether training runs; meanwhile a new slice counts as partly painted until it is left."""
        self._is_training = is_training
        if self.sync is not None:
            self.sync.set_training(is_training)

    def _choose(self, sync: LayerSync) -> None:
        """Make an image the chosen one, with the results of the work on it with other labels."""
        before = self.sync
        if before is not sync:
            self.flush()
            self._leave()
            # Messages on the last work do not apply to this one.
            self.signals.problem.emit("")
            self._images.put_first(sync)
            self.sync = sync
            if before is not None and before.image is sync.image:
                sync.layers.take_results_of(before.layers)
            elif before is not None:
                before.layers.make_way(sync.layers)
            sync.set_training(self._is_training)
            sync.choose()
            if sync.view.seen_axis is not None:
                sync.view.turn()
        self._emit_names()
        self.signals.document_changed.emit()
        self.signals.class_selected.emit(sync.selected_value)
        notices = sync.take_notices()
        if sync.layers.labels is None:
            notices += (_labels_are_gone(sync),)
        if notices:
            self.signals.problem.emit(" ".join(notices))

    def _leave(self) -> None:
        if self.sync is not None:
            self.sync.leave()
            self.sync = None

    def _emit_names(self) -> None:
        sync = self.sync
        for one in self._images:
            one.document.name = one.image.name
        self.signals.images_changed.emit(self._images.names(Image), None if sync is None else sync.image.name)
        chosen = None if sync is None or sync.layers.labels is None else sync.layers.labels.layer.name
        self.signals.labels_changed.emit(self._images.names(Labels), chosen)

    def _on_dims_changed(self) -> None:
        if self.sync is not None:
            self.sync.on_view_changed()

    def _on_turned(self) -> None:
        """Annotate in the plane that is on the screen, as long as nothing is annotated in another one."""
        self._on_dims_changed()
        sync = self.sync
        if sync is None:
            return
        seen = sync.view.seen_axis
        is_free = not (
            self.is_plane_fixed or sync.document.annotated or sync.plane_question or sync.layers.labels is None
        )
        if is_free and seen not in (None, sync.document.axis):
            self.choose_axis(seen)
        self.signals.turned.emit(seen)

    def _on_grid_toggled(self) -> None:
        """Show the chosen image, which lies under others again once they no longer stand beside it."""
        if self.sync is not None:
            uncover(self._viewer, self.sync.image)

    def _on_layer_inserted(self, event: Any) -> None:
        self._emit_names()
        if self.sync is None and isinstance(event.value, Image):
            self._choice_due.start()

    def _on_layer_removed(self, event: Any) -> None:
        layer, is_image_gone = event.value, False
        for sync in (sync for sync in self._images if layer in sync.layers):
            was_labels = sync.layers.labels is not None and layer is sync.layers.labels.layer
            sync.take_removed(layer)
            if layer is sync.image:
                self._end(sync)
                is_image_gone = True
            elif was_labels and sync is self.sync:
                self.signals.problem.emit(_labels_are_gone(sync))
        if is_image_gone:
            self.signals.document_changed.emit()
        if self.sync is None or is_image_gone:
            self._choice_due.start()
        self._emit_names()

    def _end(self, sync: LayerSync) -> None:
        if sync is self.sync:
            self._leave()
        self._images.end_with_image(sync)

    def _on_selected(self) -> None:
        self._selection_due.start()

    def _on_selection_due(self) -> None:
        """Work on the image that is selected in the list of layers, or to which the selected layer belongs."""
        layer = self._viewer.layers.selection.active
        if layer is None or self.sync is None or layer in self.sync.layers:
            return
        owner = next((sync for sync in self._images if layer in sync.layers), None)
        if owner is not None:
            self._choose(owner)
            uncover(self._viewer, owner.image)
        elif isinstance(layer, Image) and ROLE_KEY not in layer.metadata:
            self.show_image(layer.name)

    def _on_choice_due(self) -> None:
        if self.sync is None:
            self.choose_image(None)
        self._images.remove_results()


def _labels_are_gone(sync: LayerSync) -> str:
    return (
        f"The labels layer of {sync.image.name} was removed. What was painted on it is still used. "
        'Press "New" to get it back, or choose other labels.'
    )
