"""Propagated labels, refined by the propagator, whose weight grows with their expected error."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from knowsam.data.annotation import BACKGROUND
from knowsam.propagation.evidence import propagated_logit
from knowsam.propagation.most_probable import most_probable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from torch import Tensor

    from knowsam.inference.proposed_labels import ProposedLabels
    from knowsam.models.propagator import Propagator
    from knowsam.propagation.evidence import Evidence, EvidenceSource
    from knowsam.propagation.label_propagation import LabelPropagation
    from knowsam.propagation.propagated_labels import PropagatedLabels

PROPAGATOR_ERROR = 0.06
"""Error of the propagator, in 1 - Dice, against which that of propagated labels is weighed."""

_SMALLEST_PROBABILITY = 1e-4
_ABSENT = 1e-3
"""The propagator is not asked for a structure that is nowhere in a slice more probable than this."""

_MOST_CACHED_BYTES = 256 << 20
"""Probabilities of slices that are kept; with many classes those asked for longest ago are computed again."""


@dataclass(frozen=True, eq=False)
class Refiner:
    """The propagator and what it needs to refine slices of one volume."""

    propagator: Propagator
    evidence: EvidenceSource

    def probabilities(
        self, propagation: LabelPropagation, propagated: PropagatedLabels, indices: Sequence[int], *, own: bool
    ) -> Tensor:
        """Return the probabilities (B, C, H, W) of the slices that labels were propagated to; for `own` see there."""
        evidence = self.evidence.of(indices, propagated, propagation, own=own)
        return refined(self.propagator, propagated, evidence).probabilities


class RefinedPropagation:
    """Label propagation, refined once for each slice until other labels are propagated to it.

    Parameters
    ----------
    refiner : None leaves propagated labels as they are.
    own : give an annotated slice its own labels, see `LabelPropagation.at`.

    Attributes
    ----------
    proposed : counts beside the propagated labels; None if nothing is proposed.
    """

    def __init__(self, propagation: LabelPropagation, refiner: Refiner | None, *, own: bool) -> None:
        self._propagation, self._refiner, self._own = propagation, refiner, own
        self.proposed: ProposedLabels | None = None
        self._cached: OrderedDict[int, Tensor] = OrderedDict()

    def forget(self, indices: Collection[int]) -> None:
        """Note that other labels are propagated to some slices than before."""
        for index in indices:
            self._cached.pop(index, None)

    def at(self, indices: Sequence[int]) -> PropagatedLabels:
        """Return the labels propagated to some slices."""
        propagated = self._propagation.at(indices, own=self._own)
        propagated = propagated._replace(beyond_error=self._propagation.beyond_error(indices, own=self._own))
        if self._refiner is not None:
            propagated = propagated._replace(refined=self._refined(self._refiner, propagated, indices))
        if self.proposed is not None:
            propagated = propagated._replace(refined=self.proposed.blended(propagated, indices))
        return propagated

    @torch.no_grad()
    def _refined(self, refiner: Refiner, propagated: PropagatedLabels, indices: Sequence[int]) -> Tensor:
        missing = sorted(set(indices) - self._cached.keys())
        if missing:
            new = propagated.rows([indices.index(index) for index in missing])
            found = refiner.probabilities(self._propagation, new, missing, own=self._own)
            self._cached.update((index, own.half()) for index, own in zip(missing, found, strict=True))
        for index in indices:
            self._cached.move_to_end(index)
        probabilities = torch.stack([self._cached[index] for index in indices]).float()
        while len(self._cached) * probabilities[0].nbytes // 2 > _MOST_CACHED_BYTES:
            self._cached.popitem(last=False)
        return probabilities


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
        # The probability of structures that cannot be here goes to background.
        structures = any_class * within * _is_probable(blend[:, 1:])
        probabilities = torch.cat([1 - structures.sum(dim=1, keepdim=True), structures], dim=1)
    probabilities = with_order_of_structures(propagated, probabilities)
    share = _propagator_share(propagated.expected_error**2)
    weighed = blend.lerp(probabilities, share)
    return propagated._replace(refined=torch.where(propagated.is_one_sided, _without_growth(weighed, blend), weighed))


def refined_variance(variance: Tensor) -> Tensor:
    """Return the variance of propagated labels after refinement by the propagator."""
    return _propagator_share(variance) * PROPAGATOR_ERROR**2


def _propagator_share(variance: Tensor) -> Tensor:
    """Return the weight of the propagator beside propagated labels with this variance of the error."""
    return variance / (variance + PROPAGATOR_ERROR**2)


def _change(propagator: Propagator, evidence: Evidence, structure: int, propagated: Tensor) -> Tensor:
    """Return by how much the propagator changes the logit (B, 1, H, W), zero where the structure is in no pixel.

    Parameters
    ----------
    propagated : (B, H, W), the probability of the structure.
    """
    maps = evidence.maps(structure)
    change = torch.zeros_like(maps[:, :1])
    rows = _is_probable(propagated).flatten().nonzero().flatten()
    if len(rows):
        change[rows] = propagator(maps[rows], evidence.position[rows])
    return change


def _is_probable(propagated: Tensor) -> Tensor:
    """Return whether structures (..., H, W) are probable anywhere in the slice, (..., 1, 1)."""
    return propagated.amax(dim=(-2, -1), keepdim=True) > _ABSENT


def _without_growth(probabilities: Tensor, blend: Tensor) -> Tensor:
    """Cap the probability of each structure at that of the propagated labels.

    Beyond the outermost annotated slice the tissue of a structure often goes on where the structure ends: the
    propagator can tell that it ends, but not that it goes on.
    """
    structures = torch.minimum(probabilities[:, 1:], blend[:, 1:])
    return torch.cat([1 - structures.sum(dim=1, keepdim=True), structures], dim=1)


def with_order_of_structures(propagated: PropagatedLabels, probabilities: Tensor) -> Tensor:
    """Let position decide between two structures where each side propagates a different one.

    A border parallel to the slices falls somewhere between two annotated ones. Networks know slices of either
    structure, but hardly any in which one gives way to the other, and would move all of a slice across the border.
    """
    if probabilities.shape[1] == 2:
        return probabilities
    lower, upper = (most_probable(side, keepdim=True) for side in (propagated.lower, propagated.upper))
    at_border = (lower != upper) & (lower != BACKGROUND) & (upper != BACKGROUND)
    structures = propagated.blend[:, 1:]
    any_structure = 1 - probabilities[:, :1]
    by_position = any_structure * structures / structures.sum(dim=1, keepdim=True).clamp_min(1e-8)
    return torch.where(at_border, torch.cat([probabilities[:, :1], by_position], dim=1), probabilities)
