"""An honest score: the students on slices that training never sees."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

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
"""Slices predicted between two looks whether somebody asked for it to be broken off."""


def holdout_dice(
    predictors: Sequence[Predictor], cases: Sequence[Case], holdout: Collection[SliceKey], interruption: Interruption
) -> float | None:
    """Return the mean Dice over the painted classes, over the judged pixels of all held-out slices taken together.

    Parameters
    ----------
    predictors : one for each case.

    Returns
    -------
    None if nothing is held out or nothing is painted there.

    Raises
    ------
    Interrupted
        If somebody asked for it.
    """
    found, painted = [], []
    for predictor, case, indices in zip(predictors, cases, _by_case(holdout, len(cases)), strict=True):
        for prediction in _predicted(predictor, indices, interruption):
            labels = case.annotation.slices[prediction.index].labels
            judged = labels != IGNORE
            found.append(prediction.labels[judged])
            painted.append(labels[judged])
    return _mean_dice(found, painted)


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
        If somebody asked for it.
    """
    scores = []
    for predictor, other, indices in zip(predictors, others, slices, strict=True):
        both = (_predicted(one, indices, interruption) for one in (predictor, other))
        for prediction, reference in zip(*both, strict=True):
            scores.append(_mean_dice([prediction.labels], [reference.labels]))
    known = [score for score in scores if score is not None]
    return float(np.mean(known)) if known else None


def self_assessment(
    predictors: Sequence[Predictor], slices: Collection[SliceKey], interruption: Interruption
) -> float | None:
    """Return what predictors, one for each case, take their error for, a mean over slices; None if they show nothing.

    Raises
    ------
    Interrupted
        If somebody asked for it.
    """
    errors = [
        self_assessed_error(prediction.box[None]).item()
        for predictor, indices in zip(predictors, _by_case(slices, len(predictors)), strict=True)
        for prediction in _predicted(predictor, indices, interruption)
    ]
    known = [error for error in errors if not math.isnan(error)]
    return float(np.mean(known)) if known else None


def _by_case(slices: Collection[SliceKey], cases: int) -> list[list[int]]:
    return [sorted(key.slice_index for key in slices if key.case == number) for number in range(cases)]


def _predicted(predictor: Predictor, indices: Sequence[int], interruption: Interruption) -> Iterator[SlicePrediction]:
    """Predict slices, a few at a time, so that it can be broken off between them."""
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
