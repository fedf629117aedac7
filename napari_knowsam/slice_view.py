"""The slice of an image on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer


class SliceView:
    """The slices of an image along one working axis, as the viewer shows them.

    Parameters
    ----------
    axis : working axis the slices are stacked along.
    """

    def __init__(self, viewer: Viewer, image: Image, axis: int) -> None:
        self._viewer = viewer
        self._image = image
        self._axis = axis

    @property
    def index(self) -> int:
        """The slice at the position of the viewer, on the screen or, in another plane, across it."""
        point = self._viewer.dims.point[-self._image.ndim :]
        position = self._image.world_to_data(point)[self._layer_axis]
        return int(np.clip(np.round(position), 0, self._image.data.shape[self._layer_axis] - 1))

    @property
    def is_across(self) -> bool:
        """Whether another plane or 3D is on the screen, so that every slice is seen."""
        return self._dims_axis in self._viewer.dims.displayed

    @property
    def seen_axis(self) -> int | None:
        """Working axis across the screen; None if the whole volume is rendered."""
        hidden = [axis for axis in range(3) if self._first_axis + axis not in self._viewer.dims.displayed]
        return hidden[0] if len(hidden) == 1 else None

    @property
    def is_3d(self) -> bool:
        """Whether the whole volume is rendered."""
        return bool(self._viewer.dims.ndisplay == 3)

    def shows(self, index: int) -> bool:
        """Whether any of the slice is on the screen."""
        return self.is_across or index == self.index

    def come_into_view(self) -> None:
        """Bring the nearest slice on the screen where the viewer stands beside the image."""
        point = self._viewer.dims.point[-self._image.ndim :]
        position = self._image.world_to_data(point)[self._layer_axis]
        if not -0.5 <= position <= self._image.data.shape[self._layer_axis] - 0.5:
            self.go_to(self.index)

    def turn(self) -> None:
        """Bring the plane of the slices on the screen."""
        first = self._first_axis
        others = [first + axis for axis in range(3) if axis != self._axis]
        self._viewer.dims.ndisplay = 2
        self._viewer.dims.order = (*range(first), self._dims_axis, *others)

    def go_to(self, index: int) -> None:
        """Bring a slice on the screen."""
        data_point = np.zeros(self._image.ndim)
        data_point[self._layer_axis] = index
        self._viewer.dims.set_point(self._dims_axis, self._image.data_to_world(data_point)[self._layer_axis])

    @property
    def _layer_axis(self) -> int:
        return int(self._image.ndim) - 3 + self._axis

    @property
    def _dims_axis(self) -> int:
        return self._first_axis + self._axis

    @property
    def _first_axis(self) -> int:
        """Of the volume, among those of the viewer."""
        return int(self._viewer.dims.ndim) - 3
