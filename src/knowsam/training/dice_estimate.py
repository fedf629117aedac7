"""How good the prediction between annotated slices probably is, before anybody has painted those between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from knowsam.data.annotation import SliceState
from knowsam.data.sampling import evenly
from knowsam.inference.metrics import dice_score
from knowsam.propagation.most_probable import most_probable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from knowsam.data.annotation import Annotation, LabelClass
    from knowsam.inference.predictor import Predictor, Propagate

FEWEST_SLICES = 3
"""With fewer reference slices, there is no estimate."""

LEFT_OUT_SHARE, EXPECTED_SHARE = 0.27, 0.63
"""Weights of the two parts of the probable error: that of annotated slices predicted from the others, which lie twice
as far away, and the contradiction of both sides of propagated labels between annotated slices.

Fitted to structures of which eight or ten slices were annotated; benchmarks/README.md has the measurement.
"""

LARGEST_ERROR = 0.12
"""There is no estimate above this probable error: it is wrong too often."""

_MOST_SLICES = 32
_BATCH_SLICES = 8
"""Most reference slices, most slices between them, both after each correction, and how many are predicted at a time."""


@dataclass(frozen=True)
class DiceEstimate:
    """The probable Dice of propagated labels between annotated slices; students count only where they do better.

    Parameters
    ----------
    by_class : of each class but background, in their order; None without an estimate.
    slices : how many annotated slices were predicted from the others.
    """

    by_class: tuple[float | None, ...]
    slices: int

    def by_value(self, classes: Sequence[LabelClass]) -> dict[int, float | None]:
        """Return the estimates by label value; `classes` begin with background."""
        return {one.value: dice for one, dice in zip(classes[1:], self.by_class, strict=True)}

    @property
    def mean(self) -> float | None:
        """Over all classes; None unless something can be said of each."""
        known = [dice for dice in self.by_class if dice is not None]
        return float(np.mean(known)) if known and len(known) == len(self.by_class) else None


def reference_slices(annotation: Annotation) -> list[int]:
    """Return the slices between the outermost annotated ones that were painted completely, by hand or as a correction.

    A prediction that was merely accepted is no reference for another one.
    """
    return [index for index in _outlined(annotation)[1:-1] if annotation.slices[index].is_reference]


def _outlined(annotation: Annotation) -> list[int]:
    """Return the slices that are annotated completely, ascending."""
    return [index for index in annotation.annotated if annotation.state(index) is not SliceState.PARTIAL]


def estimated_dice(predictor: Predictor, propagate: Propagate, annotation: Annotation) -> DiceEstimate | None:
    """Estimate the Dice between annotated slices.

    Parameters
    ----------
    predictor : predicts annotated slices as if they were not annotated.
    propagate : gives the labels propagated to slices between them.

    Returns
    -------
    None with fewer than three reference slices, or none between them.
    """
    references, outlined = evenly(reference_slices(annotation), _MOST_SLICES), _outlined(annotation)
    between = sorted({*range(outlined[0], outlined[-1])} - {*outlined}) if outlined else []
    if len(references) < FEWEST_SLICES or not between:
        return None
    found = np.stack([prediction.labels for prediction in predictor.slices(references)])
    painted = np.stack([annotation.slices[index].labels for index in references])
    expected = _expected_errors(propagate, evenly(between, _MOST_SLICES), len(annotation.classes))
    by_class: list[float | None] = []
    for number, expected_error in enumerate(expected, start=1):
        is_painted = (painted == number).any()
        left_out_error = 1 - dice_score(found, painted, number) if is_painted else 1.0
        error = LEFT_OUT_SHARE * left_out_error + EXPECTED_SHARE * expected_error
        by_class.append(1 - error if is_painted and error <= LARGEST_ERROR else None)
    return DiceEstimate(tuple(by_class), len(references))


def _expected_errors(propagate: Propagate, indices: Sequence[int], classes: int) -> list[float]:
    """Return how wrong propagated labels probably are in each class but background, a mean by predicted pixels."""
    errors, pixels = torch.zeros(classes), torch.zeros(classes)
    for first in range(0, len(indices), _BATCH_SLICES):
        propagated = propagate(indices[first : first + _BATCH_SLICES])
        assert propagated is not None
        labels = most_probable(propagated.probabilities)
        for number in range(1, classes):
            found = (labels == number).sum(dim=(1, 2))
            error = (propagated.expected_error_of(number) ** 2 + propagated.source_variance.flatten()).sqrt()
            errors[number] += (error * found).sum().cpu()
            pixels[number] += found.sum().cpu()
    mean: list[float] = (errors / pixels.clamp_min(1))[1:].tolist()
    return mean


def in_words(estimate: DiceEstimate, classes: Sequence[LabelClass]) -> str:
    """Return a sentence with the estimate of each class.

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
        f"(judged by {estimate.slices} painted slices, each predicted from the others)."
    )
