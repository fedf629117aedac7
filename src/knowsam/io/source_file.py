"""Input files, which no result may replace."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from knowsam.errors import OutputError

if TYPE_CHECKING:
    from knowsam.data.volume import Volume


def refuse_inputs(path: Path, inputs: Collection[Path]) -> None:
    """Check that a result would not replace one of the `inputs`.

    Raises
    ------
    OutputError
        If it would.
    """
    if is_one_of(path, inputs):
        raise OutputError(f"{path} is an input, but is named as the result as well. Choose another name.")


def refuse_source_file(path: Path, source: Volume) -> None:
    """Check that a result would not replace a file that its image was read from.

    Raises
    ------
    OutputError
        If it would.
    """
    if is_one_of(path, source.dicom_files if source.file is None else (source.file,)):
        raise OutputError(
            f"{path.name} is a file of the image itself, which the result would replace. Choose another name."
        )


def is_one_of(path: Path, files: Collection[Path]) -> bool:
    """Return whether a path leads to one of some files; none of them need be there."""
    # Links and case-insensitive file systems give one file several names; os.path takes impossible names, too.
    return os.path.exists(path) and any(os.path.exists(file) and path.samefile(file) for file in files)
