"""Files that are whole or not there at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


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
