"""Bilinear sampling of maps at any position, on every device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(maps: Tensor, grid: Tensor) -> Tensor:
    """Sample maps bilinearly; beyond the plane its edge goes on.

    Parameters
    ----------
    maps : (B, K, h, w).
    grid : sampling positions (B, H, W, 2), x before y, in [-1, 1] from side to side.

    Returns
    -------
    (B, K, H, W), whatever the resolution of the maps.
    """
    h, w = maps.shape[-2:]
    # Positions are kept on the outermost pixels, since MPS has no padding but zeros in many versions of PyTorch.
    x, y = (grid[..., i].clamp(1 / n - 1, 1 - 1 / n) for i, n in enumerate((w, h)))
    inside = torch.stack([x, y], dim=-1)
    return F.grid_sample(maps, inside, mode="bilinear", padding_mode="zeros", align_corners=False)
