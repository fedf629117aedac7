"""Dense registration of slices to each other: how far, and where to, each pixel moves from one slice to another.

Lucas and Kanade, IJCAI 1981, in its dense, iterated, coarse-to-fine form, for whole batches of slices.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from knowsam.propagation.sampling import warp

_LEVELS = 3
_COARSEST_PX = 8
_ITERATIONS = 4
_LARGEST_STEP_PX = 2.0

_FLATNESS = 0.01
"""Where the image, of unit variance, changes less than this, nothing moves."""

_SIGMA_SLICES = 1.2
"""Radius in which slices, which move alike, lend each other evidence."""


def register(fixed: Tensor, moving: Tensor, sigma_px: float, check: Callable[[], None] | None = None) -> Tensor:
    """Return the displacements that bring each moving image onto the fixed one.

    Parameters
    ----------
    fixed, moving : (N, H, W), of about unit variance; consecutive slices, since neighbours lend each other evidence.
    sigma_px : radius of the neighbourhood that moves together, the standard deviation of a Gaussian.
    check : called regularly; an exception it raises stops the work.

    Returns
    -------
    (N, 2, H, W), in px, x before y: ``displaced(moving, flow)`` resembles `fixed`.
    """
    pyramid = _pyramid(torch.stack([fixed, moving], dim=1))
    flow = torch.zeros_like(pyramid[-1])
    for images in reversed(pyramid):
        finer = images.shape[-2:]
        if flow.shape[-2:] != finer:
            ratio = torch.tensor([finer[1] / flow.shape[-1], finer[0] / flow.shape[-2]], device=flow.device)
            flow = F.interpolate(flow, size=finer, mode="bilinear", align_corners=False) * ratio.view(1, 2, 1, 1)
        for _ in range(_ITERATIONS):
            if check is not None:
                check()
            flow = flow + _step(images[:, :1], images[:, 1:], flow, sigma_px)
    return flow


def displaced(maps: Tensor, flow: Tensor) -> Tensor:
    """Sample maps (N, K, H, W) at displaced positions (N, 2, H, W), in px; beyond the plane its edge goes on."""
    h, w = flow.shape[-2:]
    x = torch.arange(w, device=flow.device, dtype=flow.dtype)
    y = torch.arange(h, device=flow.device, dtype=flow.dtype).unsqueeze(1)
    grid = torch.stack([(2 * (x + flow[:, 0]) + 1) / w - 1, (2 * (y + flow[:, 1]) + 1) / h - 1], dim=-1)
    return warp(maps, grid)


def gaussian(maps: Tensor, sigma_px: float) -> Tensor:
    """Smooth maps (..., H, W) within the plane, whose edge goes on beyond it."""
    h, w = maps.shape[-2:]
    return _smoothing(h, sigma_px, maps) @ maps @ _smoothing(w, sigma_px, maps).T


def _smoothing(length: int, sigma_px: float, like: Tensor) -> Tensor:
    """Return the matrix (length, length) that smooths a line; on a small plane it is faster than a convolution."""
    radius = math.ceil(3 * sigma_px)
    offsets = torch.arange(-radius, radius + 1, device=like.device)
    weights = torch.softmax(-(offsets.to(like.dtype) ** 2) / (2 * sigma_px**2), dim=0)
    rows = torch.arange(length, device=like.device).unsqueeze(1)
    columns = (rows + offsets).clamp(0, length - 1)
    return like.new_zeros((length, length)).scatter_add_(1, columns, weights.expand(length, -1))


def _pyramid(images: Tensor) -> list[Tensor]:
    """Return images (N, K, H, W) from fine to coarse, each half the size of the one before."""
    levels = [images]
    while len(levels) < _LEVELS and min(levels[-1].shape[-2:]) >= 2 * _COARSEST_PX:
        levels.append(F.avg_pool2d(levels[-1], kernel_size=2, ceil_mode=True))
    return levels


def _step(fixed: Tensor, moving: Tensor, flow: Tensor, sigma_px: float) -> Tensor:
    """Return the displacement (N, 2, H, W) to add: least squares of the linearised difference in a neighbourhood."""
    moved = displaced(moving, flow)
    gx, gy = ((one + other) / 2 for one, other in zip(_gradient(fixed), _gradient(moved), strict=True))
    difference = fixed - moved
    evidence = torch.cat([gx * gx, gx * gy, gy * gy, gx * difference, gy * difference], dim=1)
    xx, xy, yy, xd, yd = _over_slices(gaussian(evidence, sigma_px)).split(1, dim=1)
    xx, yy = xx + _FLATNESS, yy + _FLATNESS
    step = torch.cat([yy * xd - xy * yd, xx * yd - xy * xd], dim=1) / (xx * yy - xy * xy)
    clamped: Tensor = step.clamp(-_LARGEST_STEP_PX, _LARGEST_STEP_PX)
    return clamped


def _gradient(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the central differences of images (N, 1, H, W) along x and y."""
    wide = F.pad(images, (1, 1, 1, 1), mode="replicate")
    return (wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2]) / 2, (wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]) / 2


def _over_slices(evidence: Tensor) -> Tensor:
    smoothed: Tensor = torch.tensordot(_smoothing(len(evidence), _SIGMA_SLICES, evidence), evidence, dims=1)
    return smoothed
