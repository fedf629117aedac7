"""How good the prediction between annotated slices probably is: each annotated slice is predicted from all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from knowsam.data.annotation import SliceState
from knowsam.inference.metrics import dice_score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from knowsam.data.annotation import Annotation, LabelArray, LabelClass
    from knowsam.inference.predictor import Predictor

FEWEST_SLICES = 3
"""Judged slices below which nothing is said."""

ERROR_RATIO = 0.62
"""1 - Dice between annotated slices, relative to that of annotated slices predicted from the others.

These lie twice as far away. benchmarks/README.md has the measurement.
"""

LEAST_DICE = 0.7
"""Of annotated slices predicted from the others; below it the ratio differs too much to say anything."""


@dataclass(frozen=True)
class DiceEstimate:
    """The probable Dice of propagated labels between annotated slices; students are heard where they do better.

    Parameters
    ----------
    by_class : of each class but background, in their order; None where nothing can be said.
    slices : how many annotated slices were predicted from the others.
    """

    by_class: tuple[float | None, ...]
    slices: int

    @property
    def mean(self) -> float | None:
        """Over all classes; None unless something can be said of each."""
        known = [dice for dice in self.by_class if dice is not None]
        return float(np.mean(known)) if known and len(known) == len(self.by_class) else None


def judged_slices(annotation: Annotation) -> list[int]:
    """Return the slices between the outermost annotated ones that were painted completely, and by hand."""
    outlined = [index for index in annotation.annotated if annotation.state(index) is not SliceState.PARTIAL]
    return [index for index in outlined[1:-1] if annotation.slices[index].by_hand]


def estimated_dice(predictor: Predictor, annotation: Annotation) -> DiceEstimate | None:
    """Estimate the Dice between annotated slices.

    Parameters
    ----------
    predictor : predicts annotated slices as if they were not annotated.

    Returns
    -------
    None with fewer than three slices to judge by.
    """
    judged = judged_slices(annotation)
    if len(judged) < FEWEST_SLICES:
        return None
    found = np.stack([prediction.labels for prediction in predictor.slices(judged)])
    painted = np.stack([annotation.slices[index].labels for index in judged])
    by_class = [_probable_dice(found, painted, number) for number in range(1, len(annotation.classes))]
    return DiceEstimate(tuple(by_class), len(judged))


def _probable_dice(found: LabelArray, painted: LabelArray, number: int) -> float | None:
    if not (painted == number).any():
        return None
    dice = dice_score(found, painted, number)
    return None if dice < LEAST_DICE else 1 - ERROR_RATIO * (1 - dice)


def in_words(estimate: DiceEstimate, classes: Sequence[LabelClass]) -> str:
    """Say the estimate of each class.

    Parameters
    ----------
    classes : background first.
    """
    said = [
        f"{one.name} {'cannot be told' if dice is None else f'{dice:.2f}'}"
        for one, dice in zip(classes[1:], estimate.by_class, strict=True)
    ]
    return (
        f"Probable Dice between the painted slices: {', '.join(said)} "
        f"(each of {estimate.slices} painted slices was predicted from the others)."
    )
