"""Propagated labels of some slices: one outline from each side, blended by position."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from knowsam.propagation.most_probable import most_probable

_FAR_SLICES = 10.0
"""Distance to the nearest annotated slice from which on it counts as far."""


class PropagatedLabels(NamedTuple):
    """Labels of some slices, propagated from the annotated slices on both sides.

    Parameters
    ----------
    lower, upper : (B, C, H, W), signed distances in px propagated from the annotated slice below and above; beyond the
        outermost one both come from it.
    position : (B, 1, 1, 1), between the two, 0 at the lower, 1 at the upper.
    nearest_slices : (B, 1, 1, 1), distance to the nearer of them.
    softness_px : distance over which a structure fades into the next.
    refined : (B, C, H, W), probabilities that take the place of the blend of both outlines; None without any.
    source_error : (B, 1, 1, 1), how wrong the outlines that were propagated probably are themselves, in 1 - Dice; 0
        where somebody has drawn them, None where somebody has drawn all of them.
    beyond_error : (B, 1, 1, 1), see `LabelPropagation.beyond_error`; None where that was not asked for.
    """

    lower: Tensor
    upper: Tensor
    position: Tensor
    nearest_slices: Tensor
    softness_px: float
    refined: Tensor | None = None
    source_error: Tensor | None = None
    beyond_error: Tensor | None = None

    @property
    def probabilities(self) -> Tensor:
        """(B, C, H, W), sum one."""
        return self.blend if self.refined is None else self.refined

    @property
    def blend(self) -> Tensor:
        """(B, C, H, W), sum one, the probabilities of both outlines, blended by position."""
        lower, upper = ((side / self.softness_px).softmax(dim=1) for side in (self.lower, self.upper))
        return lower.lerp(upper, self.position)

    @property
    def channels(self) -> Tensor:
        """(B, 4 C, H, W), in [-1, 1]: for each class both outlines, their blend, and how far the annotation is."""
        sides = [torch.tanh(side / self.softness_px) for side in (self.lower, self.upper)]
        far = torch.tanh(self.nearest_slices / _FAR_SLICES).expand_as(self.lower)
        return torch.cat([*sides, 2 * self.blend - 1, far], dim=1)

    @property
    def is_one_sided(self) -> Tensor:
        """(B, 1, 1, 1), whether the slice lies beyond the outermost annotated one."""
        return (self.position == 0) & (self.nearest_slices > 0)

    @property
    def is_drawn(self) -> Tensor:
        """(B, 1, 1, 1), whether somebody has drawn the outline of the slice itself."""
        return (self.nearest_slices == 0) & (self.source_variance == 0)

    @property
    def expected_error(self) -> Tensor:
        """(B, 1, 1, 1), the expected error of the blend, in 1 - Dice; 1 beyond the outermost annotated slice.

        Only what propagation adds to the errors of the outlines themselves, see `source_variance`. Were the errors of
        both sides independent and proportional to their distance, their disagreement would tell.
        """
        dice = slice_dice(most_probable(self.lower), most_probable(self.upper), self.lower.shape[1])
        return self._expected_error(1 - dice)

    @property
    def source_variance(self) -> Tensor:
        """(B, 1, 1, 1), what the outlines that were propagated add to the variance of the error."""
        return torch.zeros_like(self.position) if self.source_error is None else self.source_error**2

    @property
    def variance(self) -> Tensor:
        """(B, 1, 1, 1), of the error of the blend: what propagation adds, and what the outlines had before."""
        return self.expected_error**2 + self.source_variance

    @property
    def extrapolated_variance(self) -> Tensor:
        """(B, 1, 1, 1), as `variance`, but beyond the outermost annotated slice by `beyond_error`, if that is known."""
        if self.beyond_error is None:
            return self.variance
        return torch.where(self.is_one_sided, self.beyond_error**2 + self.source_variance, self.variance)

    def expected_error_of(self, number: int) -> Tensor:
        """Return the expected error of the blend in one class, (B,), see `expected_error`."""
        lower, upper = (most_probable(side) == number for side in (self.lower, self.upper))
        return self._expected_error(1 - slice_dice(lower, upper, 2)).flatten()

    def _expected_error(self, disagreement: Tensor) -> Tensor:
        near, far = self.position, 1 - self.position
        expected = disagreement.view(-1, 1, 1, 1) * math.sqrt(2) * near * far / (near**2 + far**2).sqrt()
        return torch.where(self.is_one_sided, torch.ones_like(expected), expected)

    def rows(self, rows: list[int]) -> PropagatedLabels:
        """Return some of the slices, as they were propagated."""
        lower, upper, position, nearest_slices = (maps[rows] for maps in self[:4])
        error = None if self.source_error is None else self.source_error[rows]
        return PropagatedLabels(lower, upper, position, nearest_slices, self.softness_px, source_error=error)

    def mixed_with(self, own: Tensor, mixing_rate: Tensor) -> PropagatedLabels:
        """Return what would be propagated to the slices if they lay nearer to the annotated ones.

        Parameters
        ----------
        own : (B, C, H, W), signed distances in the slices themselves.
        mixing_rate : (B, 1, 1, 1), in [0, 1]; 0 is the slice's own outline, 1 the propagated one.
        """
        return self._replace(
            lower=own.lerp(self.lower, mixing_rate),
            upper=own.lerp(self.upper, mixing_rate),
            nearest_slices=(mixing_rate * self.nearest_slices).clamp_min(0.5),
        )


def slice_dice(one: Tensor, other: Tensor, classes: int) -> Tensor:
    """Return the Dice of class indices (B, H, W), mean over the classes that either holds; (B,), 1 where none does."""
    total, held = torch.zeros(len(one), device=one.device), torch.zeros(len(one), device=one.device)
    for index in range(1, classes):
        here, there = one == index, other == index
        size = (here.sum(dim=(1, 2)) + there.sum(dim=(1, 2))).float()
        total = total + torch.where(size > 0, 2 * (here & there).sum(dim=(1, 2)) / size.clamp_min(1), 0.0)
        held = held + (size > 0)
    return torch.where(held > 0, total / held.clamp_min(1), 1.0)
