"""The brush of one viewer: the layer it paints on, its size in mm, and whether it stops at edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_knowsam.intensity_brush import IntensityBrush

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

    from napari_knowsam.layer_choice import LayerChoice

_START_SHARE = 1 / 30
"""Usual diameter, as a share of the smaller side of a slice: 12 mm in an abdomen, 3 mm round a left atrium."""

_FEWEST_START_PX = 3
_UNTOUCHED_PX = 10
"""napari's size for a layer whose size nobody has chosen."""

_BRUSH_MODES = ("paint", "erase")
_PAINTING_MODES = ("paint", "fill", "polygon")


class Brush(QObject):
    """One brush for all layers of the chosen image.

    napari counts its size in pixels, layer by layer. A size that somebody has chosen there stays.
    """

    size_changed = Signal(float, float)
    """Diameter and side of a pixel on the screen, in mm."""

    def __init__(self, viewer: Viewer, layers: LayerChoice) -> None:
        super().__init__()
        self._viewer, self._layers = viewer, layers
        self._image: Image | None = None
        self._labels: Labels | None = None
        self._followed: Labels | None = None
        self._diameter_mm = 0.0
        self._stops_at_edges = False
        self._by_intensity: IntensityBrush | None = None
        layers.signals.document_changed.connect(self._on_document_changed)
        self._events = (viewer.layers.selection.events.active, viewer.dims.events.order)
        for event in self._events:
            event.connect(self._follow)

    def take_up(self) -> None:
        """Let the next stroke paint: on the labels, or on the prediction if that is selected."""
        painted = self._painted
        if not painted:
            return
        active = self._viewer.layers.selection.active
        layer = active if active in painted else painted[0]
        self._viewer.layers.selection.active = layer
        if layer.mode not in _PAINTING_MODES:
            layer.mode = "paint"

    def set_size(self, diameter_mm: float) -> None:
        """Paint with a brush of this size, as nearly as pixels allow."""
        if self._layers.document is None:
            return
        self._diameter_mm = diameter_mm
        if self._followed is not None:
            diameter_px = max(round(diameter_mm / self._pixel_mm), 1)
            if diameter_px != self._followed.brush_size:
                self._followed.brush_size = diameter_px
        self.size_changed.emit(diameter_mm, self._pixel_mm)

    def set_stops_at_edges(self, stops: bool) -> None:
        """Paint only pixels with grey values like those under the middle of the brush, or all that are under it."""
        self._stops_at_edges = stops
        self._follow()

    def close(self) -> None:
        """Let go of the viewer."""
        self._unfollow()
        for event in self._events:
            event.disconnect(self._follow)

    @property
    def _painted(self) -> list[Labels]:
        """The layers that count, the one to paint on first."""
        sync = self._layers.sync
        return [] if sync is None else [one.layer for one in sync.layers.to_paint_on]

    @property
    def _sides(self) -> tuple[list[int], list[float]]:
        """Pixels of the slice on the screen down and across, and their sides in mm."""
        document, dims = self._layers.document, self._viewer.dims
        assert document is not None
        # napari aligns layers at their last axes.
        axes = [axis - dims.ndim + 3 for axis in dims.displayed]
        volume = document.volume
        return [volume.shape[axis] for axis in axes], [float(volume.spacing_mm[axis]) for axis in axes]

    @property
    def _pixel_mm(self) -> float:
        return min(self._sides[1])

    def _on_document_changed(self) -> None:
        sync = self._layers.sync
        image = None if sync is None else sync.layers.image
        labels = None if sync is None or sync.layers.labels is None else sync.layers.labels.layer
        is_new_image, is_new_layer = image is not self._image, labels is not self._labels
        self._image, self._labels = image, labels
        if labels is not None and is_new_layer and self._has_chosen_size(labels, is_new_image):
            self._diameter_mm = labels.brush_size * self._pixel_mm
        elif image is not None and is_new_image:
            self._diameter_mm = self._start_mm
        self._follow()

    def _has_chosen_size(self, labels: Labels, is_new_image: bool) -> bool:
        """Whether the user has chosen the size of a layer, as one who paints there has; the plugin then adopts it."""
        if is_new_image:
            return bool(labels.brush_size != _UNTOUCHED_PX)
        return labels is self._viewer.layers.selection.active and labels.mode in _BRUSH_MODES

    @property
    def _start_mm(self) -> float:
        """A size that suits the image."""
        counts, sides_mm = self._sides
        share_mm = _START_SHARE * float(np.multiply(counts, sides_mm).min())
        return max(share_mm, _FEWEST_START_PX * min(sides_mm))

    def _follow(self) -> None:
        """Give the selected layer the size, and take it from there when it is changed there."""
        self._unfollow()
        if not self._painted:
            return
        active = self._viewer.layers.selection.active
        if active in self._painted:
            self._followed = active
        self.set_size(self._diameter_mm)
        if self._followed is not None:
            self._followed.events.brush_size.connect(self._on_brush_size)
            sync = self._layers.sync
            if self._stops_at_edges and sync is not None:
                self._by_intensity = IntensityBrush(self._followed, sync.document.volume, sync.view)

    def _unfollow(self) -> None:
        if self._by_intensity is not None:
            self._by_intensity.close()
            self._by_intensity = None
        if self._followed is not None:
            self._followed.events.brush_size.disconnect(self._on_brush_size)
            self._followed = None

    def _on_brush_size(self) -> None:
        if self._followed is not None:
            self._diameter_mm = self._followed.brush_size * self._pixel_mm
            self.size_changed.emit(self._diameter_mm, self._pixel_mm)
