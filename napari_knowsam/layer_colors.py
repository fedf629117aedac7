"""The colours of classes on labels layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from napari.utils.colormaps import DirectLabelColormap

from knowsam.data.annotation import BACKGROUND_CLASS

if TYPE_CHECKING:
    from napari.layers import Labels

    from knowsam.data.annotation import LabelClass

_BRUSH_COLOR = "#808080"
_UNKNOWN_COLOR = "#ffffff"
"""Of a value that was painted a moment ago and is about to become a class."""


def color_classes(layer: Labels, classes: Iterable[LabelClass], brush_value: int) -> None:
    """Give every class its colour on a layer, the background brush grey, and leave background transparent."""
    colors: dict[int | None, object] = {
        label_class.value: [part / 255 for part in label_class.color] for label_class in classes
    }
    colors |= {BACKGROUND_CLASS.value: "transparent", brush_value: _BRUSH_COLOR, None: _UNKNOWN_COLOR}
    layer.colormap = DirectLabelColormap(
        color_dict=colors, use_selection=layer.show_selected_label, selection=layer.selected_label
    )
