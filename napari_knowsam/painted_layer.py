"""How the labels of a layer were painted: their plane, partly painted slices, and probable accidents."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass, default_classes
from knowsam.data.orientation import PLANE_NAMES, file_axis, file_index
from knowsam.data.painted_axis import plausible_axes
from knowsam.data.painted_slices import UNLABELLED, painted_by_default
from knowsam.data.resample import placed_on
from knowsam.data.slice_number import slice_number
from knowsam.data.stray_labels import stray_labels
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.document.class_list import ClassList, background_brush
from knowsam.document.slice_annotation import NOT_PAINTED
from knowsam.errors import InputError
from napari_knowsam.volume_layers import BACKGROUND_BRUSH_KEY, CLASSES_KEY, LayerData, labels_layer_data

if TYPE_CHECKING:
    from napari.layers import Labels

    from knowsam.data.painted_slices import PaintedSlices
    from knowsam.data.volume import Grid, Volume
    from knowsam.document.slice_annotation import Values

PAINTED_KEY = "knowsam_painted"
"""Key in the metadata of a layer of resampled labels: how they were painted."""


@dataclass(frozen=True)
class Painting:
    """How labels were painted.

    Parameters
    ----------
    axes : working axes they may have been painted along, the likeliest first.
    partial : indices of the slices in which only painted voxels, background included, were labelled.
    notices : sentences on slices that look like accidents.
    """

    axes: tuple[int, ...]
    partial: tuple[int, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def question(self) -> str | None:
        """The question to ask before the labels are used."""
        if len(self.axes) == 1:
            return None
        named = " or ".join(PLANE_NAMES[axis] for axis in self.axes)
        return f"It is not clear whether these labels were painted in {named} slices. Choose it under Plane."


def opened_document(labels: Labels, volume: Volume, axis: int | None) -> tuple[AnnotationDocument, Painting]:
    """Return a document with the labels on a layer, which lies on the voxels of a volume, and how they were painted.

    Parameters
    ----------
    axis : working axis to annotate along; by default the one a person seems to have painted along.

    Raises
    ------
    InputError
        If the labels hold more values than there can be classes.
    """
    values = np.asarray(labels.data)
    classes, brush_value = _classes_of(labels, values)
    painting = painting_of(labels, volume, brush_value, axis)
    document = AnnotationDocument(volume, painting.axes[0], classes, brush_value)
    document.load(values, painting.partial)
    return document, painting


def painting_of(layer: Labels, volume: Volume, brush_value: int, axis: int | None) -> Painting:
    """Return how the labels on a layer, which lie on the voxels of a volume, were painted.

    Parameters
    ----------
    brush_value : painted where background is known.
    axis : working axis they were painted along, where a person has said so.
    """
    known = layer.metadata.get(PAINTED_KEY)
    if isinstance(known, Painting) and axis in (None, *known.axes):
        return known
    values = np.asarray(layer.data)
    axes = plausible_axes([replace(volume, array=values)]) if axis is None else (axis,)
    if len(axes) > 1 or not values.any():
        return Painting(axes)
    classes = np.where(values == brush_value, BACKGROUND_CLASS.value, values)
    if not classes.any():
        return Painting(axes)
    strays = stray_labels(painted_by_default(replace(volume, array=classes), axes[0]))
    return Painting(axes, notices=tuple(stray.sentence(f"slice {slice_number(stray.index)}") for stray in strays))


def labels_on_image(labels: Volume, grid: Grid) -> tuple[LayerData, tuple[str, ...]]:
    """Return labels as layer data on the voxels of an image, and their notices.

    Raises
    ------
    InputError
        If no label lies in the image, or labels with other voxels may have been painted along several axes.
    """
    pasted = placed_on(labels, grid)
    if pasted is not None:
        return labels_layer_data(pasted), pasted.notices
    axes = plausible_axes([labels])
    if len(axes) > 1:
        raise InputError(
            f"It is not clear whether {labels.name}, which has other voxels than the image, was painted in "
            f"{' or '.join(PLANE_NAMES[axis] for axis in axes)} slices. Resample it to the image in the program it was "
            "painted with."
        )
    painted = painted_by_default(labels, axes[0])
    strays = [stray.sentence(_place_in_file(labels, axes[0], stray.index)) for stray in stray_labels(painted)]
    placed = painted.on(grid)
    return _resampled_layer_data(placed), (*labels.notices, *placed.labels.notices, *strays)


def _place_in_file(labels: Volume, axis: int, index: int) -> str:
    """Return the slice of the file in words, since slices on screen have other numbers."""
    along = file_axis(labels.grid, axis)
    return f"slice {file_index(labels.grid, axis, index)} along axis {along} of {labels.name}, counted from 0"


def _resampled_layer_data(painted: PaintedSlices) -> LayerData:
    """Return layer data in which known background is painted where a slice is not annotated completely."""
    classes = default_classes(painted.values, known=painted.labels.classes)
    brush_value = background_brush(label_class.value for label_class in classes)
    values: Values = np.where(painted.labels.array == UNLABELLED, NOT_PAINTED, painted.labels.array)
    for index in painted.partial:
        _at(values, painted.axis, index)[_at(painted.labels.array, painted.axis, index) == 0] = brush_value
    largest = max(brush_value, *(label_class.value for label_class in classes))
    typed = values.astype(np.promote_types(np.min_scalar_type(largest), np.uint8))
    data, kwargs, kind = labels_layer_data(replace(painted.labels, array=typed), classes)
    painting = Painting((painted.axis,), painted.partial)
    kwargs["metadata"] |= {BACKGROUND_BRUSH_KEY: brush_value, PAINTED_KEY: painting}
    return data, kwargs, kind


def _at(values: Any, axis: int, index: int) -> Any:
    return np.moveaxis(values, axis, 0)[index]


def _classes_of(labels: Labels, painted: Values) -> tuple[tuple[LabelClass, ...], int]:
    """Return the classes and the brush value of a layer, from its metadata as far as they are there."""
    known: tuple[LabelClass, ...] = labels.metadata.get(CLASSES_KEY, ())
    taken = {label_class.value for label_class in known}
    brush_value = labels.metadata.get(BACKGROUND_BRUSH_KEY)
    values = set(np.unique(painted[painted != BACKGROUND_CLASS.value]).tolist()) - {brush_value}
    if brush_value is None or brush_value in taken:
        brush_value = background_brush(taken | values)
    if len(known) < 2:
        return default_classes(values or {1}), brush_value
    classes = ClassList(known, brush_value)
    classes.ensure(values)
    return classes.all, brush_value
