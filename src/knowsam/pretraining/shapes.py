"""Random structures as level functions: (N, H, W), in pixels, positive inside."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from knowsam.pretraining.random_source import RandomSource

NOWHERE = -99.0
"""Level of slices that a structure does not reach."""


@dataclass(frozen=True)
class Place:
    """Where a structure lies in a volume.

    Parameters
    ----------
    shape : (N, H, W) of the volume. slice_px : distance of neighbouring slices in pixels.
    center : row, column. middle : slice. half_length : slices to either end. radius : in pixels.
    """

    shape: tuple[int, int, int]
    slice_px: float
    center: tuple[float, float]
    middle: float
    half_length: float
    radius: float

    @property
    def slices(self) -> Tensor:
        """(N, 1, 1), index of each slice."""
        return torch.arange(self.shape[0]).float()[:, None, None]

    def distance(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Return how far each pixel lies below and right of a path (N,) each: two of (N, H, W)."""
        row, column = torch.arange(self.shape[1]).float(), torch.arange(self.shape[2]).float()
        down = row[None, :, None] - rows[:, None, None]
        right = column[None, None, :] - columns[:, None, None]
        return down.expand(self.shape), right.expand(self.shape)


def blob(source: RandomSource, place: Place, lobes: int) -> Tensor:
    """Return one body of several lobes that drifts, turns, tapers to its ends and has an uneven surface."""
    level = _lobe(source, place)
    for _ in range(lobes - 1):
        level = torch.maximum(level, _lobe(source, _beside(source, place)))
    reach = level > NOWHERE / 2
    roughness = source.log_uniform(0.04, 0.4) * place.radius
    px = source.uniform(0.45, 1.3) * place.radius
    level = level + roughness * _surface(source, place, max(px, 3.0), px)
    if source.happens(0.5):
        px = source.uniform(0.2, 0.45) * place.radius
        level = level + 0.35 * roughness * _surface(source, place, max(px, 2.5), px)
    return torch.where(reach, level, NOWHERE)


def tubes(source: RandomSource, place: Place, branches: int) -> Tensor:
    """Return tubes that run together up to some slice and part beyond it."""
    count, side = place.shape[0], math.sqrt(place.shape[1] * place.shape[2])
    slices = place.slices.flatten()
    parting = place.middle + source.uniform(-0.6, 0.6) * place.half_length
    smoothness = max(2.0, source.uniform(2, 6) * place.radius / place.slice_px)
    trunk = [at + source.uniform(0.3, 2) * place.radius * source.curve(count, smoothness) for at in place.center]
    level = torch.full(place.shape, NOWHERE)
    for _ in range(branches):
        angle, far = source.uniform(0, 2 * math.pi), source.uniform(0.1, 0.35) * side
        steepness = max(1.0, source.uniform(0.5, 3) * place.radius / place.slice_px)
        apart = torch.sigmoid((slices - parting) / steepness * (1 if source.happens(0.8) else -1)) * far
        rows, columns = (
            at + apart * way + 0.3 * place.radius * source.curve(count, smoothness)
            for at, way in zip(trunk, (math.sin(angle), math.cos(angle)), strict=True)
        )
        swelling = 1 + source.uniform(0.05, 0.3) * source.curve(count, smoothness)
        radius = place.radius * source.uniform(0.6, 1.2) * swelling
        level = torch.maximum(level, radius[:, None, None] - torch.hypot(*place.distance(rows, columns)))
    uneven = source.uniform(0.02, 0.2) * place.radius
    level = level + uneven * _surface(source, place, max(place.radius, 3.0), place.radius)
    return torch.where((place.slices - place.middle).abs() <= place.half_length, level, NOWHERE)


def partition(source: RandomSource, shape: tuple[int, int, int], parts: int, slices: float, px: float) -> Tensor:
    """Return the index (N, H, W) of the part each voxel belongs to; smooth parts that fill the volume."""
    # Several times faster than argmax along this dimension.
    return source.fields(parts, shape, slices, px).max(dim=0).indices


def cut(source: RandomSource, place: Place) -> Tensor:
    """Return the level of one side of a wavy plane through a structure, across the slices or along them."""
    side = math.sqrt(place.shape[1] * place.shape[2])
    along = source.normal() * (3 if source.happens(0.5) else 0.3)
    angle = source.uniform(0, 2 * math.pi)
    offset = place.slices - place.middle - source.uniform(-0.3, 0.3) * place.half_length
    still = torch.ones(place.shape[0])
    down, right = place.distance(place.center[0] * still, place.center[1] * still)
    level = along * offset * place.slice_px + math.sin(angle) * down + math.cos(angle) * right
    px = source.uniform(0.2, 0.6) * side
    waves = source.uniform(0.02, 0.12) * side * _surface(source, place, px, px)
    return level / math.hypot(along, 1) + waves


def _lobe(source: RandomSource, place: Place) -> Tensor:
    """Return an ellipse that drifts and turns from slice to slice and shrinks, or breaks off, towards both ends."""
    count, radius = place.shape[0], place.radius
    smoothness = max(2.0, source.uniform(1, 3) * radius / place.slice_px)
    away = ((place.slices.flatten() - place.middle) / max(place.half_length, 1)).abs()
    taper = (1 - away.clamp(max=1) ** source.log_uniform(1.2, 8)).clamp_min(0).sqrt()
    swelling = source.curve(count, max(2.0, source.uniform(0.7, 2) * radius / place.slice_px))
    radii = radius * taper * (1 + source.uniform(0, 0.25) * swelling)
    drift = source.log_uniform(0.08, 0.7) * radius
    rows, columns = (at + drift * source.curve(count, smoothness) for at in place.center)
    if source.happens(0.4):
        lean = [
            (source.normal() * 0.5 * place.slice_px * (place.slices.flatten() - place.middle)).clamp(-radius, radius)
            for _ in range(2)
        ]
        rows, columns = rows + lean[0], columns + lean[1]
    stretch = source.log_uniform(0.55, 1.8)
    turn = source.uniform(0, math.pi) + source.uniform(0, 0.5) * source.curve(count, smoothness)
    down, right = place.distance(rows, columns)
    cosine, sine = turn.cos()[:, None, None], turn.sin()[:, None, None]
    distance = torch.hypot((cosine * down + sine * right) / stretch, (cosine * right - sine * down) * stretch)
    return torch.where((away < 1)[:, None, None], radii[:, None, None] - distance, NOWHERE)


def _beside(source: RandomSource, place: Place) -> Place:
    """Return a smaller place that overlaps with another one."""
    radius, half_length = place.radius, place.half_length
    rows, columns = (at + 0.8 * radius * source.normal() for at in place.center)
    return Place(
        place.shape,
        place.slice_px,
        (rows, columns),
        place.middle + 0.6 * half_length * source.normal(),
        half_length * source.uniform(0.35, 1),
        radius * source.uniform(0.35, 0.9),
    )


def _surface(source: RandomSource, place: Place, px: float, thickness_px: float) -> Tensor:
    return source.fields(1, place.shape, max(1.5, thickness_px / place.slice_px), px)[0]
