"""The loss of one mask for each slice."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def mask_loss(logits: Tensor, target: Tensor, *, dice_weight: float, smoothing_px: float) -> Tensor:
    """Return cross-entropy and weighted Dice loss of slices (B, 1, H, W).

    Parameters
    ----------
    smoothing_px : areas far below it hardly count in the Dice loss.
    """
    probabilities = logits.sigmoid()
    overlap = (probabilities * target).sum(dim=(1, 2, 3))
    size = (probabilities + target).sum(dim=(1, 2, 3))
    dice = (2 * overlap + smoothing_px) / (size + smoothing_px)
    return F.binary_cross_entropy_with_logits(logits, target) + dice_weight * (1 - dice).mean()
