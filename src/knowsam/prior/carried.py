"""The carried prior: shapes of annotated slices, brought to the slices between them by registration and blended.

Signed distances of each annotated slice are carried along the displacements of neighbouring slices. A slice between two
annotated ones gets one shape from each side; their probabilities ``softmax(distance / softness)`` are blended by
position. No network is trained for it. `benchmarks/README.md` compares it with plain interpolation.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from knowsam.data.annotation import BACKGROUND
from knowsam.prior.registration import displaced

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from knowsam.prior.slice_flows import SliceFlows

_FAR_SLICES = 10.0
"""Distance to the nearest annotated slice at which the students are told that it is far."""

_LEAST_DOUBT = 1e-8
"""Lets students without any error be heard where both sides agree, and keeps divisors from zero."""

_UP, _DOWN = 1, -1


@dataclass(frozen=True, eq=False)
class Shape:
    """The outlines of all classes in one annotated slice.

    Parameters
    ----------
    distances_px : (C, H, W), signed distances in network pixels, positive inside.
    present : (C,), bool, whether the slice holds the class.
    is_empty : whether it holds background only.
    """

    distances_px: Tensor
    present: Tensor
    is_empty: bool

    def to(self, device: torch.device) -> Shape:
        """Return the shape on a device."""
        return Shape(self.distances_px.to(device), self.present.to(device), self.is_empty)


@dataclass(frozen=True)
class Listening:
    """How far students are listened to beside carried shapes.

    Parameters
    ----------
    error : theirs, in 1 - Dice, as far as it is known.
    most : their share far from any annotated slice.
    trust_slices : distance at which they have half of it.
    caution : how much more their error weighs than that of carried shapes.
    is_proven : whether their error was measured in slices that they have not learnt from.
    """

    error: float
    most: float
    trust_slices: float
    caution: float
    is_proven: bool = False


STUDENTS_ALONE = Listening(error=0.0, most=1.0, trust_slices=0.0, caution=0.0)
"""What is carried has no part in the prediction, but for annotated slices themselves."""


class Carried(NamedTuple):
    """What the annotated slices on both sides say of some slices.

    Parameters
    ----------
    lower, upper : (B, C, H, W), signed distances in px carried from the annotated slice below and above; beyond the
        outermost one both come from it.
    share : (B, 1, 1, 1), position between the two, 0 at the lower, 1 at the upper.
    nearest_slices : (B, 1, 1, 1), distance to the nearer of them.
    softness_px : distance over which a shape fades into the next.
    """

    lower: Tensor
    upper: Tensor
    share: Tensor
    nearest_slices: Tensor
    softness_px: float

    @property
    def probabilities(self) -> Tensor:
        """(B, C, H, W), sum one."""
        lower, upper = ((side / self.softness_px).softmax(dim=1) for side in (self.lower, self.upper))
        return lower.lerp(upper, self.share)

    @property
    def channels(self) -> Tensor:
        """(B, 4 C, H, W), in [-1, 1]: for each class both shapes, their blend, and how far the annotation is."""
        sides = [torch.tanh(side / self.softness_px) for side in (self.lower, self.upper)]
        far = torch.tanh(self.nearest_slices / _FAR_SLICES).expand_as(self.lower)
        return torch.cat([*sides, 2 * self.probabilities - 1, far], dim=1)

    @property
    def expected_error(self) -> Tensor:
        """(B, 1, 1, 1), how wrong the blend probably is, in 1 - Dice; 1 beyond the outermost annotated slice.

        Were the errors of both sides independent and proportional to their distance, their disagreement would tell.
        """
        disagreement = 1 - _dice(self.lower.argmax(dim=1), self.upper.argmax(dim=1), self.lower.shape[1])
        near, far = self.share, 1 - self.share
        expected = disagreement.view(-1, 1, 1, 1) * math.sqrt(2) * near * far / (near**2 + far**2).sqrt()
        is_one_sided = (self.share == 0) & (self.nearest_slices > 0)
        return torch.where(is_one_sided, torch.ones_like(expected), expected)

    def joined(self, students: Tensor, listening: Listening) -> tuple[Tensor, Tensor]:
        """Join what the students say with what is carried.

        Parameters
        ----------
        students : (B, C, H, W), their probabilities.

        Returns
        -------
        Probabilities (B, C, H, W), and the share (B, 1, 1, 1) that the students have in them.
        """
        students = self._placed(students)
        share = self._student_share(students, listening)
        return self.probabilities.lerp(students, share), share

    def _placed(self, students: Tensor) -> Tensor:
        """Let position decide between two structures where one side says the one and the other side the other.

        A border parallel to the slices falls somewhere between two annotated ones. Students know slices of either
        structure, but hardly any in which one gives way to the other, and would move all of a slice across the border.
        """
        lower, upper = (side.argmax(dim=1, keepdim=True) for side in (self.lower, self.upper))
        at_border = (lower != upper) & (lower != BACKGROUND) & (upper != BACKGROUND)
        own = self.probabilities[:, 1:]
        any_structure = 1 - students[:, :1]
        by_position = any_structure * own / own.sum(dim=1, keepdim=True).clamp_min(_LEAST_DOUBT)
        return torch.where(at_border, torch.cat([students[:, :1], by_position], dim=1), students)

    def _student_share(self, students: Tensor, listening: Listening) -> Tensor:
        """Return how much the students are to be listened to, (B, 1, 1, 1).

        The errors of both are weighed as variances are; but near an annotated slice nobody knows better than its shape.
        Were both errors independent, their variances would add up to that of the contradiction: where the students' own
        has been proven, what is left of it is that of the shapes.
        """
        doubt = self.expected_error**2
        if listening.is_proven:
            doubt = doubt.maximum(self._contradiction(students) ** 2 - listening.error**2)
        doubt = doubt + _LEAST_DOUBT
        by_error = doubt / (doubt + listening.caution * listening.error**2)
        distance = self.nearest_slices
        by_distance = listening.most * distance / (distance + listening.trust_slices).clamp_min(1e-12)
        return torch.minimum(by_error, by_distance)

    def _contradiction(self, students: Tensor) -> Tensor:
        """Return 1 - Dice, (B, 1, 1, 1), between the students and the blend."""
        dice = _dice(students.argmax(dim=1), self.probabilities.argmax(dim=1), self.lower.shape[1])
        return 1 - dice.view(-1, 1, 1, 1)

    def nearer(self, own: Tensor, doubt: Tensor) -> Carried:
        """Return what the slices would say if they lay nearer to the annotated ones.

        Parameters
        ----------
        own : (B, C, H, W), signed distances in the slices themselves.
        doubt : (B, 1, 1, 1), in [0, 1]; 0 is the slice's own shape, 1 the carried one.
        """
        return self._replace(
            lower=own.lerp(self.lower, doubt),
            upper=own.lerp(self.upper, doubt),
            nearest_slices=(doubt * self.nearest_slices).clamp_min(0.5),
        )


class CarriedPrior:
    """The shapes of one volume's annotated slices, carried to all its slices.

    Parameters
    ----------
    flows : between the slices of the volume.
    slice_px : distance of neighbouring slices in network pixels.
    softness_px : distance over which a shape fades into the next.
    cap_px : distance beyond which nothing is further away.
    fade : px by which a shape shrinks for each px beyond the outermost annotated slice.
    """

    def __init__(self, flows: SliceFlows, *, slice_px: float, softness_px: float, cap_px: float, fade: float) -> None:
        self._flows = flows
        self._slice_px, self._softness_px, self._cap_px, self._fade = slice_px, softness_px, cap_px, fade
        self._shapes: dict[int, Shape] = {}
        self._chains: dict[tuple[int, int], Tensor] = {}
        self._annotated: tuple[int, ...] = ()
        self._still = flows.still()

    @property
    def says_something(self) -> bool:
        """Whether there is any shape to be carried; if not, nothing may be asked."""
        return any(not shape.is_empty for shape in self._shapes.values())

    @property
    def annotated(self) -> tuple[int, ...]:
        """The slices whose shapes are carried, ascending."""
        return self._annotated

    def update(self, shapes: Mapping[int, Shape]) -> list[int]:
        """Take other shapes; only what lies beside a change is carried anew.

        Returns
        -------
        The slices of which something else is said now, ascending.
        """
        both = {*shapes, *self._shapes}
        changed = [index for index in both if shapes.get(index) is not self._shapes.get(index)]
        self._shapes = dict(shapes)
        self._annotated = tuple(sorted(shapes))
        self._carry()
        return sorted({beside for index in changed for beside in _between_others(index, both, self._flows.slices)})

    def at(self, indices: Sequence[int], *, own: bool = False) -> Carried:
        """Return what the annotated slices say of some slices.

        Parameters
        ----------
        own : let an annotated slice speak for itself; by default only the others speak, as if it were not annotated.
        """
        sources = [(index, index) if own and index in self._shapes else self._beside(index) for index in indices]
        lower = self._brought(indices, sources)
        upper = self._brought(indices, [(after, before) for before, after in sources])
        shares = [
            (index - before) / (after - before) if before != after else 0.0
            for index, (before, after) in zip(indices, sources, strict=True)
        ]
        nearest = [
            float(min(abs(index - before), abs(index - after)))
            for index, (before, after) in zip(indices, sources, strict=True)
        ]
        share, nearest_slices = torch.tensor([shares, nearest]).to(lower.device, non_blocking=lower.is_cuda)[
            :, :, None, None, None
        ]
        return Carried(lower, upper, share, nearest_slices, self._softness_px)

    def own(self, indices: Sequence[int]) -> Tensor:
        """Return the signed distances (B, C, H, W), in px, in annotated slices themselves."""
        distances = torch.stack([self._shapes[index].distances_px for index in indices])
        return distances.clamp(-self._cap_px, self._cap_px)

    def _beside(self, index: int) -> tuple[int, int]:
        """Return the nearest annotated slices below and above; twice the outermost one beyond it."""
        place = bisect_left(self._annotated, index)
        below, above = self._annotated[:place], self._annotated[bisect_right(self._annotated, index) :]
        if not below and not above:
            raise ValueError("no other slice is annotated, so that nothing can be said")
        return (below or above[:1])[-1], (above or below[-1:])[0]

    def _brought(self, indices: Sequence[int], sources: Sequence[tuple[int, int]]) -> Tensor:
        """Return the distances (B, C, H, W) carried to slices from the first of their two sources."""
        distances = torch.stack([self._distances(source, other) for source, other in sources])
        flow = torch.stack([self._flow(source, index) for index, (source, _) in zip(indices, sources, strict=True)])
        carried = displaced(distances, flow.float())
        beyond_slices = [
            float(abs(index - source)) * (source == other)
            for index, (source, other) in zip(indices, sources, strict=True)
        ]
        if any(beyond_slices):
            shrunk = torch.tensor(beyond_slices).to(carried.device, non_blocking=carried.is_cuda).view(-1, 1, 1, 1)
            shrunk = shrunk * (self._fade * self._slice_px)
            carried = torch.cat([carried[:, :1] + shrunk, carried[:, 1:] - shrunk], dim=1)
        return carried.clamp(-self._cap_px, self._cap_px)

    def _distances(self, source: int, other: int) -> Tensor:
        """Return the distances (C, H, W) in an annotated slice, to be blended with those of another.

        A class that is absent here is everywhere as far away as it reaches deep in the other slice, so that it ends
        halfway between them.
        """
        shape, opposite = self._shapes[source], self._shapes[other]
        if shape is opposite:
            return shape.distances_px
        depth_px = opposite.distances_px.amax(dim=(1, 2)).clamp(0, self._cap_px)
        ends_here = (opposite.present & ~shape.present)[:, None, None]
        return torch.where(ends_here, -depth_px[:, None, None], shape.distances_px)

    def _flow(self, source: int, index: int) -> Tensor:
        """Return the displacements (2, H, W) from a slice to one of its sources."""
        if index == source:
            return self._still
        chain = self._chains[source, _UP if index > source else _DOWN]
        return chain[abs(index - source) - 1]

    def _carry(self) -> None:
        """Follow the tissue from each annotated slice to the next one on both sides, where that is not known yet."""
        lengths = _lengths(self._annotated, self._flows.slices)
        self._chains = {key: chain[: lengths[key]] for key, chain in self._chains.items() if key in lengths}
        missing = [key for key, length in lengths.items() if len(self._chains.get(key, ())) < length]
        found = self._flows.chains(
            [source for source, _ in missing], [source + side * lengths[source, side] for source, side in missing]
        )
        self._chains |= dict(zip(missing, found, strict=True))


def _dice(one: Tensor, other: Tensor, classes: int) -> Tensor:
    """Return the Dice of class indices (B, H, W), mean over the classes that either holds; (B,), 1 where none does."""
    total, held = torch.zeros(len(one), device=one.device), torch.zeros(len(one), device=one.device)
    for index in range(1, classes):
        here, there = one == index, other == index
        size = (here.sum(dim=(1, 2)) + there.sum(dim=(1, 2))).float()
        total = total + torch.where(size > 0, 2 * (here & there).sum(dim=(1, 2)) / size.clamp_min(1), 0.0)
        held = held + (size > 0)
    return torch.where(held > 0, total / held.clamp_min(1), 1.0)


def _lengths(annotated: Sequence[int], slices: int) -> dict[tuple[int, int], int]:
    """Return how many slices each annotated one is carried to, upward and downward: as far as the next one."""
    bounds = [0, *annotated, slices - 1]
    return {
        (source, side): abs(bounds[place + side] - source)
        for place, source in enumerate(annotated, start=1)
        for side in (_UP, _DOWN)
    }


def _between_others(index: int, annotated: Collection[int], slices: int) -> range:
    """Return the slices round an annotated one, from the next annotated one below to the next one above."""
    below = max((other for other in annotated if other < index), default=0)
    above = min((other for other in annotated if other > index), default=slices - 1)
    return range(below, above + 1)
