"""A synthetic volume: tissue, clutter, and structures that touch, nest and branch, some of them to be segmented."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from knowsam.pretraining.imaging import image_of
from knowsam.pretraining.shapes import Place, blob, cut, partition, tubes

if TYPE_CHECKING:
    from knowsam.pretraining.random_source import RandomSource

OUTSIDE = -1
"""Part of voxels beyond the slice, where its edge goes on."""

_PLANES = ((48, 48), (64, 64), (64, 96), (80, 96))
_PLANE_PROBABILITIES = (0.3, 0.2, 0.25, 0.25)

Structure = tuple[tuple[int, ...], ...]
"""What a person might annotate: for each class the parts it is made of."""


@dataclass(frozen=True)
class SyntheticVolume:
    """A volume whose parts are known.

    Parameters
    ----------
    image : (N, H, W), in [0, 1].
    parts : (N, H, W), int64, the part each voxel belongs to, or `OUTSIDE`.
    structures : what can be segmented.
    slice_px : distance of neighbouring slices in pixels.
    """

    image: Tensor
    parts: Tensor
    structures: tuple[Structure, ...]
    slice_px: float

    def labels(self, structure: Structure) -> Tensor:
        """Return the class indices (N, H, W), int64, of one structure."""
        labels = torch.zeros_like(self.parts)
        for index, parts in enumerate(structure, start=1):
            labels[torch.isin(self.parts, torch.tensor(parts))] = index
        return labels


def synthetic_volume(source: RandomSource) -> SyntheticVolume:
    """Compose a volume."""
    plane = _PLANES[source.numbers.choice(len(_PLANES), p=_PLANE_PROBABILITIES)]
    anatomy = _Anatomy(source, (source.whole(18, 56), *plane), source.log_uniform(0.6, 5))
    if source.happens(0.5):
        anatomy.clutter()
    anatomy.distract(source.whole(1, 5), largest=0.25)
    for _ in range(source.whole(1, 3)):
        anatomy.add_structure()
    if source.happens(0.3):
        anatomy.vein()
    anatomy.distract(source.whole(0, 3), largest=0.1)
    image = image_of(source, anatomy.parts, anatomy.greys, anatomy.slice_px)
    parts = anatomy.parts
    if source.happens(0.4):
        image, parts = _window_beyond_slice(source, image, parts)
    return SyntheticVolume(image, parts, tuple(anatomy.structures), anatomy.slice_px)


class _Anatomy:
    """The parts of a volume while it is composed; a part hides what lay there before.

    Attributes
    ----------
    parts : (N, H, W). greys : mean grey value of each part. structures : what may be segmented.
    """

    def __init__(self, source: RandomSource, shape: tuple[int, int, int], slice_px: float) -> None:
        self._source, self._shape, self.slice_px = source, shape, slice_px
        self._side = math.sqrt(shape[1] * shape[2])
        thickness = max(1.5, source.uniform(0.15, 0.5) * self._side / slice_px)
        self.parts = partition(source, shape, source.whole(2, 7), thickness, source.uniform(0.12, 0.5) * self._side)
        self.greys = [source.uniform(0, 1) for _ in range(int(self.parts.max()) + 1)]
        self.structures: list[Structure] = []

    def clutter(self) -> None:
        """Break some parts up into small ones."""
        source = self._source
        px = source.log_uniform(0.04, 0.12) * self._side
        pieces = partition(
            source, self._shape, source.whole(2, 3), max(1.2, source.uniform(0.7, 3) * px / self.slice_px), px
        )
        broken = source.numbers.choice(len(self.greys), source.whole(1, len(self.greys)), replace=False)
        where = torch.isin(self.parts, torch.from_numpy(broken))
        for piece in range(int(pieces.max()) + 1):
            if source.happens(0.8):
                self._paint(where & (pieces == piece))

    def distract(self, count: int, largest: float) -> None:
        """Add structures nobody asks for, at times as bright as one that is there."""
        source, (count_slices, height, width) = self._source, self._shape
        for _ in range(count):
            radius = source.log_uniform(0.03, largest) * self._side
            is_blob = source.happens(0.5)
            place = Place(
                self._shape,
                self.slice_px,
                (source.uniform(0, height), source.uniform(0, width)),
                source.uniform(0, count_slices),
                source.log_uniform(0.1, 0.8) * count_slices,
                radius if is_blob else min(radius, 0.08 * self._side),
            )
            level = blob(source, place, source.whole(1, 2)) if is_blob else tubes(source, place, source.whole(1, 3))
            if source.happens(0.25):
                level = source.uniform(1, 0.3 * radius + 1.5) - level.abs()
            twin = self.greys[source.whole(0, len(self.greys) - 1)] if source.happens(0.2) else None
            self._paint(level > 0, twin)

    def vein(self) -> None:
        """Add thin lines or walls between, but not in, the structures."""
        source = self._source
        px = source.uniform(0.08, 0.25) * self._side
        waves = source.fields(1, self._shape, max(1.5, 2 * px / self.slice_px), px)[0]
        taken = torch.tensor([part for structure in self.structures for parts in structure for part in parts])
        self._paint(~torch.isin(self.parts, taken) & (waves.abs() < source.uniform(0.04, 0.12)))

    def add_structure(self) -> None:
        """Add a body or a bundle of tubes, at times with a wall, in two parts, with a core, or hollow."""
        source, (count, height, width) = self._source, self._shape
        is_bundle = source.happens(0.15)
        radius = source.log_uniform(0.06, 0.14) if is_bundle else source.log_uniform(0.09, 0.3)
        place = Place(
            self._shape,
            self.slice_px,
            (height * (0.5 + 0.12 * source.normal()), width * (0.5 + 0.12 * source.normal())),
            count * (0.5 + 0.08 * source.normal()),
            source.uniform(0.28, 0.6) * count,
            radius * self._side,
        )
        if is_bundle:
            level = tubes(source, place, source.whole(1, 3))
        else:
            level = blob(source, place, 1 if source.happens(0.47) else source.whole(2, 4))
        if not (level > 0).any():
            return
        around = self._grey_around(level) if source.happens(0.3) else None
        if source.happens(0.3):
            self._paint((level > -source.log_uniform(0.8, 3)) & (level <= 0))
        whole = self._paint(level > 0, around, source.uniform(0.01, 0.15))
        self._divide(place, level, whole)

    def _divide(self, place: Place, level: Tensor, whole: int) -> None:
        """Divide a structure, or leave it in one part, and note what may be segmented."""
        source, kind = self._source, self._source.uniform(0, 1)
        self.structures.append(((whole,),))
        if kind < 0.35:
            similar = self.greys[whole] if source.happens(0.6) else None
            second = self._paint((level > 0) & (cut(source, place) > 0), similar, source.uniform(0, 0.08))
            self._ask_for_two(whole, second)
        elif kind < 0.55:
            core = self._paint(level > source.uniform(0.15, 0.6) * place.radius)
            self._ask_for_two(whole, core)
        elif kind < 0.65:
            self._paint(level > source.uniform(1.5, 0.3 * place.radius + 2))

    def _ask_for_two(self, first: int, second: int) -> None:
        self.structures += [((first, second),), ((second,),), ((first,), (second,))]

    def _grey_around(self, level: Tensor) -> float:
        neighbours = torch.unique(self.parts[(level > -3) & (level <= 0)]).tolist() or [0]
        return self.greys[int(neighbours[self._source.whole(0, len(neighbours) - 1)])]

    def _paint(self, where: Tensor, like: float | None = None, spread: float = 0.04) -> int:
        """Make a new part, of any grey value or about like another; return its index."""
        self.parts[where] = len(self.greys)
        grey = self._source.uniform(0, 1) if like is None else like + spread * self._source.normal()
        self.greys.append(grey)
        return len(self.greys) - 1


def _window_beyond_slice(source: RandomSource, image: Tensor, parts: Tensor) -> tuple[Tensor, Tensor]:
    """Let the window reach beyond the slice, whose edge goes on."""
    for axis in (1, 2):
        size = image.shape[axis]
        low, high = (source.whole(0, size // 7) if source.happens(0.6) else 0 for _ in range(2))
        places = torch.arange(size)
        inside = places.clamp(low, size - 1 - high)
        image, parts = image.index_select(axis, inside), parts.index_select(axis, inside)
        kept = (inside == places).view([-1 if n == axis else 1 for n in range(3)])
        parts = torch.where(kept, parts, OUTSIDE)
    return image, parts
