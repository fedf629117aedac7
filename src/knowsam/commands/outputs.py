"""Outputs: checked before anything is computed, saved elsewhere if they cannot be written after it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING

from knowsam.errors import OutputError
from knowsam.io.atomic import check_new_place, check_place
from knowsam.io.image_file import image_stem
from knowsam.io.labels import check_labels_writable
from knowsam.io.source_file import refuse_inputs
from knowsam.training.trained_model import model_file, save_model

if TYPE_CHECKING:
    from knowsam.jobs import PhaseTimer
    from knowsam.report import Report
    from knowsam.training.trained_model import TrainedModel

logger = logging.getLogger(__name__)


def saved(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a result that took long to compute to `path`, or else to the nearest place that takes it; return the place.

    During a long computation, someone else may write to `path`, or a network drive, a stick or its free space vanish.

    Parameters
    ----------
    write : called with the place; raises an OutputError or OSError if it cannot write there.

    Raises
    ------
    OutputError
        If no place takes it.
    """
    try:
        write(path)
    except (OutputError, OSError) as error:
        for place in _other_places(path):
            with suppress(OutputError, OSError):
                write(place)
                logger.warning("%s So that nothing is lost, it was saved as %s.", error, place)
                return place
        raise
    return path


def save_trained(model: TrainedModel, path: Path, *, overwrite: bool) -> Path:
    """Save a model as `saved` does; log and return the place."""
    place = saved(path, lambda other: save_model(model, other, overwrite=overwrite))
    logger.info("Model: %s", model_file(place))
    return place


def save_report(report: Report, path: Path, timer: PhaseTimer, *, overwrite: bool) -> None:
    """Save a report as `saved` does, and log the place."""
    logger.info("Report: %s", saved(path, lambda other: report.write(other, timer.seconds, overwrite=overwrite)))


def _other_places(path: Path) -> Iterator[Path]:
    """Yield free names, first in the folder of `path`, then in the nearest other ones."""
    for folder in dict.fromkeys(_folders(path)):
        yield next(place for place in _names(path.name, folder) if not os.path.lexists(place))


def _names(name: str, folder: Path) -> Iterator[Path]:
    """Yield `mask.nii.gz`, `mask-1.nii.gz`, `mask-2.nii.gz` and so on."""
    stem = image_stem(name)
    if stem == name:
        stem = Path(name).stem
    yield folder / name
    yield from (folder / f"{stem}-{number}{name[len(stem) :]}" for number in count(1))


def _folders(path: Path) -> Iterator[Path]:
    yield path.parent
    # The current folder may be the one that is gone.
    with suppress(OSError):
        yield next(folder for folder in path.absolute().parents if os.path.isdir(folder))
        yield Path.cwd()
    yield Path(os.path.expanduser("~"))
    with suppress(OSError):
        yield Path(gettempdir())


def check_mask(path: Path, *, inputs: Collection[Path], overwrite: bool) -> None:
    """Check that a mask can be written to `path`, and that it would not replace one of the `inputs`.

    Raises
    ------
    OutputError
        If it cannot or would.
    """
    refuse_inputs(path, inputs)
    check_labels_writable(path, overwrite=overwrite)


def check_model(path: Path, *, overwrite: bool) -> None:
    """Check that a model can be written to `path`, whose folder need not be there yet.

    Raises
    ------
    OutputError
        If it cannot, or if a model there must be kept.
    """
    check_new_place(model_file(path), overwrite=overwrite)


def check_report(path: Path, *, overwrite: bool, endings: str = ".json") -> None:
    """Check that a report can be written to `path`.

    Parameters
    ----------
    endings : all that the command takes, for the message.

    Raises
    ------
    OutputError
        If the name does not end in .json, the folder is missing or not writable or the file exists and must be kept.
    """
    if path.suffix.lower() != ".json":
        raise OutputError(f"The report is to be called {path.name}, but must end in {endings}. Change the name.")
    check_place(path, overwrite=overwrite)
