"""`knowsam predict`: a trained model applied to other volumes."""

from __future__ import annotations

import logging
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from knowsam import jobs
from knowsam.commands.inputs import read_model, told
from knowsam.commands.outputs import check_folder, check_mask, saved
from knowsam.commands.prediction_table import Predicted, write_table
from knowsam.data.measurements import measured
from knowsam.errors import InputError, KnowSAMError, PredictionError
from knowsam.io.atomic import check_free
from knowsam.io.image import read_image
from knowsam.io.image_file import image_stem
from knowsam.io.labels import write_labels

if TYPE_CHECKING:
    from argparse import Namespace

    from knowsam.data.annotation import LabelArray
    from knowsam.data.volume import Volume
    from knowsam.training.trained_model import TrainedModel

logger = logging.getLogger(__name__)


def run(options: Namespace) -> None:
    """Do what the options say; all outputs are checked before the first prediction."""
    device = str(jobs.told_device(options.device))
    targets = {image: options.output / f"{_stem(image)}_mask.nii.gz" for image in options.images}
    if len(set(targets.values())) < len(options.images):
        raise InputError("Two images have the same name, so their masks would too. Predict them into separate folders.")
    check_folder(options.output)
    if options.output.exists():
        for target in targets.values():
            check_mask(target, inputs=options.images, overwrite=options.overwrite)
    if options.table is not None:
        check_folder(options.table.parent)
        check_free(options.table, overwrite=options.overwrite)
    model = read_model(options.model)
    found: list[Predicted] = []
    for image, target in tqdm(targets.items(), desc="Predicting", unit="volume", file=sys.stderr, disable=None):
        try:
            found.append(_predict(image, target, model, device, options))
        except (KnowSAMError, OSError) as error:
            if len(targets) == 1:
                raise
            # One damaged file must not cost all that come after it.
            logger.error("%s: %s", image, error)
            found.append(Predicted(image.name, problem=str(error)))
    if options.table is not None:
        saved(options.table, lambda place: write_table(place, found, model.classes, overwrite=options.overwrite))
    failed = sum(bool(one.problem) for one in found)
    if failed:
        raise PredictionError(f"{failed} of {len(found)} images were not predicted; the sentences above say why.")


def _predict(image: Path, target: Path, model: TrainedModel, device: str, options: Namespace) -> Predicted:
    volume = told(read_image(image, options.pick))
    labels, _ = jobs.predict(model, volume, device=device)
    place = saved(target, partial(_write, labels=labels, volume=volume, model=model, options=options))
    if options.table is None:
        return Predicted(image.name, place.name)
    values = [label_class.value for label_class in model.classes[1:]]
    measures = measured(labels, volume.grid.affine, values, volume.array)
    return Predicted(image.name, place.name, measures, model.difference(volume))


def _write(target: Path, *, labels: LabelArray, volume: Volume, model: TrainedModel, options: Namespace) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    write_labels(target, labels, volume.grid, model.classes, overwrite=options.overwrite)


def _stem(image: Path) -> str:
    # A folder may be given as ".", which has no name of its own.
    return image_stem(os.path.basename(os.path.abspath(image)))
