"""The volume `tiny` and its labels in a viewer without a window, and strokes on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from mouse import Mouse

from knowsam.document.annotation_document import AnnotationDocument
from napari_knowsam import accepting
from napari_knowsam.layer_choice import LayerChoice
from napari_knowsam.volume_layers import image_layer_data, layer_kwargs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from knowsam.data.annotation import LabelClass, LabelSlice, SliceState
    from knowsam.data.volume import Volume
    from napari_knowsam.layer_sync import LayerSync

SHAPE = (6, 8, 10)
LIVER, SPLEEN, BRUSH = 2, 5, 255
Plane = npt.NDArray[np.uint8]


class Emitted:
    """The values that the signals of a choice have emitted."""

    def __init__(self, choice: LayerChoice) -> None:
        self._choice = choice
        self.slices: list[LabelSlice] = []
        self.problems: list[str] = []
        self.classes: list[tuple[LabelClass, ...]] = []
        self.images: list[tuple[list[str], str | None]] = []
        self.labels: list[tuple[list[str], str | None]] = []
        self.selected: list[int] = []
        self.looked_at: list[int] = []
        self.changed: list[tuple[int, ...]] = []
        self.documents: list[AnnotationDocument | None] = []
        choice.signals.slices_annotated.connect(self._on_slices_annotated)
        choice.signals.problem.connect(lambda sentence: self.problems.extend([sentence] if sentence else []))
        choice.signals.classes_changed.connect(self.classes.append)
        choice.signals.images_changed.connect(lambda names, current: self.images.append((names, current)))
        choice.signals.labels_changed.connect(lambda names, current: self.labels.append((names, current)))
        choice.signals.class_selected.connect(self.selected.append)
        choice.signals.looked_at.connect(self.looked_at.append)
        choice.signals.slices_changed.connect(self.changed.append)
        choice.signals.document_changed.connect(lambda: self.documents.append(choice.document))

    def _on_slices_annotated(self, indices: tuple[int, ...]) -> None:
        document = self._choice.document
        assert document is not None
        self.slices += map(document.label_slice, indices)


class Opened:
    """A viewer with one image and its labels, which are chosen."""

    def __init__(self, viewer: ViewerModel, volume: Volume, classes: tuple[LabelClass, ...]) -> None:
        self.viewer = viewer
        data, kwargs, _ = image_layer_data(volume)
        self.image = viewer.add_image(data, **kwargs)
        kwargs = layer_kwargs(volume) | {"name": "mine"}
        kwargs["metadata"] |= {"knowsam_classes": classes}
        self.labels = viewer.add_labels(np.zeros(SHAPE, np.uint8), **kwargs)
        viewer.dims.set_current_step(0, 3)
        self.choice = LayerChoice(viewer)
        self.choice.choose_image(None)
        self.emitted = Emitted(self.choice)

    @property
    def document(self) -> AnnotationDocument:
        assert self.choice.document is not None
        return self.choice.document

    @property
    def sync(self) -> LayerSync:
        assert self.choice.sync is not None
        return self.choice.sync

    @property
    def prediction(self) -> Labels:
        return self.viewer.layers["tiny prediction"]

    def prediction_of(self, index: int) -> Labels:
        """The prediction layer, after a slice was predicted."""
        self.predict(index, 1)
        return self.prediction

    def predict(self, index: int, class_index: int, percent: int = 40) -> None:
        self.apply([(index, plane(class_index), plane(percent))], self.document)

    def apply(self, predictions: list[tuple[int, Plane, Plane]], document: AnnotationDocument) -> None:
        """Hand predictions to whatever keeps the layers of a document, if it is still there."""
        sync = self.choice.sync_of(document)
        if sync is not None:
            sync.apply_predictions(predictions)

    def mark(self, state: SliceState) -> None:
        self.sync.change(AnnotationDocument.mark, self.sync.view.index, state)

    def accept_slice(self) -> None:
        self.sync.change(accepting.accept_slice, self.sync.view.index)

    def accept_between(self) -> None:
        self.sync.change(accepting.accept_between)

    def accept_all(self) -> None:
        self.sync.change(accepting.accept_all)

    def undo(self) -> None:
        self.sync.undo()

    def redo(self) -> None:
        self.sync.redo()

    def remove_class(self, value: int) -> None:
        self.sync.change(AnnotationDocument.remove_class, value)

    def rename_class(self, value: int, name: str) -> None:
        self.sync.change(lambda document: document.class_list.change(value, name=name))

    def recolor_class(self, value: int, color: tuple[int, int, int]) -> None:
        self.sync.change(lambda document: document.class_list.change(value, color=color))


def plane(value: int) -> Plane:
    return np.full(SHAPE[1:], value, dtype=np.uint8)


def stroke(layer: Labels, value: int, z: int, y: int = 4, x: int = 5) -> None:
    """Paint one voxel as the brush does."""
    layer.selected_label = value
    layer.brush_size = 1
    layer.n_edit_dimensions = 2
    layer.paint((z, y, x), value)


def add_other(opened: Opened, tiny: Volume) -> Image:
    """Add a second image on the voxels of the first one."""
    return opened.viewer.add_image(np.array(tiny.array), **layer_kwargs(tiny) | {"name": "other"})


def click(layer: Labels, tool: str, value: int, voxel: Sequence[float]) -> None:
    """Use a tool of napari on one voxel (z, y, x)."""
    if tool != "erase":
        layer.selected_label = value
    layer.brush_size, layer.mode = 1, tool
    Mouse(layer, voxel).release()
