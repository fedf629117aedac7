"""The ensemble of students and propagated labels, and the weight of each in each slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from knowsam.inference.refinement import PROPAGATOR_ERROR, refined_variance, with_order_of_structures
from knowsam.propagation.most_probable import most_probable

if TYPE_CHECKING:
    from torch import Tensor

    from knowsam.propagation.propagated_labels import PropagatedLabels

_SMALLEST_VARIANCE = 1e-8
"""Gives students without any error their weight where both sides agree, and keeps divisors from zero."""

_SMALLEST_PROBABILITY = 1e-4
"""What is less probable counts as this much, so that no side can rule a class out."""

_SMALLEST_SHARE = 1e-4
"""Share of a slice below which a structure is in none of its pixels, however improbable."""

_MOST_UNSURE = 10.0
"""Students of other volumes count as at most this many times as unsure as where their error was measured."""

_MOST_OVERCONFIDENT = 2.0
"""Beside such students, propagated labels count as at most this many times as wrong as they expect themselves."""


@dataclass(frozen=True)
class EnsembleWeight:
    """The weight of the students beside propagated labels.

    Parameters
    ----------
    student_variance : of their error in 1 - Dice: held-out, or by a proxy, see `is_held_out`.
    limit, limit_beyond : their weight far from any annotated slice, between two of them and beyond the outermost one.
    half_distance_slices : distance from the nearest annotated slice at which they have half of it.
    shared_variance : how much of the variance of the error of propagated labels they share, because they see these.
    is_held_out : whether the error was measured in slices that the students have not learnt from, those of other
        volumes, without what is propagated; if not, a proxy was: their disagreement with propagated labels right
        beside annotated slices, where these are nearly exact.
    propagation_factor : observed error of propagated labels, relative to the expected one.
    self_assessed_error : of the students where their error was measured, see the function of this name: where they are
        less sure of themselves, their weight is smaller. None switches that off.
    """

    student_variance: float
    limit: float
    limit_beyond: float
    half_distance_slices: float
    shared_variance: float = 0.0
    is_held_out: bool = False
    propagation_factor: float = 1.0
    self_assessed_error: float | None = None


STUDENTS_ALONE = EnsembleWeight(student_variance=0.0, limit=1.0, limit_beyond=1.0, half_distance_slices=0.0)
"""Propagated labels have no part in the prediction, but for annotated slices themselves."""


def ensemble(propagated: PropagatedLabels, students: Tensor, weight: EnsembleWeight) -> tuple[Tensor, Tensor]:
    """Pool the probabilities of the students and propagated labels.

    Students of the volume itself by their logarithms (a logarithmic opinion pool: Genest and Zidek, Statistical Science
    1, 1986), those of other volumes linearly: in few slices these are confident and wrong.

    Parameters
    ----------
    students : (B, C, H, W), their probabilities.

    Returns
    -------
    Probabilities (B, C, H, W), and the weight (B, 1, 1, 1) that the students have in them.
    """
    share = _student_weight(propagated, students, weight)
    if weight.is_held_out:
        return propagated.probabilities.lerp(students, share), share
    students = with_order_of_structures(propagated, students)
    own, others = (p.clamp_min(_SMALLEST_PROBABILITY).log() for p in (propagated.probabilities, students))
    return torch.where(share > 0, own.lerp(others, share).softmax(dim=1), propagated.probabilities), share


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


def _student_weight(propagated: PropagatedLabels, students: Tensor, weight: EnsembleWeight) -> Tensor:
    """Return the weight of the students, (B, 1, 1, 1).

    The errors of both are weighed as variances are; but near an annotated slice its outline counts most.
    """
    variance = propagated.variance
    if weight.is_held_out:
        variance = _observed_variance(propagated, weight.propagation_factor)
    elif propagated.refined is not None:
        # Beyond the outermost annotated slices the propagator errs as far as anything does.
        refined = refined_variance(propagated.expected_error**2) + propagated.source_variance
        variance = torch.where(propagated.is_one_sided, variance, refined)
    variance = variance + _SMALLEST_VARIANCE
    student_variance = weight.student_variance + weight.shared_variance * propagated.expected_error**2
    if weight.self_assessed_error is not None:
        student_variance = student_variance * _unsureness(students, weight.self_assessed_error) ** 4
    by_error = variance / (variance + student_variance)
    distance = propagated.nearest_slices
    limit = torch.where(propagated.is_one_sided, weight.limit_beyond, weight.limit)
    by_distance = limit * distance / (distance + weight.half_distance_slices).clamp_min(1e-12)
    return torch.minimum(by_error, by_distance)


def _observed_variance(propagated: PropagatedLabels, factor: float) -> Tensor:
    """Return the variance of propagated labels, (B, 1, 1, 1), whose observed error was `factor` times the expected one.

    Where both sides contradict each other, as at a tip, the propagator often knows which is right; then it is sure.
    """
    variance = (propagated.extrapolated_variance * factor**2).clamp_max(1)
    expected = self_assessed_error(propagated.probabilities).nan_to_num(0.0)[:, None, None, None]
    # It does not know the error of outlines that were completed from scribbles.
    most = (_MOST_OVERCONFIDENT * expected) ** 2 + propagated.source_variance
    return torch.where(propagated.is_one_sided, variance, variance.minimum(most))


def _unsureness(students: Tensor, where_measured: float) -> Tensor:
    """Return (B, 1, 1, 1), how many times as unsure the students are of each slice as where they were measured.

    Their error grows with its square (`benchmarks/results/next_volume.md`); it is nowhere smaller than was measured.
    """
    ratio = self_assessed_error(students) / max(where_measured, _SMALLEST_PROBABILITY)
    return ratio.nan_to_num(1.0).clamp(1.0, _MOST_UNSURE)[:, None, None, None]
