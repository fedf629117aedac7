"""A proposed mask beside propagated labels: the weight of each follows its expected error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from knowsam.propagation.most_probable import most_probable
from knowsam.propagation.propagated_labels import slice_dice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from knowsam.propagation.label_propagation import Outline
    from knowsam.propagation.propagated_labels import PropagatedLabels

ERROR_PENALTY = 1.5
"""Factor on the error of a proposed mask, relative to that of propagated labels."""

HALF_DISTANCE_SLICES, HALF_DISTANCE_BEYOND_SLICES = 3.0, 1.0
"""Distance from the nearest annotated slice at which a proposed mask has half of its largest weight.

The second one holds beyond the outermost annotated slice, where propagated labels are extrapolated.
"""

_UNSEEN_ERROR = 0.05
"""Error of a proposed mask beside that by which finished volumes disagree; of a single volume it is all there is."""

_SMALLEST_ERROR = 0.01


class ProposedLabels:
    """A proposed mask on network planes.

    It is wrong as far as those who propose it disagree, by a factor that the annotated slices tell: at the tips of a
    structure, which are often annotated, it errs more than in the middle. Beyond the outermost annotated slice it is
    wrong as far as there, if that is more.

    Parameters
    ----------
    probabilities : (N, C, H, W), of all slices.
    """

    def __init__(self, probabilities: Tensor) -> None:
        self._probabilities = probabilities
        self._disagreement = _disagreement(probabilities) + _UNSEEN_ERROR
        self._errors = self._disagreement

    def compare(self, outlines: Mapping[int, Outline]) -> None:
        """Estimate the error of the mask from the outlines of annotated slices."""
        self._errors = self._disagreement.clone()
        if not outlines:
            return
        indices = sorted(outlines)
        proposed = most_probable(self._probabilities[indices].float())
        painted = most_probable(torch.stack([outlines[index].distances_px for index in indices]))
        area = ((proposed > 0).sum(dim=(1, 2)) + (painted > 0).sum(dim=(1, 2))).float()
        error = 1 - slice_dice(proposed, painted, self._probabilities.shape[1])
        if area.any():
            self._errors = self._disagreement * (error * area).sum() / (self._disagreement[indices] * area).sum()
        for beyond, nearest in ((slice(None, indices[0]), error[0]), (slice(indices[-1] + 1, None), error[-1])):
            self._errors[beyond] = self._errors[beyond].maximum(nearest)

    def blended(self, propagated: PropagatedLabels, indices: Sequence[int]) -> Tensor:
        """Return probabilities (B, C, H, W) of slices: both errors are weighed as variances are.

        Near a slice that somebody has drawn, its outline counts most.
        """
        rows = list(indices)
        error = self._errors[rows].clamp(_SMALLEST_ERROR, 1).view(-1, 1, 1, 1)
        variance = propagated.variance
        by_error = variance / (variance + ERROR_PENALTY * error**2)
        distance = propagated.nearest_slices
        half = torch.where(propagated.is_one_sided, HALF_DISTANCE_BEYOND_SLICES, HALF_DISTANCE_SLICES)
        by_distance = torch.where(propagated.source_variance > 0, 1.0, distance / (distance + half))
        share = torch.minimum(by_error, by_distance)
        return propagated.probabilities.lerp(self._probabilities[rows].float(), share)


def _disagreement(probabilities: Tensor) -> Tensor:
    """Return for each slice (N,) the error, in 1 - Dice, that its probabilities say its most probable labels have.

    It is 1 where nothing is proposed, since a smaller error there gave worse results.
    """
    right, all_of_both = torch.zeros(2, len(probabilities), device=probabilities.device)
    for index in range(len(probabilities)):
        own = probabilities[index].float()
        labels = most_probable(own[None])[0]
        for number in range(1, len(own)):
            here = labels == number
            right[index] += 2 * own[number][here].sum()
            all_of_both[index] += here.sum() + own[number].sum()
    return torch.where(all_of_both > 0, 1 - right / all_of_both.clamp_min(1e-6), 1.0)
