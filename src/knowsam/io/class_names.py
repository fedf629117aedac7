"""Names and colours of classes as text inside a file of labels.

The text is JSON of this form, which other programs show as it stands or ignore:

    {"label_classes": [{"value": 1, "name": "liver", "color": [230, 75, 53]}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass
from knowsam.data.short_line import short_line

_KEY = "label_classes"


def foreground(classes: Iterable[LabelClass]) -> tuple[LabelClass, ...]:
    """Return the classes that a file names, their names in one line each: all but background, which is 0 everywhere."""
    named = (replace(c, name=short_line(c.name)) for c in classes if c.value != BACKGROUND_CLASS.value)
    return tuple(label_class for label_class in named if label_class.name)


def classes_as_text(classes: Iterable[LabelClass]) -> str:
    """Return the text for these classes."""
    listed = [{"value": c.value, "name": c.name, "color": list(c.color)} for c in classes]
    return json.dumps({_KEY: listed}, ensure_ascii=False)


def classes_from_text(text: bytes) -> tuple[LabelClass, ...]:
    """Return the classes that a text names; none, if it is something else."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    listed = content.get(_KEY) if isinstance(content, dict) else None
    return tuple(_usable(listed)) if isinstance(listed, list) else ()


def _usable(listed: Iterable[Any]) -> Iterator[LabelClass]:
    taken = {BACKGROUND_CLASS.value}
    for entry in listed:
        label_class = _label_class(entry)
        if label_class is not None and label_class.value not in taken:
            taken.add(label_class.value)
            yield label_class


def _label_class(entry: Any) -> LabelClass | None:
    match entry:
        case {"value": int(value), "name": str(name), "color": [int(red), int(green), int(blue)]}:
            usable = short_line(name) and 0 < value <= np.iinfo(np.int32).max
            in_range = all(0 <= shade <= 255 for shade in (red, green, blue))
            return LabelClass(int(value), short_line(name), (red, green, blue)) if usable and in_range else None
    return None
