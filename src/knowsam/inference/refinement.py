"""Propagated labels, refined by the propagator: it judges each structure, and counts as far as they probably err."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from knowsam.data.annotation import BACKGROUND
from knowsam.propagation.evidence import propagated_logit

if TYPE_CHECKING:
    from torch import Tensor

    from knowsam.models.propagator import Propagator
    from knowsam.propagation.evidence import Evidence
    from knowsam.propagation.propagated_labels import PropagatedLabels

PROPAGATOR_ERROR = 0.06
"""Error of the propagator, in 1 - Dice, against which that of propagated labels is weighed."""

_SMALLEST_PROBABILITY = 1e-4
_ABSENT = 1e-3
"""A structure that is nowhere in a slice more probable than this is not judged there."""


def refined(propagator: Propagator, propagated: PropagatedLabels, evidence: Evidence) -> PropagatedLabels:
    """Return propagated labels with the probabilities that the propagator gives them.

    Parameters
    ----------
    evidence : in the same slices.
    """
    blend = propagated.blend
    classes = blend.shape[1] - 1
    changes = [_change(propagator, evidence, number, blend[:, number + 1]) for number in range(classes)]
    logits = blend.clamp_min(_SMALLEST_PROBABILITY).log()
    logits[:, 1:] += torch.cat(changes, dim=1)
    probabilities = logits.softmax(dim=1)
    if classes > 1:
        change = _change(propagator, evidence, classes, 1 - blend[:, BACKGROUND])
        any_class = (propagated_logit(evidence.maps(classes)) + change).sigmoid()
        within = probabilities[:, 1:] / probabilities[:, 1:].sum(dim=1, keepdim=True).clamp_min(1e-6)
        probabilities = torch.cat([1 - any_class, any_class * within], dim=1)
    probabilities = with_order_of_structures(propagated, probabilities)
    variance = propagated.expected_error**2
    share = variance / (variance + PROPAGATOR_ERROR**2)
    weighed = blend.lerp(probabilities, share)
    return propagated._replace(refined=torch.where(propagated.is_one_sided, _without_growth(weighed, blend), weighed))


def _change(propagator: Propagator, evidence: Evidence, structure: int, propagated: Tensor) -> Tensor:
    """Return by how much the propagator changes the logit (B, 1, H, W), zero where the structure is in no pixel.

    Parameters
    ----------
    propagated : (B, H, W), the probability of the structure.
    """
    maps = evidence.maps(structure)
    change = torch.zeros_like(maps[:, :1])
    rows = (propagated.amax(dim=(1, 2)) > _ABSENT).nonzero().flatten()
    if len(rows):
        change[rows] = propagator(maps[rows], evidence.position[rows])
    return change


def _without_growth(probabilities: Tensor, blend: Tensor) -> Tensor:
    """Let no structure be more probable than propagated labels make it.

    Beyond the outermost annotated slice the tissue of a structure often goes on where the structure ends: the
    propagator can tell that it ends, but not that it goes on.
    """
    structures = torch.minimum(probabilities[:, 1:], blend[:, 1:])
    return torch.cat([1 - structures.sum(dim=1, keepdim=True), structures], dim=1)


def with_order_of_structures(propagated: PropagatedLabels, probabilities: Tensor) -> Tensor:
    """Let position decide between two structures where one side says the one and the other side the other.

    A border parallel to the slices falls somewhere between two annotated ones. Networks know slices of either
    structure, but hardly any in which one gives way to the other, and would move all of a slice across the border.
    """
    if probabilities.shape[1] == 2:
        return probabilities
    lower, upper = (side.argmax(dim=1, keepdim=True) for side in (propagated.lower, propagated.upper))
    at_border = (lower != upper) & (lower != BACKGROUND) & (upper != BACKGROUND)
    structures = propagated.blend[:, 1:]
    any_structure = 1 - probabilities[:, :1]
    by_position = any_structure * structures / structures.sum(dim=1, keepdim=True).clamp_min(1e-8)
    return torch.where(at_border, torch.cat([probabilities[:, :1], by_position], dim=1), probabilities)
