"""The colours and names of classes on labels layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from napari.utils.colormaps import DirectLabelColormap

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass

if TYPE_CHECKING:
    from napari.layers import Labels

_BRUSH_COLOR = (128, 128, 128)
_UNKNOWN_COLOR = "#ffffff"
"""Colour of a value that was just painted and is about to become a class."""


def class_looks(classes: Sequence[LabelClass]) -> dict[str, Any]:
    """Return keyword arguments of a labels layer that has a colour for every class, and names it in the status bar."""
    return {"colormap": _colormap(classes), "features": _features(classes)}


def show_classes(layer: Labels, classes: Iterable[LabelClass], brush_value: int) -> None:
    """Give every class its colour and name on a layer, the background brush grey, and leave background transparent."""
    shown = [*classes, LabelClass(brush_value, BACKGROUND_CLASS.name, _BRUSH_COLOR)]
    layer.colormap = _colormap(shown, use_selection=layer.show_selected_label, selection=layer.selected_label)
    layer.features = _features(shown)


def _colormap(classes: Iterable[LabelClass], **selection: Any) -> DirectLabelColormap:
    colors: dict[int | None, object] = {c.value: [shade / 255 for shade in c.color] for c in classes}
    colors |= {BACKGROUND_CLASS.value: "transparent", None: _UNKNOWN_COLOR}
    return DirectLabelColormap(color_dict=colors, **selection)


def _features(classes: Sequence[LabelClass]) -> dict[str, list[Any]]:
    # napari finds the row of a label by the column of this name.
    return {"index": [c.value for c in classes], "name": [c.name for c in classes]}
