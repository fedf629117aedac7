"""Prediction of one image by a worker of a cluster."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from knowsam import __version__, jobs
from knowsam.commands.cluster_task import Answer
from knowsam.commands.inputs import notices_logged
from knowsam.errors import ClusterError, ConfigError, InputError, KnowSAMError
from knowsam.io.image import read_image
from knowsam.io.image_file import mask_name
from knowsam.io.labels import read_labels, write_labels
from knowsam.models.download import sha256_of
from knowsam.prediction_table import Predicted
from knowsam.training.trained_model import load_model

if TYPE_CHECKING:
    from knowsam.commands.cluster_task import PredictionTask
    from knowsam.data.annotation import LabelArray
    from knowsam.data.volume import Volume
    from knowsam.training.trained_model import TrainedModel

logger = logging.getLogger(__name__)

_ONE_AT_A_TIME = threading.Lock()
"""Held by the prediction of a worker, which takes all processors that PyTorch may use, and much memory."""


def answer(task: PredictionTask, image: Path) -> Answer:
    """Predict an image, or answer why it cannot be predicted.

    Raises
    ------
    ClusterError
        If no image can be predicted here.
    """
    _require_usable(task)
    outcome: Predicted | KnowSAMError | OSError
    with _kept_notices() as notices:
        try:
            outcome = _predicted(task, image)
        except ClusterError:
            raise
        except (KnowSAMError, OSError) as error:
            outcome = error
    return Answer(outcome, tuple(notices))


def _require_usable(task: PredictionTask) -> None:
    here = f"On {socket.gethostname()}, where a worker runs,"
    if task.version != __version__:
        raise ClusterError(
            f"{here} KnowSAM {__version__} is installed, but {task.version} where the command was given. Install the "
            "same version."
        )
    for path, mode in ((task.model, os.R_OK), (task.folder, os.W_OK | os.X_OK)):
        if not os.access(path, mode):
            raise ClusterError(
                f"{here} there is no {path}, or the worker may not use it. Workers need the same files under the same "
                "paths, as on a network drive, and permission to write there."
            )
    try:
        jobs.checked_device(task.device)
    except ConfigError as error:
        raise ClusterError(f"{here} the device cannot be used. {error}") from error


def _predicted(task: PredictionTask, image: Path) -> Predicted:
    if not os.access(image, os.R_OK):
        raise InputError(
            f"On {socket.gethostname()}, where a worker runs, there is no {image}, or the worker may not read it. "
            "Check the path, and that workers have the same files under the same paths, as on a network drive."
        )
    volume = notices_logged(read_image(image, task.pick, missing_as_background=task.missing_as_background))
    with _ONE_AT_A_TIME:
        model = _model(task.model, task.checksum)
        labels = _mask(task, task.folder / mask_name(image), model, volume)
    row = Predicted(image.name, mask_name(image))
    return row.with_measures(labels, volume, model) if task.measure else row


def _mask(task: PredictionTask, place: Path, model: TrainedModel, volume: Volume) -> LabelArray:
    """Return the mask of a volume, after writing it."""
    if place.exists():
        # Another worker has written it, whole, and ended before it could report it.
        if difference := model.difference(volume):
            logger.warning("%s", difference)
        return read_labels(place).array
    labels, _ = jobs.predict(model, volume, device=task.device)
    write_labels(place, labels, volume.grid, model.classes, overwrite=True)
    return labels


@lru_cache(maxsize=1)
def _model(file: Path, checksum: str) -> TrainedModel:
    """Read the model once for all images."""
    if sha256_of(file) != checksum:
        raise ClusterError(
            f"On {socket.gethostname()}, where a worker runs, {file} is another model than where the command was "
            "given. Put one where both see the same."
        )
    return load_model(file)


@contextmanager
def _kept_notices() -> Iterator[list[str]]:
    """Collect the log of an image, since the log of a worker is not seen where the command was given."""
    handler, ours = _Notices(), logging.getLogger("knowsam")
    ours.addHandler(handler)
    try:
        yield handler.sentences
    finally:
        ours.removeHandler(handler)


class _Notices(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.sentences: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message of this thread; other threads predict other images."""
        if record.thread == self._thread:
            self.sentences.append(record.getMessage())
