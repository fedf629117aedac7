"""Ask whether voxels of a file that have no value are background."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QApplication, QMessageBox

from knowsam.errors import MissingValuesError
from knowsam.io.labels import read_labels
from napari_knowsam.choice_dialog import main_window

if TYPE_CHECKING:
    from knowsam.data.volume import Volume


def read_or_ask(read: Callable[[], Volume], read_filled: Callable[[], Volume] | None) -> Volume | None:
    """Read a volume, with voxels that have no value as background if a person agrees; None if not.

    Raises
    ------
    MissingValuesError
        If there are such voxels and no window to ask in.
    """
    try:
        return read()
    except MissingValuesError as error:
        if read_filled is None or QApplication.instance() is None:
            raise
        return read_filled() if are_background(error) else None


def labels_or_ask(path: Path) -> Volume | None:
    """Read labels as `read_or_ask` does."""
    return read_or_ask(partial(read_labels, path), partial(read_labels, path, missing_as_background=True))


def are_background(error: MissingValuesError) -> bool:
    """Ask whether voxels without a value are background."""
    question = (
        f"{error.found}. Are they background, as round a brain that was cut out? Then they get the smallest of all "
        "other values, or 0 in a mask. The file stays as it is."
    )
    answer = QMessageBox.question(main_window(), "Voxels without a value", question)
    return bool(answer == QMessageBox.StandardButton.Yes)
