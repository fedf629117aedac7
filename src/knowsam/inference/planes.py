"""Slices of a volume as network planes: from arrays to tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from knowsam.data.annotation import BACKGROUND, IGNORE, LabelArray
from knowsam.data.distances import signed_distances_mm
from knowsam.data.intensity import unit_scale
from knowsam.data.window import Window
from knowsam.propagation.label_propagation import Outline

if TYPE_CHECKING:
    from knowsam.data.proposed_mask import ProposedMask
    from knowsam.data.volume import Volume

_CHUNK_SLICES = 32


@dataclass(frozen=True, eq=False)
class NetworkSlices:
    """All slices of one volume as a network sees them.

    Parameters
    ----------
    planes : (N, H, W), float32 in [0, 1], on the device.
    window : the part of each slice that they show.
    axis : working axis the slices are stacked along.
    volume_shape : (Z, Y, X).
    """

    planes: Tensor
    window: Window
    axis: int
    volume_shape: tuple[int, int, int]

    @property
    def slice_shape(self) -> tuple[int, int]:
        """(H, W) of a slice of the volume."""
        first, second = (n for axis, n in enumerate(self.volume_shape) if axis != self.axis)
        return first, second


def network_planes(
    volume: Volume, axis: int, window: Window, clip_percent: float, *, check: Callable[[], None] | None = None
) -> Tensor:
    """Return all slices along `axis`, resampled to the network plane: (N, H, W), float32 in [0, 1].

    Parameters
    ----------
    check : called regularly; an exception it raises stops the work.
    """
    scale = unit_scale(volume.array, clip_percent, volume.padding)
    slices = np.moveaxis(volume.array, axis, 0)
    chunks = []
    # In chunks, so that a big volume is never held at full size in float32.
    for start in range(0, len(slices), _CHUNK_SLICES):
        if check is not None:
            check()
        crop = scale(window.crop(slices[start : start + _CHUNK_SLICES]))
        chunks.append(resized(torch.from_numpy(crop), window.plane))
    return torch.cat(chunks)


def network_probabilities(mask: ProposedMask, axis: int, window: Window, values: Sequence[int]) -> Tensor:
    """Return the proposal for all slices along `axis`, on the network plane: (N, C, H, W), float16, sum one.

    The rest of the agreement is shared by all other classes alike.

    Parameters
    ----------
    values : label values of the classes, background first; others are background.
    """
    labels, agreement = (np.moveaxis(one, axis, 0) for one in (mask.labels, mask.agreement))
    others = max(len(values) - 1, 1)
    chunks = []
    for start in range(0, len(labels), _CHUNK_SLICES):
        found, agreed = (window.crop(one[start : start + _CHUNK_SLICES]) for one in (labels, agreement))
        found = np.where(np.isin(found, values), found, values[0])
        own = [np.where(found == value, agreed, (1 - agreed) / others).astype(np.float32) for value in values]
        chunks.append(torch.stack([resized(torch.from_numpy(one), window.plane) for one in own], dim=1).half())
    return torch.cat(chunks)


def resized(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return planes (N, H, W) resampled to a size, smoothed where they become coarser."""
    if planes.shape[-2:] == size:
        return planes
    return F.interpolate(planes.unsqueeze(1), size=size, mode="bilinear", antialias=True, align_corners=False)[:, 0]


def network_labels(labels: LabelArray, window: Window) -> Tensor:
    """Return the labels of one slice (rows, columns) on the network plane: (H, W), uint8, IGNORE outside the slice."""
    crop = torch.from_numpy(window.crop(labels, fill=IGNORE).copy())
    return F.interpolate(crop[None, None].float(), size=window.plane, mode="nearest-exact")[0, 0].to(torch.uint8)


def network_scribbles(labels: LabelArray, window: Window) -> LabelArray:
    """Return the scribbles of one slice (rows, columns) on the network plane (H, W), however thin they are.

    Where a part of a pixel is unlabelled, structures count before background; outside the slice there is background.
    """
    crop = torch.from_numpy(window.crop(labels, fill=BACKGROUND).copy())
    values = [int(value) for value in crop.unique() if value != IGNORE]
    if not values:
        return np.full(window.plane, IGNORE, np.uint8)
    shares = F.adaptive_avg_pool2d(torch.stack([crop == value for value in values]).float(), window.plane)
    labelled = shares.sum(dim=0)
    is_structure = torch.tensor([value != BACKGROUND for value in values])[:, None, None]
    first = shares + (is_structure & (shares > 0) & (labelled < 1 - 1e-6))
    largest = torch.tensor(values, dtype=torch.uint8)[first.argmax(dim=0)]
    scribbles: LabelArray = largest.masked_fill(labelled == 0, IGNORE).numpy()
    return scribbles


def network_outline(
    labels: LabelArray,
    classes: int,
    window: Window,
    spacing_mm: tuple[float, float],
    pixel_mm: float,
    most_px: float = math.inf,
) -> Outline:
    """Return the outline of a completely annotated slice (rows, columns) on the network plane.

    Parameters
    ----------
    classes : C, background included.
    spacing_mm : of rows and columns. pixel_mm : side of a network pixel.
    most_px : largest distance, in network pixels.
    """
    crop = window.crop(labels, fill=BACKGROUND)
    distances_mm = signed_distances_mm(crop, classes, spacing_mm, most_px * pixel_mm)
    distances_px = torch.from_numpy(distances_mm / np.float32(pixel_mm))
    present = np.isin(np.arange(classes), crop)
    return Outline(resized(distances_px, window.plane), torch.from_numpy(present), is_empty=not present[1:].any())


def plane_outline(labels: LabelArray, classes: int, most_px: float = math.inf) -> Outline:
    """Return the outline of labels that are on the network plane (H, W) already; otherwise as `network_outline`."""
    size = labels.shape[0], labels.shape[1]
    return network_outline(labels, classes, Window((0, 0), size, size), (1.0, 1.0), 1.0, most_px)


def with_neighbours(planes: Tensor, indices: Tensor, *, neighbours: bool) -> Tensor:
    """Gather slices with the ones below and above as channels, or one slice three times.

    Parameters
    ----------
    planes : (N, H, W). indices : (B,), long, on the same device.

    Returns
    -------
    (B, 3, H, W); beyond the ends of the volume the end slice goes on.
    """
    offsets = torch.tensor([-1, 0, 1], device=indices.device) * int(neighbours)
    return planes[(indices.unsqueeze(1) + offsets).clamp(0, len(planes) - 1)]
