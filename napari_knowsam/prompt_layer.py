"""The layer that is selected while a person points at a structure: box and clicks are given, and shown, in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_knowsam.new_layers import insert_quietly, prompt_shapes

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from knowsam.prompting.slice_prompts import Box, SlicePrompts
    from napari_knowsam.layer_sync import LayerSync

_CLICK_PX = 3.0
_MARK_SHARE = 0.012
"""Radius of the mark of a click, of the smaller side of the slice."""

_BOX_COLOR, _INSIDE_COLOR, _OUTSIDE_COLOR = "yellow", "lime", "red"


class PromptLayer(QObject):
    """Takes drags for boxes and clicks for points, until `close`; selecting another layer ends it for a person."""

    boxed = Signal(object)
    """A `Box`, in voxels of the slice on the screen."""

    clicked = Signal(int, int, bool)
    """Row, column, and whether the structure is there."""

    def __init__(self, viewer: Viewer, sync: LayerSync, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._sync = viewer, sync
        self._before = viewer.layers.selection.active
        self.layer = prompt_shapes(sync.image, sync.document)
        insert_quietly(viewer, self.layer, len(viewer.layers))
        self.layer.mode = "pan_zoom"
        # Or a drag would move the image.
        self.layer.mouse_pan = False
        self.layer.mouse_drag_callbacks.append(self._on_drag)
        self.select()

    def select(self) -> None:
        """Let a person point, whatever they did before."""
        if self.layer in self._viewer.layers:
            self._viewer.layers.selection.active = self.layer

    def show(self, prompts: SlicePrompts) -> None:
        """Show what was pointed at in the slice on the screen."""
        self.layer.data = []
        if prompts.box is not None:
            (top, left), (bottom, right) = prompts.box
            self._add_box((top - 0.5, left - 0.5), (bottom - 0.5, right - 0.5))
        for row, column, is_inside in prompts.clicks:
            self._add_click(row, column, _INSIDE_COLOR if is_inside else _OUTSIDE_COLOR)

    def clear(self) -> None:
        """Show nothing."""
        self.layer.data = []

    def close(self) -> None:
        """Take the layer away, and select the one that was selected before."""
        layers = self._viewer.layers
        was_selected = layers.selection.active is self.layer
        if self.layer in layers:
            layers.remove(self.layer)
        if was_selected and self._before in layers:
            layers.selection.active = self._before

    def _on_drag(self, _layer: object, event: Any) -> Iterator[None]:
        if event.button != 1 or self._sync.view.seen_axis != self._sync.document.axis:
            return
        pressed, first, is_outside = np.array(event.pos), self._at(event.position), "Shift" in event.modifiers
        last = first
        yield
        is_dragged = False
        while event.type == "mouse_move":
            is_dragged |= bool(np.abs(np.array(event.pos) - pressed).max() > _CLICK_PX)
            last = self._at(event.position)
            if is_dragged:
                self.layer.data = []
                self._add_box(first, last)
            yield
        if is_dragged:
            self._emit_box(first, last)
        else:
            self._emit_click(first, is_inside=not is_outside)

    def _emit_box(self, first: tuple[float, float], last: tuple[float, float]) -> None:
        plane_shape = self._sync.document.plane_shape
        low, high = np.minimum(first, last), np.maximum(first, last)
        start = np.clip(np.round(low), 0, np.array(plane_shape) - 1).astype(int)
        stop = np.clip(np.round(high) + 1, start + 1, plane_shape).astype(int)
        box: Box = ((int(start[0]), int(start[1])), (int(stop[0]), int(stop[1])))
        self.boxed.emit(box)

    def _emit_click(self, at: tuple[float, float], *, is_inside: bool) -> None:
        row, column = (round(one) for one in at)
        height, width = self._sync.document.plane_shape
        if 0 <= row < height and 0 <= column < width:
            self.clicked.emit(row, column, is_inside)

    def _at(self, position: Any) -> tuple[float, float]:
        """Return row and column of a place on the screen."""
        image = self._sync.image
        voxel = [float(at) for at in image.world_to_data(position[-image.ndim :])[-3:]]
        del voxel[self._sync.document.axis]
        return voxel[0], voxel[1]

    def _add_box(self, first: tuple[float, float], last: tuple[float, float]) -> None:
        corners = [first, (first[0], last[1]), last, (last[0], first[1])]
        self._add([self._voxel(*corner) for corner in corners], "rectangle", _BOX_COLOR)

    def _add_click(self, row: int, column: int, color: str) -> None:
        radius = max(_MARK_SHARE * min(self._sync.document.plane_shape), 0.5)
        corners = [(-radius, -radius), (-radius, radius), (radius, radius), (radius, -radius)]
        self._add([self._voxel(row + down, column + across) for down, across in corners], "ellipse", color)

    def _add(self, corners: list[list[float]], shape: str, color: str) -> None:
        width = max(_MARK_SHARE / 3 * min(self._sync.document.plane_shape), 0.3)
        self.layer.add(
            np.array(corners), shape_type=shape, edge_color=color, face_color="transparent", edge_width=width
        )
        self.layer.selected_data = set()

    def _voxel(self, row: float, column: float) -> list[float]:
        voxel = [row, column]
        voxel.insert(self._sync.document.axis, float(self._sync.view.index))
        return voxel
