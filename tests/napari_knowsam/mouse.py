"""A mouse without a window: it hands a layer the events that napari would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.interactions import mouse_move_callbacks, mouse_press_callbacks, mouse_release_callbacks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Labels


class Mouse:
    """Presses the left button on a voxel (z, y, x) of a layer, with the tool that layer has.

    It is the event itself, which napari reads again whenever the mouse moves.

    Parameters
    ----------
    axes : the two axes on the screen.
    """

    button, modifiers, view_direction, is_dragging = 1, (), None, True

    def __init__(self, layer: Labels, voxel: Sequence[float], axes: Sequence[int] = (1, 2)) -> None:
        self._layer, self.dims_displayed = layer, list(axes)
        self._happens("mouse_press", voxel)
        mouse_press_callbacks(layer, self)

    def move(self, voxel: Sequence[float]) -> None:
        self._happens("mouse_move", voxel)
        mouse_move_callbacks(self._layer, self)

    def release(self) -> None:
        self.type = "mouse_release"
        mouse_release_callbacks(self._layer, self)

    def _happens(self, kind: str, voxel: Sequence[float]) -> None:
        self.type, self.position = kind, self._layer.data_to_world(voxel)
