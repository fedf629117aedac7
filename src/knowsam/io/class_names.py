"""Names and colours of classes as text inside a file of labels.

The text is JSON of this form, which other programs show unchanged or ignore:

    {"label_classes": [{"value": 1, "name": "liver", "color": [230, 75, 53]}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass
from knowsam.data.short_line import short_line

_KEY = "label_classes"


def foreground(classes: Iterable[LabelClass]) -> tuple[LabelClass, ...]:
    """Return the classes to name in a file, each name on one line: all but background, which is 0 everywhere."""
    named = (replace(c, name=short_line(c.name)) for c in classes if c.value != BACKGROUND_CLASS.value)
    return tuple(label_class for label_class in named if label_class.name)


def classes_as_text(classes: Iterable[LabelClass]) -> str:
    """Return the text for these classes."""
    listed = [{"value": c.value, "name": c.name, "color": list(c.color)} for c in classes]
    return json.dumps({_KEY: listed}, ensure_ascii=False)


def classes_from_text(text: bytes) -> tuple[LabelClass, ...]:
    """Return the classes that a text names, the first one of each value; none if it has another form."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    listed = content.get(_KEY) if isinstance(content, dict) else None
    found: dict[int, LabelClass] = {}
    for entry in listed if isinstance(listed, list) else ():
        match entry:
            case {"value": int(value), "name": str(name), "color": [int(red), int(green), int(blue)]}:
                if label_class := usable_class(int(value), name, (red, green, blue)):
                    found.setdefault(label_class.value, label_class)
    return tuple(found.values())


def usable_class(value: int, name: str, color: tuple[int, int, int]) -> LabelClass | None:
    """Return the class that a file describes; None if its value, name or colour is invalid."""
    usable = short_line(name) and 0 < value <= np.iinfo(np.int32).max and all(0 <= shade <= 255 for shade in color)
    return LabelClass(value, short_line(name), color) if usable else None
