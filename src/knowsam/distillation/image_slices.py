"""The slices of some images on one plane, and which of them are held out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from knowsam.config import PlaneConfig
from knowsam.data.window import extent_mm_of, pixel_size_mm, plane_for, window_round
from knowsam.errors import InputError
from knowsam.inference.planes import network_planes, with_neighbours

if TYPE_CHECKING:
    from knowsam.data.volume import Volume

_ONE_IN = 5
"""Of so many volumes or slices, one is held out."""

_FEWEST_VOLUMES = 3
"""With fewer, slices of each are held out, since a volume would be missed in learning."""

_FEWEST_LEARNT = 2


class ImageSlices:
    """What teacher and student see: whole slices, each volume as large as it fits on the common plane.

    Parameters
    ----------
    volumes : any images. axes : the working axis along which the slices of each lie.
    device : of the slices.

    Attributes
    ----------
    plane : (H, W) in px.
    planes : of each volume, (N, H, W); slices are numbered through all volumes.
    learnt, held_out : their numbers, see `divided`.

    Raises
    ------
    InputError
        If there are too few slices to hold some out.
    """

    def __init__(self, volumes: Sequence[Volume], axes: Sequence[int], device: torch.device) -> None:
        counts = [volume.shape[axis] for volume, axis in zip(volumes, axes, strict=True)]
        self.learnt, self.held_out = divided(counts)
        config = PlaneConfig()
        along = list(zip(volumes, axes, strict=True))
        pixels_mm = [_pixel_mm(volume, axis, config.max_side_px) for volume, axis in along]
        sizes = [plane_for(_extent_mm(*one), pixel_mm) for one, pixel_mm in zip(along, pixels_mm, strict=True)]
        self.plane = max(height for height, _ in sizes), max(width for _, width in sizes)
        self.planes = [
            self._on_plane(volume, axis, pixel_mm, config.clip_percent).to(device)
            for (volume, axis), pixel_mm in zip(along, pixels_mm, strict=True)
        ]
        self._neighbours = config.neighbours

    def images(self, rows: Sequence[int]) -> Tensor:
        """Return slices (B, 3, H, W), in [0, 1], with their neighbours as channels, as SAM sees them in a training."""
        return torch.stack([self._image(row) for row in rows])

    def _on_plane(self, volume: Volume, axis: int, pixel_mm: float, clip_percent: float) -> Tensor:
        whole = (0, 0), _slice_shape(volume, axis)
        window = window_round(whole, pixel_mm, volume.plane_spacing_mm(axis), self.plane)
        return network_planes(volume, axis, window, clip_percent)

    def _image(self, row: int) -> Tensor:
        for planes in self.planes:
            if row < len(planes):
                index = torch.tensor([row], device=planes.device)
                return with_neighbours(planes, index, neighbours=self._neighbours)[0]
            row -= len(planes)
        raise IndexError(row)


def divided(counts: Sequence[int]) -> tuple[list[int], list[int]]:
    """Divide the slices of volumes into those to learn from and those that are held out.

    From three volumes on, the last one is held out and every fifth before it. In one or two it is the middle fifth of
    the slices of each; the slices right beside, which show them as neighbours, are not learnt from either.

    >>> divided([8])
    ([0, 1, 6, 7], [3, 4])
    >>> divided([2, 2, 2])
    ([0, 1, 2, 3], [4, 5])

    Raises
    ------
    InputError
        If nearly nothing is left to learn from.
    """
    learnt: list[int] = []
    held_out: list[int] = []
    for number, count in enumerate(counts):
        if len(counts) < _FEWEST_VOLUMES:
            own, beside = _middle(count)
        else:
            is_held_out = (len(counts) - 1 - number) % _ONE_IN == 0
            own = beside = range(count if is_held_out else 0)
        start = sum(counts[:number])
        held_out += [start + index for index in own]
        learnt += [start + index for index in range(count) if index not in beside]
    if len(learnt) < _FEWEST_LEARNT:
        raise InputError(
            f"The images have {sum(counts)} slices along the axis, and once some are held out, {len(learnt)} are left "
            f"to learn from. {_FEWEST_LEARNT} at least are needed: give more images, or another --axis."
        )
    return learnt, held_out


def _middle(count: int) -> tuple[range, range]:
    """Return the middle fifth of the slices of a volume, and the same with the slices right beside."""
    size = max(round(count / _ONE_IN), 1)
    first = (count - size) // 2
    return range(first, first + size), range(first - 1, first + size + 1)


def _slice_shape(volume: Volume, axis: int) -> tuple[int, int]:
    first, second = (count for other, count in enumerate(volume.shape) if other != axis)
    return first, second


def _extent_mm(volume: Volume, axis: int) -> tuple[float, float]:
    return extent_mm_of(((0, 0), _slice_shape(volume, axis)), volume.plane_spacing_mm(axis))


def _pixel_mm(volume: Volume, axis: int, max_side_px: int) -> float:
    return pixel_size_mm(_extent_mm(volume, axis), volume.plane_spacing_mm(axis), max_side_px)
