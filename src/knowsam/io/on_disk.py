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
"""Volumes this small stay in memory."""


def kept_on_disk(volume: Volume) -> Volume:
    """Return a volume whose voxels lie in a memory-mapped file and are read on access.

    The file lies in the user's cache, since folders of temporary files may be in memory. It has no name, so that it is
    gone with the volume, however the program ends.

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
