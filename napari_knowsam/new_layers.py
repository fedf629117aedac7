"""Layers of an annotation document, on the voxels of its image on the screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels, Shapes
from napari.utils import DirectLabelColormap

from napari_knowsam.volume_layers import empty_labels_layer_data, layer_kwargs

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from knowsam.data.volume import Volume
    from knowsam.document.annotation_document import AnnotationDocument
    from knowsam.document.edit import Edit

ROLE_KEY = "knowsam_role"
"""Key in the metadata of a layer that shows a result: which one."""

PREVIEW = "preview"
"""The role of a preview layer, which exists until its content is accepted or dropped, and which nobody chooses."""

_PIXELS_PER_OUTLINE_PX = 256
"""An outline is one pixel wide in slices of this size, two in those of a CT: as wide on the screen."""

_UNCERTAINTY_OPACITY = 0.5
_PREVIEW_COLOR = "yellow"


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
    """Return a layer of the annotations."""
    kwargs = _kwargs(image, document.volume, "labels")
    del kwargs["metadata"][ROLE_KEY]
    return Labels(document.painting(), **kwargs)


def prediction_layer(image: Image, document: AnnotationDocument, looks: ResultLooks) -> Labels:
    """Return a layer of the results of all slices."""
    kwargs = _kwargs(image, document.volume, "prediction")
    return Labels(document.mask(), **kwargs, opacity=looks.opacity, visible=looks.is_live)


def uncertainty_layer(image: Image, document: AnnotationDocument) -> Image:
    """Return a layer of the uncertainty of the prediction, in percent."""
    return Image(
        document.predictions.uncertainty,
        **_kwargs(image, document.volume, "uncertainty"),
        colormap="inferno",
        blending="additive",
        opacity=_UNCERTAINTY_OPACITY,
        contrast_limits=(0, 100),
    )


def preview_values(document: AnnotationDocument, edit: Edit) -> npt.NDArray[np.uint8]:
    """Return (Z, Y, X), one where a structure would be, in the slices that would change."""
    values = np.zeros(document.volume.shape, np.uint8)
    for index, mask in edit.masks.items():
        values[document.at(index)] = mask
    return values


def preview_layer(image: Image, document: AnnotationDocument, values: npt.NDArray[np.uint8]) -> Labels:
    """Return a layer that outlines `preview_values`."""
    layer = Labels(values, **_kwargs(image, document.volume, PREVIEW), opacity=1.0)
    layer.colormap = DirectLabelColormap(color_dict={1: _PREVIEW_COLOR, None: "transparent"})
    layer.contour = outline_px(document)
    return layer


def prompt_shapes(image: Image, document: AnnotationDocument) -> Shapes:
    """Return a layer in which boxes and clicks are shown."""
    return Shapes(ndim=3, **_kwargs(image, document.volume, PREVIEW) | {"name": f"{image.name} prompts"})


def outline_px(document: AnnotationDocument) -> int:
    """Return a thickness of outlines at which they are visible in a large slice too."""
    return max(round(max(document.plane_shape) / _PIXELS_PER_OUTLINE_PX), 1)


def shows_result(layer: Layer) -> bool:
    """Tell whether a layer shows a prediction or its uncertainty, of whatever image."""
    return layer.metadata.get(ROLE_KEY) not in (None, PREVIEW)


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
