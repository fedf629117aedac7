"""The preview of an edit, and the keys that accept or drop it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_knowsam.keys import Keys
from napari_knowsam.new_layers import insert_quietly, preview_layer, preview_values

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from napari.viewer import Viewer

    from knowsam.document.annotation_document import AnnotationDocument
    from knowsam.document.edit import Edit
    from napari_knowsam.layer_sync import LayerSync


class EditPreview:
    """Outlines at most one edit at a time.

    Attributes
    ----------
    edit : the outlined one, if any.
    """

    def __init__(self, viewer: Viewer) -> None:
        self.edit: Edit | None = None
        self._viewer = viewer
        self._layer: Labels | None = None
        self._document: AnnotationDocument | None = None
        self._keys: tuple[Keys, ...] = ()

    def show(self, edit: Edit, sync: LayerSync) -> None:
        """Outline an edit of the document, in place of the last one."""
        # napari takes a third of a second to remove a layer.
        layer = self._layer
        if layer is not None and layer in self._viewer.layers and self._document is sync.document:
            self._erase(layer)
            for index, mask in edit.masks.items():
                layer.data[sync.document.at(index)] = mask
            layer.refresh()
        else:
            self.drop()
            values = preview_values(sync.document, edit)
            self._document, self._layer = sync.document, preview_layer(sync.image, sync.document, values)
            insert_quietly(self._viewer, self._layer, len(self._viewer.layers))
        self.edit = edit

    def clear(self) -> None:
        """Outline nothing until something else is shown, and give the keys back."""
        self._give_keys_back()
        if self.edit is not None and self._layer is not None:
            self._erase(self._layer)
            self._layer.refresh()
        self.edit = None

    def drop(self) -> None:
        """Outline nothing any more, and give the keys back."""
        self._give_keys_back()
        self.edit = self._document = None
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def offer(self, actions: dict[str | int, Callable[[], object]], sync: LayerSync, *others: Layer) -> None:
        """Let keys do something until `drop`, whichever layer that may be worked on is selected.

        Parameters
        ----------
        others : layers that may be selected, besides those that are painted on and the preview.
        """
        self._give_keys_back()
        # Labels have keys of their own for polygons, which come before those of the viewer.
        layers = [*(one.layer for one in sync.layers.to_paint_on), *others]
        layers += [] if self._layer is None else [self._layer]
        self._keys = tuple(Keys(one, actions) for one in (self._viewer, *layers))

    def _erase(self, layer: Labels) -> None:
        """Clear the slices that are outlined: all of a large volume takes a fifth of a second."""
        if self.edit is not None and self._document is not None:
            for index in self.edit.masks:
                layer.data[self._document.at(index)] = 0

    def _give_keys_back(self) -> None:
        for keys in self._keys:
            keys.close()
        self._keys = ()
