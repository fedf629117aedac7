"""Validation: the Dice of the students on slices that training never sees."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from knowsam.data.annotation import BACKGROUND, IGNORE
from knowsam.inference.ensemble import self_assessed_error
from knowsam.inference.metrics import dice_score

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from knowsam.data.annotation import LabelArray
    from knowsam.data.case import Case
    from knowsam.data.sampling import SliceKey
    from knowsam.inference.predictor import Predictor, SlicePrediction
    from knowsam.training.interruption import Interruption

_AT_ONCE = 2
"""Slices predicted between two checks for an interruption."""


class HoldoutScore(NamedTuple):
    """How good predictors are on held-out slices.

    Parameters
    ----------
    dice : mean over the painted classes, over the labelled pixels of all held-out slices taken together.
    self_assessed_error : their own estimate of the error there, see `ensemble.self_assessed_error`, a mean over slices;
        None if they show no structure.
    """

    dice: float
    self_assessed_error: float | None


def holdout_score(
    predictors: Sequence[Predictor], cases: Sequence[Case], holdout: Collection[SliceKey], interruption: Interruption
) -> HoldoutScore | None:
    """Compare predictors with what was painted in held-out slices.

    Parameters
    ----------
    predictors : one for each case.

    Returns
    -------
    None if nothing is held out or nothing is painted there.

    Raises
    ------
    Interrupted
        If an interruption was requested.
    """
    found, painted, errors = [], [], []
    for number, (predictor, case) in enumerate(zip(predictors, cases, strict=True)):
        indices = sorted(key.slice_index for key in holdout if key.case == number)
        for prediction in _predicted(predictor, indices, interruption):
            labels = case.annotation.slices[prediction.index].labels
            labelled = labels != IGNORE
            found.append(prediction.labels[labelled])
            painted.append(labels[labelled])
            errors.append(self_assessed_error(prediction.box[None]).item())
    dice = _mean_dice(found, painted)
    known = [error for error in errors if not math.isnan(error)]
    return None if dice is None else HoldoutScore(dice, float(np.mean(known)) if known else None)


def holdout_dice(
    predictors: Sequence[Predictor], cases: Sequence[Case], holdout: Collection[SliceKey], interruption: Interruption
) -> float | None:
    """Return the Dice of `holdout_score` alone."""
    score = holdout_score(predictors, cases, holdout, interruption)
    return None if score is None else score.dice


def agreement(
    predictors: Sequence[Predictor],
    others: Sequence[Predictor],
    slices: Sequence[Sequence[int]],
    interruption: Interruption,
) -> float | None:
    """Return the Dice between two predictions of the same slices, mean over the classes and over the slices.

    Each slice counts alike: at the ends of a structure, where it is small, students go wrong first.

    Parameters
    ----------
    predictors, others : one for each case; classes are those that the others predict.
    slices : for each case.

    Returns
    -------
    None if there is no slice in which the others predict anything.

    Raises
    ------
    Interrupted
        If an interruption was requested.
    """
    scores = []
    for predictor, other, indices in zip(predictors, others, slices, strict=True):
        both = (_predicted(one, indices, interruption) for one in (predictor, other))
        for prediction, reference in zip(*both, strict=True):
            scores.append(_mean_dice([prediction.labels], [reference.labels]))
    known = [score for score in scores if score is not None]
    return float(np.mean(known)) if known else None


def _predicted(predictor: Predictor, indices: Sequence[int], interruption: Interruption) -> Iterator[SlicePrediction]:
    """Predict slices, a few at a time, with a check for an interruption between them."""
    for first in range(0, len(indices), _AT_ONCE):
        for prediction in predictor.slices(indices[first : first + _AT_ONCE]):
            interruption.check()
            yield prediction


def _mean_dice(found: Sequence[LabelArray], expected: Sequence[LabelArray]) -> float | None:
    if not found:
        return None
    predicted, reference = np.concatenate(found), np.concatenate(expected)
    scores = [dice_score(predicted, reference, value) for value in np.unique(reference) if value != BACKGROUND]
    return float(np.mean(scores)) if scores else None
