"""Files that are whole or not there at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from knowsam.errors import OutputError


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a path to write to; what is there at the end takes the place of `path`, in one move.

    If anything is raised meanwhile, `path` stays as it was.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    # A folder rather than a file, so that the result gets the usual permissions instead of private ones.
    with TemporaryDirectory(dir=path.parent, prefix=".knowsam-") as temporary:
        complete = Path(temporary, path.name)
        yield complete
        os.replace(complete, path)


@contextmanager
def mask_written(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a path to write a mask to, as `written_whole` does, and say what is wrong if that fails.

    Raises
    ------
    OutputError
        If the file cannot be written, or exists and is to be kept.
    """
    check_place(path, overwrite=overwrite)
    try:
        with written_whole(path) as complete:
            yield complete
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error}. Free space there, or choose another folder.") from error


def check_place(path: Path, *, overwrite: bool = False) -> None:
    """Check before anything is computed that a file can be written to `path`.

    Raises
    ------
    OutputError
        If the folder is missing or not writable, or the file exists and is to be kept.
    """
    if not path.parent.is_dir():
        raise OutputError(f"The folder {path.parent} does not exist. Make it, or choose another one.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"The folder {path.parent} is not writable. Change its permissions, or choose another one.")
    if path.is_dir():
        raise OutputError(f"{path} is a folder, but the result is one file. Choose another name.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already and is kept. Choose another name, or add --overwrite.")
