"""All the work in one viewer: which layers belong together, and which ones there are to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import QObject

from knowsam.errors import InputError
from napari_knowsam.layer_group import ROLE_KEY, LayerGroup, insert_quietly, place_of
from napari_knowsam.volume_layers import empty_labels_layer_data, require_layers_match, volume_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.layers import Image, Layer
    from napari.viewer import Viewer

    from knowsam.data.volume import Volume


class LayerGroups(QObject):
    """The groups of layers that were worked on, the last chosen first; one for each pair of image and labels."""

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._groups: list[LayerGroup] = []

    def __iter__(self) -> Iterator[LayerGroup]:
        return iter(list(self._groups))

    def of_image(self, image: Image) -> LayerGroup:
        """Return the last work on an image, or begin one with labels that lie on its voxels, made if need be.

        Raises
        ------
        InputError
            If the image cannot be worked on.
        """
        for group in self._groups:
            if group.image is image:
                return group
        volume = volume_of(image)
        for labels in self.candidates(Labels):
            try:
                return self.of_layers(image, labels, volume)
            except InputError:
                continue
        return self.with_new_labels(image, volume)

    def of_layers(self, image: Image, labels: Labels, volume: Volume) -> LayerGroup:
        """Return the work on an image with these labels, or begin it.

        Raises
        ------
        InputError
            If the labels do not lie on the voxels of the image, or are no classes.
        """
        for group in self._groups:
            if group.image is image and group.labels is labels:
                return group
        return self.begin(image, labels, volume)

    def with_new_labels(self, image: Image, volume: Volume, axis: int | None = None) -> LayerGroup:
        """Begin work on an image with an empty labels layer."""
        data, kwargs, _ = empty_labels_layer_data(volume)
        labels = Labels(data, **kwargs | {"name": f"{image.name} labels"} | place_of(image))
        insert_quietly(self._viewer, labels, len(self._viewer.layers))
        return self.begin(image, labels, volume, axis)

    def begin(self, image: Image, labels: Labels, volume: Volume, axis: int | None = None) -> LayerGroup:
        """Begin work on an image with these labels, by default along the axis they seem to be painted along.

        Raises
        ------
        InputError
            If the labels do not lie on the voxels of the image, or are no classes.
        """
        if labels.ndim != 3:
            raise InputError(
                f"The labels {labels.name} have {labels.ndim} dimensions, but a single 3D volume is needed. "
                "Choose other labels, or make new ones."
            )
        require_layers_match(image, labels)
        group = LayerGroup(self._viewer, image, volume, labels, axis, self)
        self._groups.append(group)
        return group

    def put_first(self, group: LayerGroup) -> None:
        """Note that a group was chosen."""
        self._groups.remove(group)
        self._groups.insert(0, group)

    def end(self, group: LayerGroup) -> None:
        """Forget a group and what was done in it."""
        self._groups.remove(group)
        group.close()
        group.deleteLater()

    def close(self) -> None:
        """Let go of all layers."""
        for group in self:
            self.end(group)

    def candidates(self, kind: type[Layer]) -> list[Any]:
        """Return the layers to choose from by default: selected ones first, then the topmost; no results."""
        layers = [layer for layer in reversed(self._viewer.layers) if isinstance(layer, kind)]
        layers = [layer for layer in layers if ROLE_KEY not in layer.metadata]
        return sorted(layers, key=lambda layer: layer not in self._viewer.layers.selection)

    def names(self, kind: type[Layer]) -> list[str]:
        """Return the names of all layers a person can choose; not those that show the results of a group."""
        results = {layer for group in self._groups for layer in (group.prediction, group.uncertainty)}
        return [layer.name for layer in self._viewer.layers if isinstance(layer, kind) and layer not in results]
