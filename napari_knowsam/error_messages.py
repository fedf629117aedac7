"""Where errors of the engine become messages of napari."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from napari.utils.notifications import show_error

from knowsam.errors import KnowSAMError


@contextmanager
def errors_shown() -> Iterator[None]:
    """Show an error a user can act on as its sentence alone, and go on after the block."""
    try:
        yield
    except KnowSAMError as error:
        show_error(str(error))
