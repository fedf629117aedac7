"""UA-MT, uncertainty-aware mean teacher (Yu, Wang, Li, Fu, Heng, MICCAI 2019, arXiv 1907.07034).

A mean teacher whose targets count only where it is certain, by T passes with dropout and noise of their own:

    mu          = 1/T sum_t softmax f(x'_t; theta', eta'_t),   u = H(mu)
    consistency = sum_v [u_v < h] || p_v - p'_v ||^2 / sum_v [u_v < h]
    h(f)        = ( 3/4 + 1/4 exp(-5 (1 - f)^2) ) log C

with p and p' as for the mean teacher, the squared norm as the mean over classes, and the mean over both students.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from knowsam.models.entropy import entropy
from knowsam.training.losses import consistency_weight
from knowsam.training.semi_supervised.averaged_students import noisy
from knowsam.training.semi_supervised.method import SemiSupervisedMethod, Terms

if TYPE_CHECKING:
    from torch import Tensor

    from knowsam.training.semi_supervised.method import Seen

PASSES = 8
"""T of the publication."""

FIRST_SHARE = 0.75
"""Share of the largest entropy below which a pixel counts as certain at the beginning; at the end all do."""

STEEPNESS = 5.0


class UncertaintyAwareMeanTeacher(SemiSupervisedMethod):
    """Lets each student agree with its own average where that is certain."""

    title = "uncertainty-aware mean teacher (Yu et al. 2019)"

    def forward(self, seen: Seen) -> Terms:
        """Return the consistency on unlabelled slices."""
        images, rows = seen.images[seen.unlabelled], seen.unlabelled
        target = self.averaged(noisy(images, seen.random), dropout=True)
        unet, vnet = torch.zeros_like(target.unet.float()), torch.zeros_like(target.vnet.float())
        for _ in range(PASSES):
            again = self.averaged(noisy(images, seen.random), dropout=True)
            unet += again.unet.float().softmax(1) / PASSES
            vnet += again.vnet.float().softmax(1) / PASSES
        threshold = certain_below(seen.progress, unet.shape[1])
        by_unet = masked_difference(seen.logits.unet[rows], target.unet, entropy(unet) < threshold)
        by_vnet = masked_difference(seen.logits.vnet[rows], target.vnet, entropy(vnet) < threshold)
        return Terms((by_unet + by_vnet) / 2)


def certain_below(progress: float, classes: int) -> float:
    """Return h(f), the entropy in nats below which a prediction of so many classes counts as certain."""
    ramp = consistency_weight(progress, peak=1 - FIRST_SHARE, steepness=STEEPNESS)
    return (FIRST_SHARE + ramp) * math.log(classes)


def masked_difference(student: Tensor, teacher: Tensor, certain: Tensor) -> Tensor:
    """Return the mean squared difference of probabilities over the certain pixels; zero where there are none.

    Parameters
    ----------
    student, teacher : logits (U, C, H, W).
    certain : (U, H, W), bool.
    """
    squared = (student.float().softmax(1) - teacher.float().softmax(1)).square().mean(dim=1)
    return (squared * certain).sum() / certain.sum().clamp(min=1)
