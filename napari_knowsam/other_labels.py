"""Labels layers that belong to no image: used where that is clear; else a message says that they do not count."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, ref

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QTimer

from napari_knowsam.new_layers import ROLE_KEY
from napari_knowsam.volume_layers import lies_on

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_knowsam.layer_signals import LayerSignals
    from napari_knowsam.layer_sync import LayerSync
    from napari_knowsam.open_images import OpenImages


class OtherLabels:
    """Watches for new labels layers, and for strokes on layers that do not count.

    Parameters
    ----------
    chosen : returns the work on the chosen image, if there is one.
    choose : takes the name of the layer to paint on, and the axis.
    take_up : takes an image to work on, and the opened labels to paint on.
    """

    def __init__(
        self,
        viewer: Viewer,
        signals: LayerSignals,
        images: OpenImages,
        chosen: Callable[[], LayerSync | None],
        choose: Callable[[str, int], None],
        take_up: Callable[[Image, Labels], None],
    ) -> None:
        self._viewer, self._signals, self._images = viewer, signals, images
        self._chosen, self._choose, self._take_up = chosen, choose, take_up
        # What was removed must not be kept in memory.
        self._watched: WeakSet[Labels] = WeakSet()
        self._warned_about: tuple[ref[Labels], ref[LayerSync]] | None = None
        self._arrived: list[Labels] = []
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
        self._arrived.clear()
        self._warned_about = None

    def _watch(self, layer: Layer) -> None:
        if isinstance(layer, Labels):
            layer.events.paint.connect(self._on_painted)
            self._watched.add(layer)

    def _on_inserted(self, event: Any) -> None:
        self._watch(event.value)
        if isinstance(event.value, Labels) and ROLE_KEY not in event.value.metadata:
            self._arrived.append(event.value)
            self._due.start()

    def _on_due(self) -> None:
        arrived, self._arrived = self._arrived, []
        for layer in arrived:
            if layer in self._viewer.layers and not self._images.holds(layer) and np.any(layer.data):
                self._place(layer)

    def _place(self, layer: Labels) -> None:
        """Use painted labels that were opened after their image, or report why they do not count."""
        sync = self._chosen()
        if sync is None:
            return
        images = [image for image in self._images.candidates(Image) if lies_on(layer, image)]
        if len(images) > 1:
            self._signals.problem.emit(
                f"{layer.name} lies on the voxels of {' and '.join(image.name for image in images)}, and does not "
                f"count yet. Choose the image it belongs to, and then {layer.name} under Labels."
            )
            return
        # Why labels of no image do not count is said when they are taken up.
        image = images[0] if images else sync.image
        work = next((one for one in self._images if one.image is image), None)
        if images and work is not None and work.document.has_results:
            self._say_what_counts(f"{layer.name} was opened", work)
        else:
            self._take_up(image, layer)

    def _on_painted(self, event: Any) -> None:
        """Use a layer somebody paints on as the labels, or report once that others count."""
        layer, sync = event.source, self._chosen()
        if sync is None or self._images.holds(layer) or (ref(layer), ref(sync)) == self._warned_about:
            return
        self._warned_about = ref(layer), ref(sync)
        if ROLE_KEY in layer.metadata or not sync.document.has_results:
            self._choose(layer.name, sync.document.axis)
            return
        self._say_what_counts(f"You paint on {layer.name}", sync)

    def _say_what_counts(self, done: str, sync: LayerSync) -> None:
        counting = None if sync.layers.labels is None else sync.layers.labels.layer.name
        self._signals.problem.emit(
            f"{done}, but what counts for {sync.image.name} is painted on {counting or 'no layer'}. "
            "Choose the labels in the panel to change that."
        )
