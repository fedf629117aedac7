"""Input files, which no result may replace."""

from __future__ import annotations

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
    if _is_one_of(path, inputs):
        raise OutputError(f"{path} is an input, but is named as the result as well. Choose another name.")


def refuse_source_file(path: Path, source: Volume) -> None:
    """Check that a result would not replace a file that its image was read from.

    Raises
    ------
    OutputError
        If it would.
    """
    if _is_one_of(path, source.dicom_files if source.file is None else (source.file,)):
        raise OutputError(
            f"{path.name} is a file of the image itself, which the result would replace. Choose another name."
        )


def _is_one_of(path: Path, files: Collection[Path]) -> bool:
    # Links and case-insensitive file systems give one file several names.
    return path.exists() and any(file.exists() and path.samefile(file) for file in files)
