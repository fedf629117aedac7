"""The entropy of a prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def entropy(probabilities: Tensor) -> Tensor:
    """Return the entropy in nats (B, H, W) of class probabilities (B, C, H, W); its gradient is finite at 0 and 1.

    >>> import torch
    >>> entropy(torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)).abs().item()
    0.0
    """
    return -(probabilities * probabilities.clamp_min(1e-8).log()).sum(dim=1)
