"""Words become one short line, whatever they hold."""

from __future__ import annotations

import pytest

from knowsam.data.short_line import short_line


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (" left\r\n kidney\t", "left kidney"),
        ("bell\x07 and \x1b[31mred", "bell and [31mred"),
        ("腫瘍 am Rand", "腫瘍 am Rand"),
        ("\n\0 ", ""),
        ("x" * 63 + " yy", "x" * 63),
    ],
)
def test_words_become_one_short_line_of_printable_characters(words: str, line: str) -> None:
    assert short_line(words) == line
