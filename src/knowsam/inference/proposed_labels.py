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
    annotated slice what is propagated counts as wrong. But the mask is as wrong there as in that slice, if that is
    more.

    Parameters
    ----------
    probabilities : (N, C, H, W), of all slices.
    """

    def __init__(self, probabilities: Tensor) -> None:
        self._probabilities = probabilities
        self._expected_errors = torch.cat([self_assessed_error(one[None].float()) for one in probabilities])
        error = _mean(self._expected_errors)
        errors = torch.full_like(self._expected_errors, 1.0 if error is None else error)
        self._errors, self._self_assessed_error = self._at_its_word = errors, error

    def compare(self, outlines: Mapping[int, Outline]) -> None:
        """Measure the error of the mask in annotated slices; where both show nothing, they tell nothing.

        The outermost ones, where it errs more than elsewhere, count only if no other shows a structure.
        """
        self._errors, self._self_assessed_error = self._at_its_word
        if not outlines:
            return
        indices = sorted(outlines)
        proposed = most_probable(self._probabilities[indices].float())
        painted = most_probable(torch.stack([outlines[index].distances_px for index in indices]))
        shown = ((proposed > 0) | (painted > 0)).any(dim=(1, 2))
        if not shown.any():
            return
        errors = 1 - slice_dice(proposed, painted, self._probabilities.shape[1])
        is_inner_empty = all(outlines[index].is_empty for index in indices[1:-1])
        compared = slice(None) if is_inner_empty else slice(1, -1)
        self._self_assessed_error = _mean(self._expected_errors[indices[compared]])
        self._errors = errors[compared][shown[compared]].mean().repeat(len(self._probabilities))
        for beyond, nearest in ((slice(None, indices[0]), errors[0]), (slice(indices[-1] + 1, None), errors[-1])):
            self._errors[beyond] = self._errors[beyond].maximum(nearest)

    def blended(self, propagated: PropagatedLabels, indices: Sequence[int]) -> Tensor:
        """Return probabilities (B, C, H, W) of slices: both errors are weighed as variances are."""
        rows = list(indices)
        weight = HeldOutWeight(self._errors[rows].view(-1, 1, 1, 1), self._self_assessed_error)
        return ensemble(propagated._replace(beyond_error=None), self._probabilities[rows].float(), weight)[0]


def _mean(errors: Tensor) -> float | None:
    """Return the mean of errors (B,) that are known, None if none is."""
    mean = float(errors.nanmean())
    return None if mean != mean else mean
