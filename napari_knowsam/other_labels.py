"""Labels layers that belong to no image: taken up while nothing is painted, and said not to count later."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QTimer

from napari_knowsam.new_layers import ROLE_KEY

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_knowsam.layer_signals import LayerSignals
    from napari_knowsam.layer_sync import LayerSync
    from napari_knowsam.open_images import OpenImages


class OtherLabels:
    """Notices which labels layers come, and strokes on those that do not count.

    Parameters
    ----------
    chosen : returns the work on the chosen image, if there is one.
    choose : takes the name of the layer to paint on, and the axis if it is known.
    """

    def __init__(
        self,
        viewer: Viewer,
        signals: LayerSignals,
        images: OpenImages,
        chosen: Callable[[], LayerSync | None],
        choose: Callable[[str, int | None], None],
    ) -> None:
        self._viewer, self._signals, self._images = viewer, signals, images
        self._chosen, self._choose = chosen, choose
        self._watched: list[Labels] = []
        self._warned_about: tuple[Labels, LayerSync] | None = None
        self._arrived: Labels | None = None
        # The plugin begins to work on labels only after it has added them.
        self._due = QTimer(signals)
        self._due.setSingleShot(True)
        self._due.timeout.connect(self._on_due)
        for layer in viewer.layers:
            self._watch(layer)
        viewer.layers.events.inserted.connect(self._on_inserted)

    def close(self) -> None:
        """Let go of the viewer and of all layers."""
        self._due.stop()
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        for layer in self._watched:
            layer.events.paint.disconnect(self._on_painted)
        self._watched.clear()
        self._warned_about = self._arrived = None

    def _watch(self, layer: Layer) -> None:
        if isinstance(layer, Labels):
            layer.events.paint.connect(self._on_painted)
            self._watched.append(layer)

    def _on_inserted(self, event: Any) -> None:
        self._watch(event.value)
        if isinstance(event.value, Labels) and ROLE_KEY not in event.value.metadata:
            self._arrived = event.value
            self._due.start()

    def _on_due(self) -> None:
        """Take up painted labels that were opened after their image; of several images, it is not clear which it is."""
        layer, self._arrived = self._arrived, None
        sync = self._chosen()
        if layer is None or sync is None or layer not in self._viewer.layers or self._images.holds(layer):
            return
        is_only_image = self._images.names(Image) == [sync.image.name]
        if is_only_image and not sync.document.has_results and np.any(layer.data):
            self._choose(layer.name, None)

    def _on_painted(self, event: Any) -> None:
        """Take a layer somebody paints on as the labels, or say once that others count."""
        layer, sync = event.source, self._chosen()
        if sync is None or self._images.holds(layer) or (layer, sync) == self._warned_about:
            return
        self._warned_about = layer, sync
        if ROLE_KEY in layer.metadata or not sync.document.has_results:
            self._choose(layer.name, sync.document.axis)
            return
        counting = None if sync.layers.labels is None else sync.layers.labels.layer.name
        self._signals.problem.emit(
            f"You paint on {layer.name}, but what counts for {sync.image.name} is painted on {counting or 'no layer'}. "
            "Choose the labels in the panel to change that."
        )
