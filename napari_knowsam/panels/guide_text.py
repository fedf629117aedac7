"""The guide as a text to be read in the window."""

from __future__ import annotations

import re
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_PICTURE_OR_LINK = re.compile(r"^!\[.*\n|(?<!!)\[([^\]]*)\]\([^)]*\)", re.MULTILINE)


def guide_text() -> str:
    """Return the guide in Markdown, without pictures and links, of which an installation has none."""
    installed, checkout = _PACKAGE / "guide.md", _PACKAGE.parent / "docs" / "guide.md"
    text = (installed if installed.is_file() else checkout).read_text(encoding="utf-8")
    return _PICTURE_OR_LINK.sub(lambda found: found[1] or "", text)


def shortcuts_text() -> str:
    """Return the table of keys that stands in the guide."""
    return "\n".join(line for line in guide_text().splitlines() if line.startswith("|"))
