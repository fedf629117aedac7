"""The loss of one mask for each slice."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

_DICE_WEIGHT = 0.5
_DICE_SMOOTHING_PX = 20.0


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return cross-entropy and Dice loss of slices (B, 1, H, W)."""
    probabilities = logits.sigmoid()
    overlap = (probabilities * target).sum(dim=(1, 2, 3))
    size = (probabilities + target).sum(dim=(1, 2, 3))
    dice = (2 * overlap + _DICE_SMOOTHING_PX) / (size + _DICE_SMOOTHING_PX)
    return F.binary_cross_entropy_with_logits(logits, target) + _DICE_WEIGHT * (1 - dice).mean()
