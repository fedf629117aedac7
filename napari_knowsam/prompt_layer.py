"""The layer that takes and shows boxes and clicks; it is selected while a person points at a structure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components._viewer_mouse_bindings import double_click_to_zoom
from qtpy.QtCore import QObject, Signal

from napari_knowsam.new_layers import insert_quietly, prompt_shapes

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from knowsam.prompting.slice_prompts import Box, SlicePrompts
    from napari_knowsam.layer_sync import LayerSync

_CLICK_PX = 3.0
_MARK_SHARE = 0.012
"""Radius of the mark of a click, as a share of the smaller side of the slice."""

_BOX_COLOR, _INSIDE_COLOR, _OUTSIDE_COLOR = "yellow", "lime", "red"


class PromptLayer(QObject):
    """Takes drags for boxes and clicks for points, until `close`; selecting another layer ends it for a person."""

    boxed = Signal(object)
    """A `Box`, in voxels of the slice on the screen."""

    clicked = Signal(int, int, bool)
    """Row, column, and whether the structure is there."""

    gone = Signal()
    """The layer was removed, by a person."""

    def __init__(self, viewer: Viewer, sync: LayerSync, parent: QObject) -> None:
        super().__init__(parent)
        self.sync = sync
        self._viewer = viewer
        self._before = viewer.layers.selection.active
        self.layer = prompt_shapes(sync.image, sync.document)
        insert_quietly(viewer, self.layer, len(viewer.layers))
        self.layer.mouse_drag_callbacks.append(self._on_drag)
        self.layer.mouse_double_click_callbacks.append(self._on_double_click)
        self.layer.events.mode.connect(self._take_drags)
        viewer.layers.events.removed.connect(self._on_removed)
        # It would zoom at the second of two quick clicks.
        self._zooms = double_click_to_zoom in viewer.mouse_double_click_callbacks
        if self._zooms:
            viewer.mouse_double_click_callbacks.remove(double_click_to_zoom)
        self._take_drags()
        self.select()

    @property
    def fits(self) -> bool:
        """Whether slices of the annotated plane are on the screen, so that a person can point at something."""
        return self.sync.view.seen_axis == self.sync.document.axis

    def select(self) -> None:
        """Let a person point, whatever they did before."""
        if self.layer in self._viewer.layers:
            self._viewer.layers.selection.active = self.layer

    @property
    def is_selected(self) -> bool:
        """Whether a drag draws a box now."""
        return self._viewer.layers.selection.active is self.layer

    def follow_view(self) -> None:
        """Let a drag move the image where nothing can be pointed at."""
        self.layer.mouse_pan = not self.fits

    def show(self, prompts: SlicePrompts) -> None:
        """Show what was pointed at in the slice on the screen."""
        self.clear()
        if prompts.box is not None:
            (top, left), (bottom, right) = prompts.box
            self._add_box((top - 0.5, left - 0.5), (bottom - 0.5, right - 0.5))
        for row, column, is_inside in prompts.clicks:
            self._add_click(row, column, _INSIDE_COLOR if is_inside else _OUTSIDE_COLOR)

    def clear(self) -> None:
        """Show nothing."""
        self.layer.data = []

    def close(self, *, is_chosen: bool) -> None:
        """Take the layer away.

        Parameters
        ----------
        is_chosen : whether its image is still chosen, so that one of its layers is selected next.
        """
        layers = self._viewer.layers
        layers.events.removed.disconnect(self._on_removed)
        if self._zooms:
            self._viewer.mouse_double_click_callbacks.append(double_click_to_zoom)
        was_selected = self.is_selected
        if self.layer in layers:
            layers.remove(self.layer)
        own = [*(one.layer for one in self.sync.layers.to_paint_on), self.sync.image]
        if was_selected and is_chosen:
            layers.selection.active = self._before if self._before in own else own[0]

    def _take_drags(self) -> None:
        """Stay as it is, whatever key or button of napari's is pressed: other modes draw shapes of their own."""
        if self.layer.mode != "pan_zoom":
            self.layer.mode = "pan_zoom"
        self.follow_view()

    def _on_removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.gone.emit()

    def _on_drag(self, _layer: object, event: Any) -> Iterator[None]:
        if event.button != 1 or not self.fits or {"Alt", "Control"} & set(event.modifiers):
            return
        pressed, first, is_outside = np.array(event.pos), self._at(event.position), "Shift" in event.modifiers
        last = first
        yield
        is_dragged = False
        while event.type == "mouse_move":
            is_dragged |= bool(np.abs(np.array(event.pos) - pressed).max() > _CLICK_PX)
            last = self._at(event.position)
            if is_dragged:
                self.clear()
                self._add_box(first, last)
            yield
        if is_dragged:
            self._emit_box(first, last)
        else:
            self._emit_click(first, is_inside=not is_outside)

    def _on_double_click(self, _layer: object, event: Any) -> None:
        """Take the second of two quick clicks as a click, too."""
        if event.button == 1 and self.fits:
            self._emit_click(self._at(event.position), is_inside="Shift" not in event.modifiers)

    def _emit_box(self, first: tuple[float, float], last: tuple[float, float]) -> None:
        plane_shape = self.sync.document.plane_shape
        low, high = np.minimum(first, last), np.maximum(first, last)
        if (high < -0.5).any() or (low > np.array(plane_shape) - 0.5).any():
            self.clear()
            return
        start = np.clip(np.round(low), 0, np.array(plane_shape) - 1).astype(int)
        stop = np.clip(np.round(high) + 1, start + 1, plane_shape).astype(int)
        box: Box = ((int(start[0]), int(start[1])), (int(stop[0]), int(stop[1])))
        self.boxed.emit(box)

    def _emit_click(self, at: tuple[float, float], *, is_inside: bool) -> None:
        row, column = (round(one) for one in at)
        height, width = self.sync.document.plane_shape
        if 0 <= row < height and 0 <= column < width:
            self.clicked.emit(row, column, is_inside)

    def _at(self, position: Any) -> tuple[float, float]:
        """Return row and column of a place on the screen."""
        image = self.sync.image
        voxel = [float(at) for at in image.world_to_data(position[-image.ndim :])[-3:]]
        del voxel[self.sync.document.axis]
        return voxel[0], voxel[1]

    def _add_box(self, first: tuple[float, float], last: tuple[float, float]) -> None:
        corners = [first, (first[0], last[1]), last, (last[0], first[1])]
        self._add([self._voxel(*corner) for corner in corners], "rectangle", _BOX_COLOR)

    def _add_click(self, row: int, column: int, color: str) -> None:
        radius = max(_MARK_SHARE * min(self.sync.document.plane_shape), 0.5)
        corners = [(-radius, -radius), (-radius, radius), (radius, radius), (radius, -radius)]
        self._add([self._voxel(row + down, column + across) for down, across in corners], "ellipse", color)

    def _add(self, corners: list[list[float]], shape: str, color: str) -> None:
        width = max(_MARK_SHARE / 3 * min(self.sync.document.plane_shape), 0.3)
        self.layer.add(
            np.array(corners), shape_type=shape, edge_color=color, face_color="transparent", edge_width=width
        )
        self.layer.selected_data = set()

    def _voxel(self, row: float, column: float) -> list[float]:
        voxel = [row, column]
        voxel.insert(self.sync.document.axis, float(self.sync.view.index))
        return voxel
