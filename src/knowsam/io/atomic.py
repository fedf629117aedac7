"""Files written whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from knowsam.errors import OutputError


@contextmanager
def written_whole(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary path to write to; at the end, one move puts the result at `path`.

    If the block raises, `path` stays as it was. If it is a link that may be replaced, the file it leads to is, as by
    any other program that writes there; the link stays.

    Parameters
    ----------
    overwrite : replace an existing file.

    Raises
    ------
    OSError
        If the folder cannot be written, or the file exists by then and must be kept.
    """
    target = _target(path, overwrite=overwrite)
    with _temporary_folder(target.parent) as temporary:
        # Under the name that was asked for, since its ending may choose the format.
        complete = Path(temporary, path.name)
        yield complete
        if overwrite:
            os.replace(complete, target)
        else:
            _move_to_free(complete, target)


def _target(path: Path, *, overwrite: bool) -> Path:
    return Path(os.path.realpath(path)) if overwrite and path.is_symlink() else path


def _temporary_folder(beside: Path) -> TemporaryDirectory[str]:
    # A folder rather than a file, so that the result gets the usual permissions instead of private ones; on a network
    # drive, removing it may fail at first.
    return TemporaryDirectory(dir=beside, prefix=".knowsam-", ignore_cleanup_errors=True)


def _move_to_free(complete: Path, path: Path) -> None:
    try:
        # Of two writers at once, the second one fails.
        os.link(complete, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.replace(complete, path)


@contextmanager
def output_written(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a path to write a result to, as `written_whole` does, with errors for the user.

    Raises
    ------
    OutputError
        If the file cannot be written, or exists and must be kept.
    """
    _require_folder(_target(path, overwrite=overwrite))
    check_free(path, overwrite=overwrite)
    try:
        with written_whole(path, overwrite=overwrite) as complete:
            yield complete
    except FileExistsError as error:
        raise _taken(path) from error
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error}. Free space there, or choose another folder.") from error


def check_place(path: Path, *, overwrite: bool = False) -> None:
    """Check before anything is computed that a file can be written to `path`.

    Raises
    ------
    OutputError
        If the folder is missing or not writable, the name is impossible there, or the file exists and must be kept.
    """
    _require_folder(_target(path, overwrite=overwrite))
    check_new_place(path, overwrite=overwrite)


def check_new_place(path: Path, *, overwrite: bool = False) -> None:
    """Check as `check_place` does, but the folder need not be there yet.

    Raises
    ------
    OutputError
        If the folder cannot be made or written, the name is impossible there, or the file exists and must be kept.
    """
    check_free(path, overwrite=overwrite)
    target = _target(path, overwrite=overwrite)
    # Without `..`, by which the trial would leave the temporary folder.
    place = Path(os.path.realpath(target.parent), target.name)
    existing = next(parent for parent in place.parents if os.path.exists(parent))
    try:
        # By trying, since neither permissions nor names say what a drive takes.
        with _temporary_folder(existing) as temporary:
            trial = Path(temporary, place.relative_to(existing))
            trial.parent.mkdir(parents=True, exist_ok=True)
            trial.touch()
    except OSError as error:
        raise OutputError(
            f"Nothing can be written to {target}: {error.strerror}. Choose another name or folder."
        ) from error


def _require_folder(path: Path) -> None:
    if not os.path.isdir(path.parent):
        raise OutputError(f"The folder {path.parent} does not exist. Make it, or choose another one.")


def check_free(path: Path, *, overwrite: bool) -> None:
    """Check that no folder lies at `path`, and no file that must be kept.

    Raises
    ------
    OutputError
        If one does.
    """
    if os.path.isdir(path):
        raise OutputError(f"{path} is a folder, but the result is one file. Choose another name.")
    # A broken link counts as a file, too.
    if os.path.lexists(path) and not overwrite:
        raise _taken(path)


def _taken(path: Path) -> OutputError:
    return OutputError(f"{path} exists already and is kept. Choose another name, or add --overwrite.")
