"""Random changes of whole batches of slices: weak for annotated slices, strong for unlabelled ones.

Each returns the sampling grid it used, so that whatever belongs to a slice can be warped along: labels by
`warp_labels`, other maps of any resolution by `knowsam.propagation.sampling.warp`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from knowsam.data.annotation import IGNORE
from knowsam.models.students import IMAGE_CHANNELS
from knowsam.propagation.sampling import warp

if TYPE_CHECKING:
    from knowsam.config import AugmentConfig

_ELASTIC_NODES = 6


def augment_weakly(images: Tensor, config: AugmentConfig, generator: Generator) -> tuple[Tensor, Tensor]:
    """Flip, shift, scale, rotate, bend a little and change brightness and contrast.

    Parameters
    ----------
    images : (B, 3 + K, H, W), grey values in [0, 1], and maps of other kinds that are only warped.
    generator : on the device of the images.

    Returns
    -------
    Images (B, 3 + K, H, W) and the sampling grid (B, H, W, 2) that warped them.
    """
    grid = _sampling_grid(images, config, config.elastic, generator)
    return _change_intensity(warp(images, grid), config, generator), grid


def augment_strongly(images: Tensor, config: AugmentConfig, generator: Generator) -> tuple[Tensor, Tensor]:
    """Do what `augment_weakly` does, bend more and cut a square out, which the grid does not contain."""
    grid = _sampling_grid(images, config, config.strong_elastic, generator)
    return _cut_out(_change_intensity(warp(images, grid), config, generator), config, generator), grid


def warp_labels(labels: Tensor, grid: Tensor) -> Tensor:
    """Sample labels (B, H, W), uint8, at the nearest pixel; beyond the plane is IGNORE."""
    # Zero padding must come out as IGNORE, so every label moves up by one for the time of the warp.
    shifted = ((labels.int() + 1) % (IGNORE + 1)).float().unsqueeze(1)
    warped = F.grid_sample(shifted, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return ((warped[:, 0].round().int() + IGNORE) % (IGNORE + 1)).to(torch.uint8)


def _sampling_grid(images: Tensor, config: AugmentConfig, elastic: float, generator: Generator) -> Tensor:
    return _affine_grid(images, config, generator) + _elastic_offsets(images, elastic, generator)


def _uniform(shape: tuple[int, ...], limit: float, generator: Generator) -> Tensor:
    """Draw from [-limit, limit)."""
    return (2 * torch.rand(shape, generator=generator, device=generator.device) - 1) * limit


def _affine_grid(images: Tensor, config: AugmentConfig, generator: Generator) -> Tensor:
    """Return sampling positions (B, H, W, 2) in [-1, 1], x before y."""
    batch, _, height, width = images.shape
    angle = _uniform((batch,), math.radians(config.rotate_deg), generator)
    scale = 1 + _uniform((batch,), config.scale, generator)
    shift = _uniform((batch, 2), 2 * config.shift, generator)
    flip = 1 - 2 * (torch.rand((batch, 2), generator=generator, device=generator.device) < config.flip).float()
    cos, sin = angle.cos() * scale, angle.sin() * scale
    # Positions are relative to the sides of the plane; the aspect keeps a rotation from shearing a rectangle.
    aspect = height / width
    rows = (torch.stack([cos, -sin * aspect], 1) * flip, torch.stack([sin / aspect, cos], 1) * flip)
    theta = torch.cat([torch.stack(rows, 1), shift.unsqueeze(2)], dim=2)
    return F.affine_grid(theta, [batch, 1, height, width], align_corners=False)


def _elastic_offsets(images: Tensor, limit: float, generator: Generator) -> Tensor:
    """Return smooth displacements (B, H, W, 2) of the sampling positions."""
    nodes = _uniform((len(images), 2, _ELASTIC_NODES, _ELASTIC_NODES), 2 * limit, generator)
    smooth = F.interpolate(nodes, size=images.shape[-2:], mode="bicubic", align_corners=True)
    return smooth.movedim(1, -1)


def _change_intensity(images: Tensor, config: AugmentConfig, generator: Generator) -> Tensor:
    shape = (len(images), 1, 1, 1)
    contrast = 1 + _uniform(shape, config.intensity, generator)
    brightness = _uniform(shape, config.intensity / 2, generator)
    return _with_grey(images, ((_grey(images) - 0.5) * contrast + 0.5 + brightness).clamp(0, 1))


def _cut_out(images: Tensor, config: AugmentConfig, generator: Generator) -> Tensor:
    """Replace one square at a random place of each image by the image's mean."""
    batch, _, height, width = images.shape
    center = torch.rand((batch, 2, 1, 1), generator=generator, device=generator.device)
    y = torch.linspace(0, 1, height, device=images.device).view(1, height, 1)
    x = torch.linspace(0, 1, width, device=images.device).view(1, 1, width)
    half = config.strong_cutout / 2
    inside = ((y - center[:, 0]).abs() < half) & ((x - center[:, 1]).abs() < half)
    grey = _grey(images)
    return _with_grey(images, torch.where(inside.unsqueeze(1), grey.mean(dim=(1, 2, 3), keepdim=True), grey))


def _grey(images: Tensor) -> Tensor:
    return images[:, :IMAGE_CHANNELS]


def _with_grey(images: Tensor, grey: Tensor) -> Tensor:
    return torch.cat([grey, images[:, IMAGE_CHANNELS:]], dim=1)
