"""`knowsam evaluate`: a mask against a reference."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np

from knowsam.commands.inputs import notices_logged, read_mask
from knowsam.data.annotation import different_name
from knowsam.data.identity import belonging
from knowsam.data.resample import is_part, placed_on
from knowsam.data.sparse_slices import respaced
from knowsam.data.volume import grid_difference
from knowsam.errors import InputError
from knowsam.inference.metrics import ClassScores, evaluate_masks

if TYPE_CHECKING:
    from argparse import Namespace

    from knowsam.data.volume import Volume

logger = logging.getLogger(__name__)


def run(options: Namespace) -> None:
    """Print the scores of every class that either mask holds.

    Raises
    ------
    InputError
        If a mask cannot be used, or neither grid is a part of the other.
    """
    paths = (options.prediction, options.reference)
    masks = (read_mask(path, options, ignore_identity=options.ignore_identity) for path in paths)
    prediction, reference = _on_one_grid(*masks)
    if difference := different_name(prediction.classes, reference.classes, reference.name):
        logger.warning("%s: %s The scores compare values, whatever they are called.", prediction.name, difference)
    values = sorted({int(v) for mask in (prediction, reference) for v in np.unique(mask.array) if v})
    scores = evaluate_masks(prediction.array, reference.array, reference.affine, values)
    text = json.dumps([_without_nan(score) for score in scores], indent=1) if options.json else score_table(scores)
    sys.stdout.write(text + "\n")


def score_table(scores: Sequence[ClassScores]) -> str:
    """Return the scores as a table of text, a line a class; a distance that does not exist is a dash."""
    if not scores:
        return "Both masks are empty, so they agree."
    rows = ["class    Dice  HD95 mm  ASSD mm  volume ml  reference ml  diameter mm  reference mm"]
    for s in scores:
        agreement = f"{s.value:>5}  {s.dice:6.3f}  {_number(s.hd95_mm):>7}  {_number(s.assd_mm):>7}"
        volumes = f"{s.volume_ml:9.2f}  {s.reference_volume_ml:12.2f}"
        rows.append(f"{agreement}  {volumes}  {s.diameter_mm:11.1f}  {s.reference_diameter_mm:12.1f}")
    return "\n".join(rows)


def _on_one_grid(prediction: Volume, reference: Volume) -> tuple[Volume, Volume]:
    """Return both masks on the grid of the larger one: a DICOM segmentation leaves empty slices out."""
    prediction = notices_logged(_respaced(belonging(prediction, reference), reference))
    reference = notices_logged(_respaced(reference, prediction))
    difference = grid_difference(prediction.grid, reference.grid)
    if difference is None:
        return prediction, reference
    if (widened := _widened(prediction, reference)) is not None:
        return widened, reference
    if (widened := _widened(reference, prediction)) is not None:
        return prediction, widened
    raise InputError(
        f"The mask {prediction.name} does not lie on the grid of the reference {reference.name}, nor is one a part of "
        f"the other. {difference} Give two masks of the same image, one of them on its whole grid."
    )


def _respaced(mask: Volume, other: Volume) -> Volume:
    knows_spacing = other.sparse is None or not other.sparse.notice
    return respaced(mask, other.grid) if knows_spacing else mask


def _widened(part: Volume, whole: Volume) -> Volume | None:
    if not is_part(part.grid, whole.grid):
        return None
    notice = (
        f"It covers {part.shape} of the {whole.shape} voxels of {whole.name}; the others were taken for background."
    )
    widened = placed_on(replace(part, notices=(notice,)), whole.grid)
    return widened and notices_logged(widened)


def _number(distance_mm: float) -> str:
    return "-" if math.isnan(distance_mm) else f"{distance_mm:.2f}"


def _without_nan(score: ClassScores) -> dict[str, float | int | None]:
    """Replace NaN, which JSON lacks, by null: the value of a distance that does not exist."""
    return {name: None if math.isnan(value) else value for name, value in asdict(score).items()}
