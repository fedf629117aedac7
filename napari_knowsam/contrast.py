"""The window in which a CT is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from knowsam.data.ct_windows import CT_WINDOWS
from knowsam.data.intensity import is_ct, shown_range

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_knowsam.layer_choice import LayerChoice

Window = tuple[float, float]

OWN = "As in the file"


class Contrast(QObject):
    """Offers the windows of CT for the chosen image, if it is one, and follows the shown one."""

    changed = Signal(list, object)
    """Names of the windows, none for an image that is no CT, and of the shown one, None if it has no name."""

    def __init__(self, layers: LayerChoice) -> None:
        super().__init__()
        self._layers = layers
        self._image: Image | None = None
        self._windows: dict[str, Window] = {}
        layers.signals.document_changed.connect(self._on_document_changed)

    def choose(self, name: str) -> None:
        """Show the image in a window."""
        if self._image is not None:
            self._image.contrast_limits = self._windows[name]

    def close(self) -> None:
        """Let go of the image."""
        if self._image is not None:
            self._image.events.contrast_limits.disconnect(self._on_contrast_limits)
            self._image = None

    def _on_document_changed(self) -> None:
        sync = self._layers.sync
        image = None if sync is None else sync.layers.image
        if image is self._image:
            return
        self.close()
        self._image, self._windows = image, {}
        if sync is not None and image is not None:
            volume = sync.document.volume
            if is_ct(volume):
                self._windows = {OWN: shown_range(volume), **CT_WINDOWS}
            image.events.contrast_limits.connect(self._on_contrast_limits)
        self._on_contrast_limits()

    def _on_contrast_limits(self) -> None:
        shown = None if self._image is None else tuple(self._image.contrast_limits)
        current = next((name for name, window in self._windows.items() if window == shown), None)
        self.changed.emit(list(self._windows), current)
