"""Keeps layers at the places of their files, so that strokes lie where they are seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, Signal

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

_PLACE = ("scale", "translate", "rotate", "shear", "affine")

Place = dict[str, npt.NDArray[np.float64]]


class PlaceGuard(QObject):
    """Puts layers back that somebody has moved, turned or scaled, as napari's transform tool does.

    Parameters
    ----------
    is_fixed : tells whether a layer must stay; others may go where they like.
    """

    put_back = Signal(str)

    def __init__(self, viewer: Viewer, is_fixed: Callable[[Layer], bool], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._is_fixed = viewer, is_fixed
        self._places: dict[Layer, Place] = {}
        for layer in viewer.layers:
            self._watch(layer)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)

    def close(self) -> None:
        """Let go of the viewer and of all layers."""
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        for layer in list(self._places):
            self._let_go(layer)

    def _watch(self, layer: Layer) -> None:
        self._places[layer] = _place_of(layer)
        for name in _PLACE:
            getattr(layer.events, name).connect(self._on_moved)

    def _let_go(self, layer: Layer) -> None:
        if self._places.pop(layer, None) is not None:
            for name in _PLACE:
                getattr(layer.events, name).disconnect(self._on_moved)

    def _on_inserted(self, event: Any) -> None:
        self._watch(event.value)

    def _on_removed(self, event: Any) -> None:
        self._let_go(event.value)

    def _on_moved(self, event: Any) -> None:
        layer = event.source
        known, found = self._places[layer], _place_of(layer)
        moved = [name for name in _PLACE if not np.array_equal(found[name], known[name])]
        if not self._is_fixed(layer):
            self._places[layer] = found
        elif moved:
            for name in moved:
                setattr(layer, name, known[name])
            self.put_back.emit(
                f"{layer.name} was moved, turned or scaled, and was put back: what is painted has to lie where its "
                "file says. To look at it differently, move the camera."
            )


def _place_of(layer: Layer) -> Place:
    return {name: np.array(layer.affine if name == "affine" else getattr(layer, name), float) for name in _PLACE}
