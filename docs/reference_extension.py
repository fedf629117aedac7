"""What the API reference makes of our docstrings and settings."""

from __future__ import annotations

import re
from ast import literal_eval
from typing import Any

import griffe

_SECTION = re.compile(r"(?m)^(Parameters|Attributes)\n-+\n(?:.+\n?|\n(?=\S.* : ))+")
_ITEM = re.compile(r"(?m)^(\w+(?:, \w+)*) : (.+(?:\n +.+)*)")


class DescribedItems(griffe.Extension):
    """Takes `name : text` for a description, where numpydoc expects a type: types stand in our signatures."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of an object that was loaded."""
        if obj.docstring is not None:
            obj.docstring.value = _SECTION.sub(lambda section: _ITEM.sub(_described, section[0]), obj.docstring.value)


class Settings(griffe.Extension):
    """Shows a field that is declared by `knowsam.config.setting` with its default and its help."""

    def on_attribute(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Turn the call into a default and a docstring."""
        if isinstance(attr.value, griffe.ExprCall) and str(attr.value.function) == "setting":
            default, help_text, *_details = attr.value.arguments
            attr.value = default
            attr.docstring = griffe.Docstring(literal_eval(str(help_text)), parent=attr)


def _described(item: re.Match[str]) -> str:
    return "\n".join(f"{name}\n    {item[2]}" for name in item[1].split(", "))
