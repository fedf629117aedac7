"""What the annotated slices of one volume say of its other slices, for showing and for honest judging."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from knowsam.data.annotation import SliceState
from knowsam.inference.planes import network_shape
from knowsam.prior.carried import Carried, CarriedPrior, Shape
from knowsam.prior.slice_flows import SliceFlows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from numpy.random import Generator
    from torch import Tensor

    from knowsam.config import PriorConfig
    from knowsam.data.annotation import LabelSlice
    from knowsam.data.case import Case
    from knowsam.data.window import Window

_FEWEST_REHEARSED = 4
"""Annotated slices without a gap from which two can be left that are carried to the others."""

_CAP = 0.25
"""Relative distance beyond which nothing is further away; see `knowsam.config.PriorConfig` for the unit."""


class VolumePrior:
    """Two carried priors of one volume: one of all its annotated slices, one of those training may see.

    What is shown comes from all of them. The students are trained and judged with what the held-out slices have no part
    in. Slices that are partly annotated have no outline, so they are not carried. Where slices are annotated without a
    gap nothing is carried to any between them, but the students rehearse: now these, now those few slices are carried
    as if no other were annotated, so that they learn how far to trust it in a volume of which little is painted.

    Parameters
    ----------
    planes : (N, H, W), the slices on the device.
    check : called now and then; what it raises breaks the registration off.
    """

    def __init__(
        self, case: Case, planes: Tensor, window: Window, config: PriorConfig, check: Callable[[], None] | None = None
    ) -> None:
        self._spacing_mm = case.plane_spacing_mm
        self._pixel_mm = window.pixel_mm(self._spacing_mm)
        self._window, self._device = window, planes.device
        self._slices = len(planes)
        side_px = math.sqrt(planes.shape[1] * planes.shape[2])
        self._cap_px = _CAP * side_px
        flows = SliceFlows(planes, config.reach * side_px if config.registration else 0.0, check)
        self._full, self._seen = (
            CarriedPrior(
                flows,
                slice_px=case.volume.spacing_mm[case.annotation.axis] / self._pixel_mm,
                softness_px=config.softness * side_px,
                cap_px=self._cap_px,
                fade=config.fade,
            )
            for _ in range(2)
        )
        self._shapes: dict[int, Shape] = {}
        self._holdout: frozenset[int] = frozenset()
        self._rehearsed: frozenset[int] = frozenset()

    def relabel(self, case: Case) -> None:
        """Take all shapes anew."""
        classes = len(case.annotation.classes)
        self._shapes = {}
        for label_slice in case.annotation.slices.values():
            self._take(label_slice, classes)
        self._update()

    def annotate(self, label_slice: LabelSlice, classes: int) -> list[int]:
        """Take in one painted slice; return the slices whose prior it changes, ascending."""
        self._take(label_slice, classes)
        return self._update()

    def hold_out(self, indices: Collection[int]) -> None:
        """Keep the students from what these slices say."""
        self._holdout = frozenset(indices)
        self._update()

    @property
    def says_something(self) -> bool:
        """Whether anything is known of slices that nobody has painted."""
        return _can_be_asked(self._full)

    def shown(self, indices: Sequence[int]) -> Carried | None:
        """Return what is known of slices, an annotated one's own shape included; None if nothing is."""
        return self._full.at(indices, own=True) if self.says_something else None

    def learnt(self, indices: Sequence[int]) -> Carried | None:
        """Return what slices that training may see say of any others; None if nothing is said."""
        return self._seen.at(indices) if _can_be_asked(self._seen) else None

    @property
    def rehearses(self) -> bool:
        """Whether slices are annotated without a gap, so that only a few are carried at a time."""
        return len(self._shapes) >= _FEWEST_REHEARSED and max(self._shapes) - min(self._shapes) < len(self._shapes)

    def rehearse(self, order: Generator) -> None:
        """Carry other slices than before, of random number and place, where there is no gap."""
        if self.rehearses:
            self._rehearsed = _some_of([i for i, shape in self._shapes.items() if not shape.is_empty], order)
            self._update()

    def judged(self, indices: Sequence[int]) -> Carried | None:
        """Return what students are judged with: what they learn with, unless it is a rehearsal, which tells nothing."""
        return None if self.rehearses else self.learnt(indices)

    def own(self, indices: Sequence[int]) -> Tensor | None:
        """Return the signed distances (B, C, H, W) in slices that training sees carried; None if one of them is not."""
        return self._seen.own(indices) if set(indices) <= set(self._seen.annotated) else None

    def next_to_annotated(self, most: int) -> list[int]:
        """Return unannotated slices that training sees an annotation right beside, between the ends, `most` of them."""
        beside = sorted({other for index in self._seen.annotated for other in (index - 1, index + 1)})
        known = [index for index in beside if index not in self._shapes and self.lies_between(index)]
        return known[:: -(-len(known) // most)] if known else []

    def lies_between(self, index: int) -> bool:
        """Tell whether there are slices on both sides to say something of this one to training."""
        annotated = self._seen.annotated
        return bool(annotated) and annotated[0] < index < annotated[-1]

    def _take(self, label_slice: LabelSlice, classes: int) -> None:
        self._shapes.pop(label_slice.index, None)
        if label_slice.state in (SliceState.COMPLETE, SliceState.BACKGROUND_ONLY):
            shape = network_shape(
                label_slice.labels, classes, self._window, self._spacing_mm, self._pixel_mm, self._cap_px
            )
            self._shapes[label_slice.index] = shape.to(self._device)

    def _update(self) -> list[int]:
        # What was rehearsed with may have been erased since.
        seen = self._rehearsed & self._shapes.keys() if self.rehearses else self._shapes.keys()
        self._seen.update({index: self._shapes[index] for index in seen - self._holdout})
        said_something = self.says_something
        is_whole = len(self._shapes) == self._slices
        changed = self._full.update({} if is_whole else self._shapes)
        # With the second annotated slice there is something to say of all others, and without it nothing.
        return changed if self.says_something == said_something else list(range(self._slices))


def _some_of(structure: Sequence[int], order: Generator) -> frozenset[int]:
    """Choose two to half of the slices that hold any structure; few as often as many."""
    if len(structure) < _FEWEST_REHEARSED:
        return frozenset()
    count = round(math.exp(order.uniform(math.log(2), math.log(len(structure) / 2))))
    return frozenset(int(index) for index in order.choice(structure, count, replace=False))


def _can_be_asked(prior: CarriedPrior) -> bool:
    """Tell whether there is something to be carried, and to an annotated slice too, from which students learn."""
    return prior.says_something and len(prior.annotated) > 1
