"""A brush that paints only pixels with grey values like those under its middle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from knowsam.data.annotation import BACKGROUND_CLASS
from knowsam.editing.intensity import like_the_core

if TYPE_CHECKING:
    from napari.layers import Labels

    from knowsam.data.volume import Volume
    from napari_knowsam.slice_view import SliceView


class IntensityBrush:
    """Takes over the strokes in one plane of a layer on the voxels of an image, until `close`.

    napari calls the layer at every touch of the brush, so that its cursor, history and events still work. The eraser,
    the 3D brush and strokes in a rendered volume are those of napari.
    """

    def __init__(self, layer: Labels, volume: Volume, view: SliceView) -> None:
        self._layer, self._volume, self._view = layer, volume, view
        self._paint_plainly = layer.paint
        layer.paint = self._paint

    def close(self) -> None:
        """Let the layer paint as ever."""
        del self._layer.paint

    def _paint(self, coord: Sequence[float], new_label: int, refresh: bool = True) -> None:
        layer, axis = self._layer, self._view.seen_axis
        if axis is None or new_label == BACKGROUND_CLASS.value or layer.n_edit_dimensions != 2:
            self._paint_plainly(coord, new_label, refresh)
            return
        point = [round(float(at)) for at in coord]
        if all(0 <= at < size for at, size in zip(point, self._volume.shape, strict=True)):
            layer.data_setitem(self._touched(point, axis), new_label, refresh)

    def _touched(self, point: list[int], axis: int) -> tuple[np.ndarray, ...]:
        """Return the indices of the voxels that one touch of the brush paints."""
        layer = self._layer
        in_plane = [other for other in range(3) if other != axis]
        sides = [layer.scale[other] for other in in_plane]
        # napari counts the diameter in pixels of the shorter side.
        radius_px = [layer.brush_size / 2 * min(sides) / side for side in sides]
        image = np.moveaxis(self._volume.array, axis, 0)[point[axis]]
        pixels = np.nonzero(like_the_core(image, [point[other] for other in in_plane], radius_px))
        touched = dict(zip(in_plane, pixels, strict=True)) | {axis: np.full_like(pixels[0], point[axis])}
        indices = tuple(touched[one] for one in range(3))
        if layer.preserve_labels:
            is_free = layer.data[indices] == BACKGROUND_CLASS.value
            indices = tuple(one[is_free] for one in indices)
        return indices
