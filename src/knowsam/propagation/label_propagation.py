"""Label propagation by registration: annotated slices, brought to the slices between them and blended.

Signed distances of each annotated slice follow the displacements of neighbouring slices. A slice between two annotated
ones gets one outline from each side; their probabilities ``softmax(distance / softness)`` are blended by position.
No network is involved. `benchmarks/README.md` compares it with plain interpolation.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from knowsam.propagation.displacement_chains import DOWN, UP
from knowsam.propagation.most_probable import most_probable
from knowsam.propagation.propagated_labels import PropagatedLabels, slice_dice
from knowsam.propagation.registration import displaced

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from knowsam.data.ends import Extents
    from knowsam.propagation.displacement_chains import DisplacementChains, Way

CAP = 0.25
"""Largest distance, relative to the side of a square as large as the plane."""


@dataclass(frozen=True, eq=False)
class Outline:
    """The outline of every class in one annotated slice.

    Parameters
    ----------
    distances_px : (C, H, W), signed distances in network pixels, positive inside.
    present : (C,), bool, whether the slice holds the class.
    is_empty : whether it holds background only.
    error : how wrong it probably is, in 1 - Dice; 0 if somebody has drawn it.
    """

    distances_px: Tensor
    present: Tensor
    is_empty: bool
    error: float = 0.0

    def to(self, device: torch.device) -> Outline:
        """Return the outline on a device."""
        return replace(self, distances_px=self.distances_px.to(device), present=self.present.to(device))


class LabelPropagation:
    """Propagates the labels of one volume's annotated slices to all its slices.

    Parameters
    ----------
    chains : displacements between the slices of the volume; may be shared.
    slice_px : distance of neighbouring slices in network pixels.
    softness_px : distance over which a structure fades into the next.
    cap_px : largest distance.
    fade : px by which an outline shrinks for each px beyond the outermost annotated slice.
    """

    def __init__(
        self, chains: DisplacementChains, *, slice_px: float, softness_px: float, cap_px: float, fade: float
    ) -> None:
        self._chains = chains
        self._slice_px, self._softness_px, self._cap_px, self._fade = slice_px, softness_px, cap_px, fade
        self._outlines: dict[int, Outline] = {}
        self._annotated: tuple[int, ...] = ()
        self._error_rates: dict[tuple[int, int], float] = {}
        self._extents: Extents | None = None

    @property
    def can_propagate(self) -> bool:
        """Whether there is any structure to propagate; if not, do not call `at`."""
        return any(not outline.is_empty for outline in self._outlines.values())

    @property
    def annotated(self) -> tuple[int, ...]:
        """The slices that are propagated from, ascending."""
        return self._annotated

    def update(self, outlines: Mapping[int, Outline], extents: Extents | None = None) -> list[int]:
        """Take other outlines.

        Parameters
        ----------
        extents : the slices in which each class can be; None for all.

        Returns
        -------
        The slices whose propagated labels have changed, ascending.
        """
        both = {*outlines, *self._outlines}
        changed = [index for index in both if outlines.get(index) is not self._outlines.get(index)]
        self._outlines = dict(outlines)
        self._error_rates.clear()
        self._annotated = tuple(sorted(outlines))
        self._chains.follow(self, _reach(self._annotated, self._chains.slices))
        beside = {other for index in changed for other in _between_others(index, both, self._chains.slices)}
        return sorted(beside | self._limit(extents))

    def at(self, indices: Sequence[int], *, own: bool = False) -> PropagatedLabels:
        """Return the labels propagated to some slices.

        Parameters
        ----------
        own : give an annotated slice its own labels; by default those propagated to it, as if it were not annotated.
        """
        sources = self.sources(indices, own=own)
        lower = self._propagated(indices, sources)
        upper = self._propagated(indices, [(after, before) for before, after in sources])
        absent = None if self._extents is None else self._extents.absent(indices)
        if absent is not None and absent.any():
            ended = torch.from_numpy(absent).to(lower.device, non_blocking=lower.is_cuda)[:, :, None, None]
            lower, upper = (self._without(ended, side) for side in (lower, upper))
        positions = [
            (index - before) / (after - before) if before != after else 0.0
            for index, (before, after) in zip(indices, sources, strict=True)
        ]
        nearest = [
            float(min(abs(index - before), abs(index - after)))
            for index, (before, after) in zip(indices, sources, strict=True)
        ]
        errors = [
            (1 - position) * self._outlines[before].error + position * self._outlines[after].error
            for position, (before, after) in zip(positions, sources, strict=True)
        ]
        position, nearest_slices, source_error = torch.tensor([positions, nearest, errors]).to(
            lower.device, non_blocking=lower.is_cuda
        )[:, :, None, None, None]
        return PropagatedLabels(lower, upper, position, nearest_slices, self._softness_px, source_error=source_error)

    def beyond_error(self, indices: Sequence[int], *, own: bool = False) -> Tensor:
        """Return how wrong labels that come from one side alone probably are, in 1 - Dice: (B, 1, 1, 1).

        Their error grows with the distance as fast as between that annotated slice and the next one; it is 1 where
        there is no next one, and 0 for labels that come from both sides.

        Parameters
        ----------
        own : see `at`.
        """
        errors = [
            self._beyond_error(index, before) if before == after != index else 0.0
            for index, (before, after) in zip(indices, self.sources(indices, own=own), strict=True)
        ]
        return torch.tensor(errors).to(self._outlines[self._annotated[0]].distances_px.device)[:, None, None, None]

    def sources(self, indices: Sequence[int], *, own: bool = False) -> list[tuple[int, int]]:
        """Return the annotated slices below and above each slice: twice the outermost one beyond it.

        Parameters
        ----------
        own : an annotated slice is its own source, twice.
        """
        return [(index, index) if own and index in self._outlines else self._beside(index) for index in indices]

    def displacements(self, sources: Sequence[int], indices: Sequence[int]) -> Tensor:
        """Return the displacements (B, 2, H, W), in px, that bring annotated slices to others."""
        pairs = zip(sources, indices, strict=True)
        return torch.stack([self._chains.displacements(source, index) for source, index in pairs]).float()

    def own(self, indices: Sequence[int]) -> Tensor:
        """Return the signed distances (B, C, H, W), in px, in annotated slices themselves."""
        distances = torch.stack([self._outlines[index].distances_px for index in indices])
        return distances.clamp(-self._cap_px, self._cap_px)

    def _beyond_error(self, index: int, source: int) -> float:
        place = bisect_left(self._annotated, source)
        pair = self._annotated[place : place + 2] if index < source else self._annotated[max(place - 1, 0) : place + 1]
        return min(self._error_rate(*pair) * abs(index - source), 1.0) if len(pair) == 2 else 1.0

    def _error_rate(self, lower: int, upper: int) -> float:
        """Return by how much the error grows with each slice, between two neighbouring annotated ones.

        Halfway between them both sides have erred by half of the way; were their errors independent, their squares
        would add up to that of the contradiction.
        """
        if (lower, upper) not in self._error_rates:
            middle = [(lower + upper) // 2]
            sides = [self._propagated(middle, [pair]) for pair in ((lower, upper), (upper, lower))]
            one, other = map(most_probable, sides)
            contradiction = 1 - slice_dice(one, other, sides[0].shape[1]).item()
            self._error_rates[lower, upper] = math.sqrt(2) * contradiction / (upper - lower)
        return self._error_rates[lower, upper]

    def _limit(self, extents: Extents | None) -> set[int]:
        """Take other extents, and return the slices that they leave other classes."""
        every = range(self._chains.slices)
        before, after = (None if one is None else one.absent(every) for one in (self._extents, extents))
        self._extents = extents
        if before is None or after is None or before.shape != after.shape:
            return set() if before is after is None else set(every)
        return set(np.flatnonzero((before != after).any(axis=1)).tolist())

    def _without(self, ended: Tensor, distances: Tensor) -> Tensor:
        """Turn classes that are not in a slice (B, C, 1, 1) into background, in signed distances (B, C, H, W)."""
        background = distances.masked_fill(~ended, -self._cap_px).amax(dim=1, keepdim=True).maximum(distances[:, :1])
        return torch.cat([background, distances[:, 1:].masked_fill(ended[:, 1:], -self._cap_px)], dim=1)

    def _beside(self, index: int) -> tuple[int, int]:
        """Return the nearest annotated slices below and above; twice the outermost one beyond it."""
        place = bisect_left(self._annotated, index)
        below, above = self._annotated[:place], self._annotated[bisect_right(self._annotated, index) :]
        if not below and not above:
            raise ValueError("no other slice is annotated, so that nothing can be propagated")
        return (below or above[:1])[-1], (above or below[-1:])[0]

    def _propagated(self, indices: Sequence[int], sources: Sequence[tuple[int, int]]) -> Tensor:
        """Return the distances (B, C, H, W) propagated to slices from the first of their two sources."""
        distances = torch.stack([self._distances(source, other) for source, other in sources])
        found = displaced(distances, self.displacements([source for source, _ in sources], indices))
        beyond_slices = [
            float(abs(index - source)) * (source == other)
            for index, (source, other) in zip(indices, sources, strict=True)
        ]
        if any(beyond_slices):
            shrunk = torch.tensor(beyond_slices).to(found.device, non_blocking=found.is_cuda).view(-1, 1, 1, 1)
            shrunk = shrunk * (self._fade * self._slice_px)
            found = torch.cat([found[:, :1] + shrunk, found[:, 1:] - shrunk], dim=1)
        return found.clamp(-self._cap_px, self._cap_px)

    def _distances(self, source: int, other: int) -> Tensor:
        """Return the distances (C, H, W) in an annotated slice, to be blended with those of another.

        A class that is absent here is everywhere as far away as it reaches deep in the other slice, so that it ends
        halfway between them.
        """
        outline, opposite = self._outlines[source], self._outlines[other]
        if outline is opposite:
            return outline.distances_px
        depth_px = opposite.distances_px.amax(dim=(1, 2)).clamp(0, self._cap_px)
        ends_here = (opposite.present & ~outline.present)[:, None, None]
        return torch.where(ends_here, -depth_px[:, None, None], outline.distances_px)


def _reach(annotated: Sequence[int], slices: int) -> dict[Way, int]:
    """Return how many slices each annotated one is propagated to, upward and downward: as far as the next one."""
    bounds = [0, *annotated, slices - 1]
    return {
        (source, side): abs(bounds[place + side] - source)
        for place, source in enumerate(annotated, start=1)
        for side in (UP, DOWN)
    }


def _between_others(index: int, annotated: Collection[int], slices: int) -> range:
    """Return the slices round an annotated one, from the next annotated one below to the next one above."""
    below = max((other for other in annotated if other < index), default=0)
    above = min((other for other in annotated if other > index), default=slices - 1)
    return range(below, above + 1)
