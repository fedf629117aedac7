"""A proposed mask beside propagated labels: the weight of each follows its expected error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from knowsam.inference.ensemble import HeldOutWeight, ensemble, self_assessed_error
from knowsam.propagation.most_probable import most_probable
from knowsam.propagation.propagated_labels import slice_dice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from knowsam.propagation.label_propagation import Outline
    from knowsam.propagation.propagated_labels import PropagatedLabels


class ProposedLabels:
    """A proposed mask on network planes, weighed as students of other volumes are.

    Unlike these it knows where a structure ends, by the place that registration has found: beyond the outermost
    annotated slice it has nearly all the weight.

    Parameters
    ----------
    probabilities : (N, C, H, W), of all slices.
    """

    def __init__(self, probabilities: Tensor) -> None:
        self._probabilities = probabilities
        self._weight = self._taken_at_its_word = self._at_its_word()

    def compare(self, outlines: Mapping[int, Outline]) -> None:
        """Measure the error of the mask in annotated slices.

        The outermost ones, where it errs more than elsewhere, count only if no other shows a structure.
        """
        indices = sorted(outlines)
        inner = indices[1:-1]
        compared = indices if all(outlines[index].is_empty for index in inner) else inner
        if not compared:
            self._weight = self._taken_at_its_word
            return
        proposed = self._probabilities[compared].float()
        painted = most_probable(torch.stack([outlines[index].distances_px for index in compared]))
        dice = slice_dice(most_probable(proposed), painted, proposed.shape[1])
        self._weight = HeldOutWeight(float(1 - dice.mean()), _mean(self_assessed_error(proposed)))

    def blended(self, propagated: PropagatedLabels, indices: Sequence[int]) -> Tensor:
        """Return probabilities (B, C, H, W) of slices: both errors are weighed as variances are."""
        proposed = self._probabilities[list(indices)].float()
        return ensemble(propagated._replace(beyond_error=None), proposed, self._weight)[0]

    def _at_its_word(self) -> HeldOutWeight:
        errors = torch.cat([self_assessed_error(one[None].float()) for one in self._probabilities])
        error = _mean(errors)
        return HeldOutWeight(1.0 if error is None else error, error)


def _mean(errors: Tensor) -> float | None:
    """Return the mean of errors (B,) that are known, None if none is."""
    mean = float(errors.nanmean())
    return None if mean != mean else mean
