"""Standard output and standard error, whatever a shell, a scheduler or a closed window has made of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Any, TextIO

_STANDARD = 3
"""Files with numbers below this one are standard input, output and error."""


@contextmanager
def dependable_streams() -> Iterator[None]:
    """Let a command write to its streams without a thought of them, and leave them as they were afterwards.

    Letters that an encoding lacks become escapes. Nothing is written to a stream that is closed, nor to standard error
    once it breaks; where standard output breaks, the error is raised.
    """
    before = sys.stdout, sys.stderr
    _fill_gaps()
    with open(os.devnull, "w") as nowhere:
        sys.stdout, sys.stderr = _escaping(before[0] or nowhere), _Unbreakable(_escaping(before[1] or nowhere))
        try:
            yield
        finally:
            # Python tries once more when it ends, and would end with an exit code of its own.
            try:
                sys.stdout.flush()
            except (OSError, ValueError):
                _drop_output(sys.stdout)
            sys.stdout, sys.stderr = before


class _Unbreakable:
    """A text stream that drops what it cannot write, so that no work ends because nobody watches it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            _drop_output(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            _drop_output(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _fill_gaps() -> None:
    """Open what was closed, or the next file that is opened would take its number, and what is printed."""
    number = 0
    while number < _STANDARD:
        number = os.open(os.devnull, os.O_RDWR)
    os.close(number)


def _escaping(stream: TextIO) -> TextIO:
    if isinstance(stream, TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
        stream.reconfigure(errors="backslashreplace")
    return stream


def _drop_output(stream: TextIO) -> None:
    """Send what a stream still holds, and all that follows, nowhere."""
    with suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
