"""Voxels on the disk instead of in memory, for work on many volumes at once."""

from __future__ import annotations

from dataclasses import replace
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

import numpy as np
import platformdirs

from knowsam.errors import OutputError

if TYPE_CHECKING:
    from knowsam.data.volume import Volume

_SMALL_BYTES = 1 << 20
"""Voxels that take so little are left where they are."""


def kept_on_disk(volume: Volume) -> Volume:
    """Return a volume whose voxels are read when they are looked at, and take no memory that others need.

    Their file lies in the user's cache, where there is room, not in memory as some folders of temporary files are. It
    has no name, and is gone when the volume is, however the program ends.

    Raises
    ------
    OutputError
        If there is no room.
    """
    array = volume.array
    if array.nbytes <= _SMALL_BYTES:
        return volume
    folder = platformdirs.user_cache_path("napari-knowsam", appauthor=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            array.tofile(file)
            file.flush()
            return replace(volume, array=np.memmap(file, array.dtype, "r", shape=array.shape))
    except OSError as error:
        raise OutputError(
            f"The voxels of {volume.name} cannot be kept in {folder} ({error.strerror or error}). Make "
            f"{array.nbytes >> 20} MB of room there for each volume of this size, or train on fewer at once."
        ) from error
