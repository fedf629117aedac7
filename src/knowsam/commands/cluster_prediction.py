"""Prediction of images by the workers of a cluster, each mask published once.

A worker writes a mask, whole or not at all, into a folder of this run beside the results. If it ends before it reports
the mask, the next worker that gets the image finds the mask there and does not predict it again. Only this process
moves reported masks to their final places, so that a mask is published once even if two workers made it, because one
of them seemed lost.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from knowsam.commands.cluster import connected
from knowsam.commands.cluster_task import PredictionTask
from knowsam.commands.outputs import saved
from knowsam.io.atomic import output_written
from knowsam.io.kept_models import found_model
from knowsam.models.download import sha256_of
from knowsam.prediction_table import Predicted
from knowsam.training.trained_model import saved_model_file

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from knowsam.commands.cluster_task import Answer

logger = logging.getLogger(__name__)

Attempt = Callable[[], Predicted]
"""Returns the row of an image after writing its mask, or raises the reason why there is none."""


def cluster_attempts(targets: Mapping[Path, Path], options: Namespace) -> Generator[tuple[Path, Attempt], None, None]:
    """Yield each image with its attempt, as workers finish them.

    Parameters
    ----------
    targets : path of the mask of each image.

    Raises
    ------
    ClusterError
        If the cluster cannot be reached or used.
    """
    images = {image.absolute(): image for image in targets}
    logged: set[str] = set()
    with connected(options.scheduler) as cluster:
        options.output.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=options.output.absolute(), prefix=".knowsam-", ignore_cleanup_errors=True) as name:
            task = _task(Path(name), options)
            for image, answered in cluster.done(task, list(images)):
                publish = partial(_published, Path(name), targets[images[image]], options.overwrite)
                yield images[image], partial(_attempt, images[image], answered, publish, logged)


def _task(folder: Path, options: Namespace) -> PredictionTask:
    model = saved_model_file(found_model(options.model)).absolute()
    return PredictionTask(
        model,
        sha256_of(model),
        folder,
        pick=options.pick,
        missing_as_background=options.missing_as_background,
        device=options.device,
        measure=options.table is not None,
    )


def _attempt(image: Path, answered: Callable[[], Answer], publish: Callable[[], Path], logged: set[str]) -> Predicted:
    answer = answered()
    for notice in answer.notices:
        # Each worker logs the same about its device.
        if notice not in logged:
            logger.warning("%s", notice)
            logged.add(notice)
    if not isinstance(answer.outcome, Predicted):
        raise answer.outcome
    return replace(answer.outcome, image=image.name, mask=publish().name)


def _published(folder: Path, target: Path, overwrite: bool) -> Path:
    finished = folder / target.name
    return saved(target, lambda place: _publish(finished, place, overwrite))


def _publish(finished: Path, place: Path, overwrite: bool) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with output_written(place, overwrite=overwrite) as complete:
        try:
            os.link(finished, complete)
        except OSError:
            # A file system without links, or a different one.
            shutil.copyfile(finished, complete)
