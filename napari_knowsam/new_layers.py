"""Layers of what an annotation document holds, on the voxels of its image as it is on the screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels

from napari_knowsam.volume_layers import empty_labels_layer_data, layer_kwargs

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from knowsam.data.volume import Volume
    from knowsam.document.annotation_document import AnnotationDocument

ROLE_KEY = "knowsam_role"
"""Under this key of its metadata, a layer that shows a result says which."""

_UNCERTAINTY_OPACITY = 0.5


@dataclass
class ResultLooks:
    """How the results of the chosen image look; those of another image look the same once that is chosen."""

    is_live: bool = True
    opacity: float = 0.5
    is_uncertainty_visible: bool = False


def empty_labels(image: Image, volume: Volume) -> Labels:
    """Return a layer on which nothing is painted."""
    data, kwargs, _ = empty_labels_layer_data(volume)
    return Labels(data, **kwargs | {"name": f"{image.name} labels"} | _place_of(image))


def painted_labels(image: Image, document: AnnotationDocument) -> Labels:
    """Return a layer of what is painted."""
    kwargs = _kwargs(image, document.volume, "labels")
    del kwargs["metadata"][ROLE_KEY]
    return Labels(document.painting(), **kwargs)


def prediction_layer(image: Image, document: AnnotationDocument, looks: ResultLooks) -> Labels:
    """Return a layer of what is known of all slices."""
    kwargs = _kwargs(image, document.volume, "prediction")
    return Labels(document.mask(), **kwargs, opacity=looks.opacity, visible=looks.is_live)


def uncertainty_layer(image: Image, document: AnnotationDocument) -> Image:
    """Return a layer of how sure the prediction is, in percent."""
    return Image(
        document.predictions.uncertainty,
        **_kwargs(image, document.volume, "uncertainty"),
        colormap="inferno",
        blending="additive",
        opacity=_UNCERTAINTY_OPACITY,
        contrast_limits=(0, 100),
    )


def insert_quietly(viewer: Viewer, layer: Layer, position: int) -> None:
    """Add a layer, and leave the one that a person is working on selected."""
    selection = viewer.layers.selection
    active, selected = selection.active, set(selection)
    viewer.layers.insert(position, layer)
    if active is None:
        viewer.layers.selection = selected
    else:
        selection.active = active


def _kwargs(image: Image, volume: Volume, role: str) -> dict[str, Any]:
    kwargs = layer_kwargs(volume)
    kwargs["metadata"] |= {ROLE_KEY: role}
    return kwargs | _place_of(image) | {"name": f"{image.name} {role}"}


def _place_of(image: Image) -> dict[str, Any]:
    return {key: getattr(image, key)[-3:] for key in ("scale", "translate", "units", "axis_labels")}
