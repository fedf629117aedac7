"""`knowsam evaluate`: a mask against a reference."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from knowsam.data.volume import require_same_grid
from knowsam.inference.metrics import ClassScores, evaluate_masks
from knowsam.io.nifti import read_nifti_labels

if TYPE_CHECKING:
    from argparse import Namespace


def run(options: Namespace) -> None:
    """Print the scores of every class that either mask holds."""
    prediction, reference = read_nifti_labels(options.prediction), read_nifti_labels(options.reference)
    require_same_grid(reference, prediction)
    values = sorted({int(v) for mask in (prediction, reference) for v in np.unique(mask.array) if v})
    scores = evaluate_masks(prediction.array, reference.array, reference.spacing_mm, values)
    text = json.dumps([_without_nan(score) for score in scores], indent=1) if options.json else score_table(scores)
    sys.stdout.write(text + "\n")


def score_table(scores: Sequence[ClassScores]) -> str:
    """Return the scores as a table of text, a line a class."""
    rows = ["class    Dice  HD95 mm  ASSD mm  volume ml  reference ml"]
    for s in scores:
        agreement = f"{s.value:>5}  {s.dice:6.3f}  {s.hd95_mm:7.2f}  {s.assd_mm:7.2f}"
        rows.append(f"{agreement}  {s.volume_ml:9.2f}  {s.reference_volume_ml:12.2f}")
    return "\n".join(rows)


def _without_nan(score: ClassScores) -> dict[str, float | int | None]:
    """JSON knows no NaN: a distance that does not exist becomes null."""
    return {name: None if value != value else value for name, value in asdict(score).items()}
