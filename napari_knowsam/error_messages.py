"""Errors and notices of the engine as messages of napari."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error, show_info

from knowsam.errors import KnowSAMError

if TYPE_CHECKING:
    from knowsam.data.volume import Volume


@contextmanager
def errors_shown() -> Iterator[None]:
    """Show an error a user can act on as its sentence alone, and continue after the block."""
    try:
        yield
    except KnowSAMError as error:
        show_error(str(error))


def notices_shown(volume: Volume) -> Volume:
    """Show the notices of a volume, and return it."""
    if volume.notices:
        show_info(f"{volume.name}: {' '.join(volume.notices)}")
    return volume
