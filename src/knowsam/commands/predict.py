"""`knowsam predict`: a trained model applied to other volumes."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Generator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from knowsam import jobs
from knowsam.commands.cluster_prediction import cluster_attempts
from knowsam.commands.inputs import read_model, read_one_image
from knowsam.commands.outputs import check_mask, saved
from knowsam.errors import ClusterError, InputError, KnowSAMError, PredictionError
from knowsam.io.atomic import check_new_place
from knowsam.io.image_file import mask_name
from knowsam.io.labels import write_labels
from knowsam.io.source_file import refuse_inputs
from knowsam.prediction_table import Predicted, write_table

if TYPE_CHECKING:
    from argparse import Namespace

    from knowsam.commands.cluster_prediction import Attempt
    from knowsam.data.annotation import LabelArray
    from knowsam.data.volume import Volume
    from knowsam.training.trained_model import TrainedModel

logger = logging.getLogger(__name__)


def run(options: Namespace) -> None:
    """Run the command; all outputs are checked before the first prediction."""
    is_here = options.scheduler is None
    # A worker checks its own device.
    device = str(jobs.checked_device(options.device)) if is_here else options.device
    targets = _checked_targets(options)
    model = read_model(options.model)
    attempts = _attempts(targets, model, device, options) if is_here else cluster_attempts(targets, options)
    found: dict[Path, Predicted] = {}
    try:
        _predict(attempts, found, len(targets))
    except (KeyboardInterrupt, ClusterError):
        if masks := sum(not one.problem for one in found.values()):
            logger.warning("%d of %d images were predicted by then; their masks stay.", masks, len(targets))
        raise
    rows = [found[image] for image in targets]
    if options.table is not None:
        saved(options.table, lambda place: write_table(place, rows, model.classes, overwrite=options.overwrite))
    failed = sum(bool(one.problem) for one in rows)
    if failed:
        raise PredictionError(f"{failed} of {len(rows)} images were not predicted; the sentences above say why.")


def _checked_targets(options: Namespace) -> dict[Path, Path]:
    """Return the path of the mask of each image."""
    targets = {image: options.output / mask_name(image) for image in options.images}
    if len(set(targets.values())) < len(options.images):
        raise InputError("Two images have the same name, so their masks would too. Predict them into separate folders.")
    is_there = os.path.isdir(options.output)
    for target in targets.values():
        if is_there:
            check_mask(target, inputs=options.images, overwrite=options.overwrite)
        else:
            check_new_place(target)
    if options.table is not None:
        if options.table in targets.values():
            raise InputError(f"{options.table} is named as the table and is a mask as well. Choose another name.")
        refuse_inputs(options.table, [options.model, *options.images])
        check_new_place(options.table, overwrite=options.overwrite)
    return targets


def _predict(attempts: Generator[tuple[Path, Attempt], None, None], found: dict[Path, Predicted], count: int) -> None:
    """Fill in the result of each image."""
    with closing(attempts):
        for image, attempt in tqdm(
            attempts, total=count, desc="Predicting", unit="volume", file=sys.stderr, disable=None
        ):
            try:
                found[image] = attempt()
            except (KnowSAMError, OSError) as error:
                if count == 1:
                    raise
                # A damaged file must not stop those after it.
                logger.error("%s: %s", image, error)
                found[image] = Predicted(image.name, problem=str(error))


def _attempts(
    targets: Mapping[Path, Path], model: TrainedModel, device: str, options: Namespace
) -> Generator[tuple[Path, Attempt], None, None]:
    """Yield each image with its attempt, which predicts it in this process."""
    for image, target in targets.items():
        yield image, partial(_predicted, image, target, model, device, options)


def _predicted(image: Path, target: Path, model: TrainedModel, device: str, options: Namespace) -> Predicted:
    volume = read_one_image(image, options)
    labels, _ = jobs.predict(model, volume, device=device)
    place = saved(target, partial(_write, labels=labels, volume=volume, model=model, options=options))
    row = Predicted(image.name, place.name)
    return row if options.table is None else row.with_measures(labels, volume, model)


def _write(target: Path, *, labels: LabelArray, volume: Volume, model: TrainedModel, options: Namespace) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    write_labels(target, labels, volume.grid, model.classes, overwrite=options.overwrite)
