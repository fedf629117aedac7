"""The layers of one image, and their looks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from napari_knowsam import new_layers
from napari_knowsam.redraw import Redraw

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

    from knowsam.document.annotation_document import AnnotationDocument
    from knowsam.document.slice_annotation import Values
    from napari_knowsam.new_layers import ResultLooks
    from napari_knowsam.paint_layer import PaintLayer
    from napari_knowsam.slice_view import SliceView

    Watch = Callable[[Labels, Callable[[int], Values]], PaintLayer]


class ImageLayers(QObject):
    """An image, the labels a person paints, the prediction and its uncertainty; any but the image may be missing.

    Parameters
    ----------
    looks : of the results, the same for all images.
    watch : returns the layer to paint on, given what it must hold of each slice.
    """

    def __init__(
        self,
        viewer: Viewer,
        image: Image,
        document: AnnotationDocument,
        view: SliceView,
        looks: ResultLooks,
        watch: Watch,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._document, self._view, self._looks, self._watch = viewer, document, view, looks, watch
        self.image = image
        self.labels: PaintLayer | None = None
        self.prediction: PaintLayer | None = None
        self.uncertainty: Redraw | None = None
        self._hidden: list[Layer] = []
        self._looks_before: ResultLooks | None = None

    def __contains__(self, layer: Layer) -> bool:
        """Whether a layer is one of these."""
        return layer is self.image or any(one.layer is layer for one in (*self.to_paint_on, *self.results))

    @property
    def to_paint_on(self) -> tuple[PaintLayer, ...]:
        """The labels and the prediction, as far as they are there."""
        return tuple(layer for layer in (self.labels, self.prediction) if layer is not None)

    @property
    def results(self) -> tuple[PaintLayer | Redraw, ...]:
        """The prediction and its uncertainty, as far as they are there."""
        return tuple(layer for layer in (self.prediction, self.uncertainty) if layer is not None)

    @property
    def disposable(self) -> tuple[Layer, ...]:
        """Results in which nobody has corrected anything: they go with the image, since they can be made again."""
        kept = self.prediction if self._document.corrected else None
        return tuple(one.layer for one in self.results if one is not kept)

    @property
    def is_prediction_seen(self) -> bool:
        """Whether the prediction layer is there and visible."""
        return self.prediction is not None and bool(self.prediction.layer.visible)

    @property
    def is_pressed(self) -> bool:
        """Whether a stroke is being painted on any of them."""
        return any(layer.is_pressed for layer in self.to_paint_on)

    def paint_on(self, labels: Labels, expected: Callable[[int], Values]) -> None:
        """Take a layer as the labels to paint on."""
        self.labels = self._watch(labels, expected)
        self.show_outlines()

    def add_labels(self, expected: Callable[[int], Values]) -> None:
        """Make a new layer of the annotations, and paint on it from now on."""
        labels = new_layers.painted_labels(self.image, self._document)
        self.paint_on(labels, expected)
        new_layers.insert_quietly(self._viewer, labels, len(self._viewer.layers))

    def add_prediction(self) -> None:
        """Show the results of all slices.

        Predictions from before an image or the panel was closed are hidden, and get a name that says so.
        """
        for other in self._viewer.layers:
            if other.visible and new_layers.shows_result(other) and other not in self:
                # It would cover this one, and the user would correct and trust it instead.
                other.visible = False
                other.name = f"{other.name} (earlier)"
        layer = new_layers.prediction_layer(self.image, self._document, self._looks)
        self._watch_prediction(layer)
        self._insert_above_image(layer)
        self.show_outlines()

    def take_results_of(self, other: ImageLayers) -> None:
        """Show the results of this document on the layers that show those of another one of the same image."""
        prediction, uncertainty = other.prediction, other.uncertainty
        if prediction is not None:
            other.drop(prediction.layer)
            self._watch_prediction(prediction.layer).fill(self._document.mask())
            self.show_outlines()
        if uncertainty is not None:
            other.drop(uncertainty.layer)
            uncertainty.layer.data = self._document.predictions.uncertainty
            self.uncertainty = Redraw(uncertainty.layer, self._view, self)

    def make_way(self, chosen: ImageLayers) -> None:
        """Hide all but the image while another one is chosen, which they would cover; shared layers stay."""
        self._looks_before = replace(self._looks)
        ours = dict.fromkeys(one.layer for one in (*self.to_paint_on, *self.results))
        self._hidden = [layer for layer in ours if layer.visible]
        for layer in self._hidden:
            if layer not in chosen:
                layer.visible = False

    def come_back(self) -> None:
        """Show the layers as they were before they were hidden, but for what was chosen for all images meanwhile."""
        self._show_hidden()
        self._raise_labels()
        before, self._looks_before = self._looks_before, None
        # Predictions that came meanwhile have no layer yet.
        if self.prediction is None or before != self._looks:
            self.show_looks()

    def show_looks(self) -> None:
        """Show the results as they are to look."""
        self.show_opacity()
        # Of an image without results, there is nothing to be seen yet.
        if self.prediction is not None or self._document.predictions.indices:
            self.show_live()
            self.show_uncertainty()

    def show_live(self) -> None:
        """Show or hide the prediction layer."""
        if self.prediction is not None:
            self.prediction.layer.visible = self._looks.is_live
            self.show_outlines()
        elif self._looks.is_live and self._document.has_results:
            self.add_prediction()

    def show_outlines(self) -> None:
        """Outline the painting while the prediction fills the same shapes, so that the two can be distinguished."""
        if self.labels is not None:
            self.labels.set_outlined(self.is_prediction_seen)

    def show_opacity(self) -> None:
        """Show the prediction layer more or less clearly."""
        if self.prediction is not None:
            self.prediction.layer.opacity = self._looks.opacity

    def show_uncertainty(self) -> None:
        """Show or hide the uncertainty of the prediction."""
        if self.uncertainty is not None:
            self.uncertainty.layer.visible = self._looks.is_uncertainty_visible
        elif self._looks.is_uncertainty_visible:
            layer = new_layers.uncertainty_layer(self.image, self._document)
            self.uncertainty = Redraw(layer, self._view, self)
            self._insert_above_image(layer)

    def update(self, indices: Iterable[int]) -> None:
        """Copy slices from the document, and draw visible ones."""
        indices = tuple(indices)
        for layer in self.to_paint_on:
            layer.update(indices)
        if self.uncertainty is not None:
            self.uncertainty.slices(indices)

    def drop(self, layer: Layer) -> None:
        """Let go of a layer that is no longer in the viewer, or no longer used."""
        for name in ("labels", "prediction", "uncertainty"):
            ours: PaintLayer | Redraw | None = getattr(self, name)
            if ours is not None and ours.layer is layer:
                ours.close()
                setattr(self, name, None)
        self.show_outlines()

    def close(self) -> None:
        """Let go of all layers, which can be seen again."""
        self._show_hidden()
        for one in (*self.to_paint_on, *self.results):
            self.drop(one.layer)

    def leave_labels_hidden(self) -> None:
        """Let go of hidden labels whose image is gone, and which would cover another image."""
        self._hidden = [layer for layer in self._hidden if self.labels is None or layer is not self.labels.layer]

    def _show_hidden(self) -> None:
        hidden, self._hidden = self._hidden, []
        for layer in hidden:
            layer.visible = True

    def _raise_labels(self) -> None:
        """Bring labels that were opened before their image out from under it."""
        layers = self._viewer.layers
        if self.labels is not None and layers.index(self.labels.layer) < layers.index(self.image):
            layers.move(layers.index(self.labels.layer), len(layers))

    def _watch_prediction(self, layer: Labels) -> PaintLayer:
        self.prediction = self._watch(layer, self._document.shown)
        self.prediction.visibility_changed.connect(self.show_outlines)
        return self.prediction

    def _insert_above_image(self, layer: Layer) -> None:
        new_layers.insert_quietly(self._viewer, layer, self._viewer.layers.index(self.image) + 1)
