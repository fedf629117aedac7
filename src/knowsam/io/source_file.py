"""Input files, which no result may replace."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from knowsam.errors import OutputError
from knowsam.io.image_file import image_stem

if TYPE_CHECKING:
    from knowsam.data.volume import Volume


def refuse_inputs(path: Path, inputs: Collection[Path]) -> None:
    """Check that a result would not replace one of the `inputs`.

    Raises
    ------
    OutputError
        If it would.
    """
    # Links and case-insensitive file systems give one file several names.
    if os.path.exists(path) and any(os.path.exists(read) and path.samefile(read) for read in inputs):
        raise OutputError(f"{path} is an input, but is named as the result as well. Choose another name.")


def refuse_source_file(path: Path, source: Volume) -> None:
    """Check that a result would not replace a file that its image was read from.

    Raises
    ------
    OutputError
        If it would.
    """
    if path.exists() and _is_of(path, source):
        raise OutputError(
            f"{path.name} is a file of the image itself, which the result would replace. Choose another name."
        )


def _is_of(path: Path, source: Volume) -> bool:
    if source.dicom_files:
        return any(file.exists() and path.samefile(file) for file in source.dicom_files)
    return path.absolute().parent == source.folder and image_stem(path.name) == source.name
