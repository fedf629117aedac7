"""The images of one viewer that were worked on, and the layers to choose from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
from napari.layers import Image, Labels

from knowsam.document.kept_files import fingerprint
from knowsam.errors import InputError
from napari_knowsam.layer_sync import LayerSync
from napari_knowsam.new_layers import ROLE_KEY, empty_labels, insert_quietly
from napari_knowsam.volume_layers import require_layers_match, volume_of

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from knowsam.data.volume import Volume
    from knowsam.document.annotation_document import AnnotationDocument
    from knowsam.document.snapshot import Snapshot
    from napari_knowsam.layer_signals import LayerSignals
    from napari_knowsam.new_layers import ResultLooks

_COVERING = ("opaque", "translucent", "translucent_no_depth")
"""Blending modes in which a layer hides those under it."""


@dataclass(frozen=True)
class _LeftPrediction:
    """The contents of a prediction layer when its image was removed."""

    image: str
    annotated: Snapshot
    values: str


class OpenImages:
    """One `LayerSync` for each pair of image and labels, the last chosen first."""

    def __init__(self, viewer: Viewer, signals: LayerSignals, looks: ResultLooks) -> None:
        self._viewer, self._signals, self._looks = viewer, signals, looks
        self._syncs: list[LayerSync] = []
        self._results_to_remove: list[Layer] = []
        self._corrected: dict[Layer, AnnotationDocument] = {}
        self._made: WeakSet[Labels] = WeakSet()
        self._left_over: WeakKeyDictionary[Layer, str] = WeakKeyDictionary()
        self._left_predictions: WeakKeyDictionary[Layer, _LeftPrediction] = WeakKeyDictionary()

    def __iter__(self) -> Iterator[LayerSync]:
        return iter(list(self._syncs))

    def holds(self, layer: Layer) -> bool:
        """Tell whether a layer belongs to the work on any image, chosen or not."""
        return any(layer in sync.layers for sync in self._syncs)

    def of_image(self, image: Image) -> LayerSync:
        """Return the last work on an image, or begin one with labels that lie on its voxels, made if need be.

        Raises
        ------
        InputError
            If the image cannot be worked on.
        """
        for sync in self._syncs:
            if sync.image is image:
                return sync
        volume = volume_of(image)
        # Volumes of several patients often have the same grid; what was painted in one belongs to it.
        taken = [sync.layers.labels.layer for sync in self._syncs if sync.layers.labels is not None]
        own = fingerprint(volume)
        taken += [layer for layer, others in self._left_over.items() if others != own]
        for labels in (one for one in self.candidates(Labels) if one not in taken):
            try:
                return self.of_layers(image, labels, volume)
            except InputError:
                continue
        return self.with_new_labels(image, volume)

    def of_layers(self, image: Image, labels: Labels, volume: Volume, axis: int | None = None) -> LayerSync:
        """Return the work on an image with these labels, or begin it.

        Raises
        ------
        InputError
            If the labels do not lie on the voxels of the image, or are no classes.
        """
        for sync in self._syncs:
            if sync.image is image and sync.layers.labels is not None and sync.layers.labels.layer is labels:
                return sync
        return self.begin(image, labels, volume, axis)

    def with_new_labels(self, image: Image, volume: Volume, axis: int | None = None) -> LayerSync:
        """Begin work on an image with an empty labels layer."""
        labels = empty_labels(image, volume)
        self._made.add(labels)
        insert_quietly(self._viewer, labels, len(self._viewer.layers))
        return self.begin(image, labels, volume, axis)

    def begin(self, image: Image, labels: Labels, volume: Volume, axis: int | None = None) -> LayerSync:
        """Begin work on an image with these labels, by default along the axis they seem to be painted along.

        Raises
        ------
        InputError
            If the labels show a prediction, do not lie on the voxels of the image, or are no classes.
        """
        if ROLE_KEY in labels.metadata:
            raise InputError(
                f"The layer {labels.name} shows a prediction, but labels are what a person has painted. Choose labels "
                "that were painted, or make new ones. To turn a prediction into labels, accept its slices."
            )
        if labels.ndim != 3:
            raise InputError(
                f"The labels {labels.name} have {labels.ndim} dimensions, but a single 3D volume is needed. "
                "Choose other labels, or make new ones."
            )
        require_layers_match(image, labels)
        sync = LayerSync(self._viewer, self._signals, self._looks, image, labels, volume, axis)
        self._syncs.append(sync)
        return sync

    def put_first(self, sync: LayerSync) -> None:
        """Note that an image was chosen."""
        self._syncs.remove(sync)
        self._syncs.insert(0, sync)

    def end(self, sync: LayerSync) -> None:
        """Forget the work on an image."""
        self._syncs.remove(sync)
        sync.close()
        sync.deleteLater()

    def end_unused(self, sync: LayerSync) -> None:
        """Forget the work on an image if there is none, and remove labels on which nobody painted, if we made them."""
        unused = self._unused_labels(sync)
        if unused is None or sync.document.has_results:
            return
        self.end(sync)
        if not self.holds(unused):
            self._viewer.layers.remove(unused)

    def _unused_labels(self, sync: LayerSync) -> Labels | None:
        labels = None if sync.layers.labels is None else sync.layers.labels.layer
        return labels if labels in self._made and not sync.document.annotated else None

    def end_with_image(self, sync: LayerSync) -> None:
        """Forget the work on an image that was removed; its results are removed by `remove_results`.

        Its labels stay, if somebody painted on them. Another image does not take them up, unless somebody chooses them.
        """
        layers = sync.layers
        if (unused := self._unused_labels(sync)) is not None:
            self._results_to_remove.append(unused)
        if layers.labels is not None:
            self._left_over[layers.labels.layer] = fingerprint(sync.document.volume)
            layers.leave_labels_hidden()
        self._results_to_remove += layers.disposable
        if layers.prediction is not None and layers.prediction.layer not in layers.disposable:
            self._corrected[layers.prediction.layer] = sync.document
        self.end(sync)

    def remove_results(self) -> None:
        """Remove results of images that were removed, and tell which ones stay, since a person has corrected them.

        They would be taken for those of another image. napari must not be removing layers itself just now.
        """
        removed, self._results_to_remove = self._results_to_remove, []
        for layer in removed:
            # Labels may be those of another image, too.
            if layer in self._viewer.layers and not self.holds(layer):
                self._viewer.layers.remove(layer)
        corrected, self._corrected = self._corrected, {}
        stayed = {layer: document for layer, document in corrected.items() if layer in self._viewer.layers}
        for layer, document in stayed.items():
            left = _LeftPrediction(fingerprint(document.volume), document.snapshot(), _digest(layer))
            self._left_predictions[layer] = left
        if stayed:
            self._signals.corrections_stayed.emit({layer.name: document for layer, document in stayed.items()})

    def remove_left_predictions(self, document: AnnotationDocument) -> None:
        """Remove what stayed of earlier work on the same image, since a document shows the same corrections now.

        A layer that was painted on since stays.
        """
        image, here = fingerprint(document.volume), document.snapshot()
        for layer, left in list(self._left_predictions.items()):
            is_there = layer in self._viewer.layers
            if is_there and left.image == image and here.holds(left.annotated) and left.values == _digest(layer):
                self._viewer.layers.remove(layer)

    def close(self) -> None:
        """Let go of all layers."""
        for sync in self:
            self.end(sync)

    def candidates(self, kind: type[Layer]) -> list[Any]:
        """Return the layers to choose from by default: selected ones first, then the topmost."""
        topmost_first = self._choosable(kind)[::-1]
        return sorted(topmost_first, key=lambda layer: layer not in self._viewer.layers.selection)

    def names(self, kind: type[Layer]) -> list[str]:
        """Return the names of all layers a person can choose."""
        return [layer.name for layer in self._choosable(kind)]

    def _choosable(self, kind: type[Layer]) -> list[Layer]:
        """Return the layers that show no result, be it one of an image or a window that are gone."""
        return [one for one in self._viewer.layers if isinstance(one, kind) and ROLE_KEY not in one.metadata]


def _digest(layer: Layer) -> str:
    """Return a digest of the values of a layer."""
    return blake2b(np.ascontiguousarray(layer.data).data).hexdigest()


def uncover(viewer: Viewer, image: Image) -> None:
    """Show an image, and hide the opaque ones over it: else one would paint in an image that nobody sees.

    Images beside it in napari's grid stay visible.
    """
    image.visible = True
    layers = viewer.layers
    places = [viewer.canvas.grid.position(index, layers) for index in range(len(layers))]
    here = layers.index(image)
    for other, place in zip(layers[here + 1 :], places[here + 1 :], strict=True):
        is_opaque = isinstance(other, Image) and other.opacity == 1 and other.blending in _COVERING
        if is_opaque and place == places[here]:
            other.visible = False
