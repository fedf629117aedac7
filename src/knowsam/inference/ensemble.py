"""The ensemble of propagated labels and others, students or a proposed mask, and the weight of each in each slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from knowsam.inference.refinement import PROPAGATOR_ERROR, refined_variance, with_order_of_structures
from knowsam.propagation.most_probable import most_probable

if TYPE_CHECKING:
    from torch import Tensor

    from knowsam.propagation.propagated_labels import PropagatedLabels

_SMALLEST_VARIANCE = 1e-8
"""Gives others without any error their weight where both sides agree, and keeps divisors from zero."""

_SMALLEST_PROBABILITY = 1e-4
"""What is less probable counts as this much, so that no side can rule a class out."""

_SMALLEST_SHARE = 1e-4
"""Share of a slice below which a structure is in none of its pixels, however improbable."""

_HELD_OUT_PENALTY = 2.0
"""Factor on the variance of a held-out error, relative to that of propagated labels.

Measured in `benchmarks/results/next_volume.md`, as is `_MOST_OVERCONFIDENT`.
"""

_SMALLEST_HELD_OUT_ERROR = 0.01
"""A mask that was accepted as it was proposed has no error there, and is still not right everywhere."""

_MOST_UNSURE = 10.0
"""What was learnt elsewhere counts as at most this many times as unsure as where its error was measured."""

_MOST_OVERCONFIDENT = 2.0
"""Beside it, propagated labels count as at most this many times as wrong as they expect themselves."""


@dataclass(frozen=True)
class StudentWeight:
    """The weight of students of the volume itself beside propagated labels, which they see.

    Parameters
    ----------
    student_variance : of their error in 1 - Dice, by a proxy: their disagreement with propagated labels right beside
        annotated slices, where these are nearly exact.
    limit, limit_beyond : their weight far from any annotated slice, between two of them and beyond the outermost one.
    half_distance_slices : distance from the nearest annotated slice at which they have half of it.
    shared_variance : how much of the variance of the error of propagated labels they share, because they see these.
    """

    student_variance: float
    limit: float
    limit_beyond: float
    half_distance_slices: float
    shared_variance: float = 0.0


@dataclass(frozen=True)
class HeldOutWeight:
    """The weight of what was learnt in other volumes, students or a proposed mask, beside propagated labels.

    Parameters
    ----------
    error : in 1 - Dice, in annotated slices of this volume, without what is propagated; one for all slices, or
        (B, 1, 1, 1).
    self_assessed_error : there, see the function of this name: where it is less sure of itself, its weight is smaller.
        None switches that off.
    """

    error: float | Tensor
    self_assessed_error: float | None = None

    limit: ClassVar[float] = 1.0


EnsembleWeight = StudentWeight | HeldOutWeight

STUDENTS_ALONE = StudentWeight(student_variance=0.0, limit=1.0, limit_beyond=1.0, half_distance_slices=0.0)
"""Propagated labels have no part in the prediction, but for annotated slices themselves."""


def ensemble(propagated: PropagatedLabels, others: Tensor, weight: EnsembleWeight) -> tuple[Tensor, Tensor]:
    """Pool the probabilities of propagated labels and of others by their logarithms.

    That is a logarithmic opinion pool (Genest and Zidek, Statistical Science 1, 1986). Beyond the outermost annotated
    slice what was learnt in other volumes is pooled linearly: propagated labels fade out there, sure of background.

    Parameters
    ----------
    others : (B, C, H, W), the probabilities of students or of a proposed mask.

    Returns
    -------
    Probabilities (B, C, H, W), and the weight (B, 1, 1, 1) that the others have in them.
    """
    own = propagated.probabilities
    if isinstance(weight, StudentWeight):
        share = _student_share(propagated, weight)
        return _pooled(own, with_order_of_structures(propagated, others), share), share
    share = _held_out_share(propagated, others, weight)
    return torch.where(propagated.is_one_sided, own.lerp(others, share), _pooled(own, others, share)), share


def proxy_variance(error: float) -> float:
    """Return the `student_variance` of students with a proxy error, in 1 - Dice.

    One below the error of the propagator makes them better than it says, one above it far worse
    (`benchmarks/results/weighing.md`).
    """
    return (error**2 / PROPAGATOR_ERROR) ** 2


def self_assessed_error(probabilities: Tensor) -> Tensor:
    """Return the error, in 1 - Dice, that probabilities (B, C, H, W) expect of their own most probable labels: (B,).

    It is the mean over the structures that can be in the slice, one that is nowhere the most probable with an error of
    1; nan where there is none.
    """
    structures = probabilities[:, 1:]
    numbers = torch.arange(1, probabilities.shape[1], device=probabilities.device).view(1, -1, 1, 1)
    labels = most_probable(probabilities, keepdim=True) == numbers
    overlap, size = (one.mean(dim=(2, 3)) for one in (structures * labels, structures + labels))
    return (1 - 2 * overlap / size).where(size > _SMALLEST_SHARE, torch.nan).nanmean(dim=1)


def _pooled(own: Tensor, others: Tensor, share: Tensor) -> Tensor:
    """Pool the logarithms of probabilities (B, C, H, W)."""
    logs = [p.clamp_min(_SMALLEST_PROBABILITY).log() for p in (own, others)]
    return torch.where(share > 0, logs[0].lerp(logs[1], share).softmax(dim=1), own)


def _student_share(propagated: PropagatedLabels, weight: StudentWeight) -> Tensor:
    """Return the weight of students of the volume itself, (B, 1, 1, 1).

    The errors of both are weighed as variances are; but near an annotated slice its outline counts most.
    """
    variance = propagated.variance
    if propagated.refined is not None:
        # Beyond the outermost annotated slices the propagator errs as far as anything does.
        refined = refined_variance(propagated.expected_error**2) + propagated.source_variance
        variance = torch.where(propagated.is_one_sided, variance, refined)
    student_variance = weight.student_variance + weight.shared_variance * propagated.expected_error**2
    by_error = _share(variance, student_variance)
    distance = propagated.nearest_slices
    limit = torch.where(propagated.is_one_sided, weight.limit_beyond, weight.limit)
    by_distance = limit * distance / (distance + weight.half_distance_slices).clamp_min(1e-12)
    return torch.minimum(by_error, by_distance)


def _held_out_share(propagated: PropagatedLabels, others: Tensor, weight: HeldOutWeight) -> Tensor:
    """Return the weight of what was learnt in other volumes, (B, 1, 1, 1).

    The errors of both are weighed as variances are. Where both sides contradict each other, as at a tip, the propagator
    often knows which is right; then it is sure, and propagated labels count as wrong as far as they say themselves.
    """
    expected = self_assessed_error(propagated.probabilities).nan_to_num(0.0)[:, None, None, None]
    # They do not know the error of outlines that were completed from scribbles.
    most = (_MOST_OVERCONFIDENT * expected) ** 2 + propagated.source_variance
    variance = propagated.extrapolated_variance
    variance = torch.where(propagated.is_one_sided, variance, variance.minimum(most))
    unsureness = _unsureness(others, weight.self_assessed_error)
    error = (weight.error * unsureness**2).clamp_min(_SMALLEST_HELD_OUT_ERROR)
    return _share(variance, _HELD_OUT_PENALTY * error**2).masked_fill(propagated.is_drawn, 0.0)


def _share(variance: Tensor, other_variance: Tensor) -> Tensor:
    return (variance + _SMALLEST_VARIANCE) / (variance + _SMALLEST_VARIANCE + other_variance)


def _unsureness(others: Tensor, where_measured: float | None) -> Tensor:
    """Return (B, 1, 1, 1), how many times as unsure others are of each slice as where their error was measured.

    Their error grows with its square; it is nowhere smaller than was measured.
    """
    if where_measured is None:
        return torch.ones_like(others[:, :1, :1, :1])
    ratio = self_assessed_error(others) / max(where_measured, _SMALLEST_PROBABILITY)
    return ratio.nan_to_num(1.0).clamp(1.0, _MOST_UNSURE)[:, None, None, None]
