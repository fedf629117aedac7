"""Grey values of a synthetic volume: contrast, texture, blur, shading and noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from knowsam.propagation.registration import gaussian

if TYPE_CHECKING:
    from collections.abc import Sequence

    from knowsam.pretraining.random_source import RandomSource


def image_of(source: RandomSource, parts: Tensor, greys: Sequence[float], slice_px: float) -> Tensor:
    """Return an image (N, H, W), in [0, 1].

    Parameters
    ----------
    parts : (N, H, W), the part each voxel belongs to. greys : mean grey value of each part.
    """
    side = math.sqrt(parts.shape[1] * parts.shape[2])
    image = torch.tensor(greys, dtype=torch.float32)[parts]
    image = _textured(source, image, parts, len(greys), slice_px)
    image = gaussian(image, source.uniform(0.35, 1.4))
    if source.happens(0.6):
        image = _partial_volume(image, source.uniform(0.25, 0.8))
    shading = source.fields(1, _shape(parts), max(2.0, 0.7 * side / slice_px), 0.7 * side)[0]
    image = image * torch.exp(source.uniform(0, 0.35) * shading)
    image = image + _noise(source, image)
    if source.happens(0.3):
        image = image * (1 + 0.06 * source.white(len(image), 1, 1))
    low, high = (float(value) for value in np.percentile(image.numpy(), [0.5, 99.5]))
    return ((image - low) / max(high - low, 1e-6)).clamp(0, 1) ** source.log_uniform(0.6, 1.6)


def _textured(source: RandomSource, image: Tensor, parts: Tensor, count: int, slice_px: float) -> Tensor:
    """Add to each part a texture of its own: coarse, middle and fine grain, and grain of single voxels."""
    side = math.sqrt(parts.shape[1] * parts.shape[2])
    strength = source.log_uniform(0.02, 0.25)
    grains = ((source.uniform(0.2, 0.5) * side, 0.25), (source.uniform(4, 10), strength))
    for px, most in (*grains, (source.uniform(1.5, 3), strength)):
        amplitude = _skewed(source, count) * most * source.uniform(0, 1)
        image = image + amplitude[parts] * source.fields(1, _shape(parts), max(1.2, px / slice_px), px)[0]
    return image + (_skewed(source, count) * source.log_uniform(0.005, 0.12))[parts] * source.white(*parts.shape)


def _noise(source: RandomSource, image: Tensor) -> Tensor:
    """Return noise, at times correlated between pixels, at times stronger where it is bright."""
    amplitude = 2 * source.log_uniform(0.008, 0.14) * image.std()
    noise = source.white(*image.shape)
    if source.happens(0.6):
        noise = gaussian(noise, source.uniform(0.4, 1.2))
        noise = noise / noise.std()
    if source.happens(0.3):
        noise = noise * (0.3 + (image - image.min()) / (image.max() - image.min()))
    return amplitude * noise


def _partial_volume(image: Tensor, sigma_slices: float) -> Tensor:
    """Blur across slices: a slice of a scanner shows a part of its neighbours."""
    weights = torch.softmax(-0.5 * (torch.arange(-2, 3) / sigma_slices) ** 2, dim=0)
    beyond = F.pad(image.movedim(0, -1), (2, 2), mode="replicate").movedim(-1, 0)
    blurred = [weight * beyond[n : n + len(image)] for n, weight in enumerate(weights)]
    return torch.stack(blurred).sum(dim=0)


def _skewed(source: RandomSource, count: int) -> Tensor:
    """Draw values in [0, 1], most of them small."""
    return torch.from_numpy(source.numbers.uniform(0, 1, count) ** 2).float()


def _shape(parts: Tensor) -> tuple[int, int, int]:
    return parts.shape[0], parts.shape[1], parts.shape[2]
