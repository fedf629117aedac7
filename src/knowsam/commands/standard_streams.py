"""Robust standard output and standard error, even if a shell, a scheduler or a closed window broke them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Any, TextIO

_STANDARD = 3
"""File descriptors below this number are standard input, output and error."""


@contextmanager
def dependable_streams() -> Iterator[None]:
    """Make writing to standard streams safe within the block, and restore them afterwards.

    Letters that an encoding lacks become escapes. Output to a closed stream, and to standard error once it breaks, is
    dropped; if standard output breaks, the error is raised.
    """
    before = sys.stdout, sys.stderr
    _fill_gaps()
    with open(os.devnull, "w") as nowhere:
        sys.stdout, sys.stderr = _escaping(before[0] or nowhere), _Unbreakable(_escaping(before[1] or nowhere))
        try:
            yield
        finally:
            # Python would try once more at its end, and exit with a code of its own.
            try:
                sys.stdout.flush()
            except (OSError, ValueError):
                _drop_output(sys.stdout)
            sys.stdout, sys.stderr = before


class _Unbreakable:
    """A text stream that drops output it cannot write, so that no work ends because nobody watches it."""

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
    """Open closed standard streams: the next opened file would take their descriptors, and with them all output."""
    number = 0
    while number < _STANDARD:
        number = os.open(os.devnull, os.O_RDWR)
    os.close(number)


def _escaping(stream: TextIO) -> TextIO:
    if isinstance(stream, TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
        stream.reconfigure(errors="backslashreplace")
    return stream


def _drop_output(stream: TextIO) -> None:
    """Discard the buffer of a stream and all that follows."""
    with suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
