"""Where results are to go: what cannot be written is refused before anything is computed."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryFile

from knowsam.errors import OutputError
from knowsam.io.labels import check_labels_writable
from knowsam.training.trained_model import MODEL_FILE


def check_mask(path: Path, *, inputs: Collection[Path], overwrite: bool) -> None:
    """Check that a mask can be written to `path`, and that it would not replace one of the `inputs`.

    Raises
    ------
    OutputError
        If it cannot or would.
    """
    if path.resolve() in {read.resolve() for read in inputs}:
        raise OutputError(f"{path} is an input, but is named as the result as well. Choose another name.")
    check_labels_writable(path, overwrite=overwrite)


def check_model(folder: Path, *, overwrite: bool) -> None:
    """Check that a model can be written into `folder`, which need not be there yet.

    Raises
    ------
    OutputError
        If it cannot, or if a model lies there that is to be kept.
    """
    check_folder(folder)
    _refuse_existing(folder / MODEL_FILE, overwrite)


def check_report(path: Path, *, overwrite: bool) -> None:
    """Check that a report can be written to `path`.

    Raises
    ------
    OutputError
        If the name does not end in .json, the folder is missing or not writable or the file exists and is to be kept.
    """
    if path.suffix.lower() != ".json":
        raise OutputError(f"The report is to be called {path.name}, but must end in .json. Change the name.")
    if not path.parent.is_dir():
        raise OutputError(f"The folder {path.parent} for the report does not exist. Make it, or choose another one.")
    check_folder(path.parent)
    _refuse_existing(path, overwrite)


def check_folder(folder: Path) -> None:
    """Check that files can be written into `folder`, or that it can be made.

    Raises
    ------
    OutputError
        If not.
    """
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    try:
        with TemporaryFile(dir=existing):
            pass
    except OSError as exc:
        raise OutputError(f"Nothing can be written to {folder}: {exc.strerror}. Choose another folder.") from exc


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise OutputError(f"{path} is a folder, but a file is to be written. Choose another name.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already and is kept. Choose another name, or give --overwrite.")
