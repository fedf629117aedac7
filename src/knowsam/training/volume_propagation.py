"""Label propagation in one volume, for display and for training without what is held out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from knowsam.data.annotation import SliceState
from knowsam.data.ends import Extents
from knowsam.data.sampling import evenly
from knowsam.inference.planes import network_outline, network_probabilities
from knowsam.inference.proposed_labels import ProposedLabels
from knowsam.inference.refinement import RefinedPropagation, Refiner
from knowsam.propagation.displacement_chains import DisplacementChains
from knowsam.propagation.evidence import EvidenceSource
from knowsam.propagation.label_propagation import CAP, LabelPropagation, Outline
from knowsam.propagation.slice_flows import SliceFlows
from knowsam.training.completions import Completions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from numpy.random import Generator
    from torch import Tensor

    from knowsam.config import PropagationConfig
    from knowsam.data.annotation import LabelSlice
    from knowsam.data.case import Case
    from knowsam.data.window import Window
    from knowsam.models.propagator import Propagator
    from knowsam.propagation.propagated_labels import PropagatedLabels

_FEWEST_SIMULATED = 4
"""Annotated slices without a gap from which two can be left that are propagated to the others."""


class VolumePropagation:
    """Two propagations in one volume: from all its annotated slices, and from those training may see.

    What is displayed comes from all of them. The students are trained and validated with labels in which the held-out
    slices have no part. Partly annotated slices are completed as far as they can be, see `Completions`. Where slices
    are annotated without a gap nothing is propagated between them, but sparse annotation is simulated: changing subsets
    of few slices are propagated as if no other were annotated, so that the students learn how reliable propagated
    labels are in a volume of which little is painted.

    Parameters
    ----------
    planes : (N, H, W), the slices on the device.
    check : called regularly; an exception it raises stops the registration.
    propagator : refines what is displayed and validated; None leaves propagated labels as they are.
    """

    def __init__(
        self,
        case: Case,
        planes: Tensor,
        window: Window,
        config: PropagationConfig,
        check: Callable[[], None] | None = None,
        *,
        propagator: Propagator | None = None,
    ) -> None:
        self._spacing_mm = case.plane_spacing_mm
        self._pixel_mm = window.pixel_mm(self._spacing_mm)
        self._window, self._device = window, planes.device
        self._slices = len(planes)
        side_px = math.sqrt(planes.shape[1] * planes.shape[2])
        self._cap_px = CAP * side_px
        slice_px = case.volume.spacing_mm[case.annotation.axis] / self._pixel_mm
        chains = DisplacementChains(SliceFlows(planes, config.reach * side_px if config.registration else 0.0, check))
        self._from_all, self._from_training = (
            LabelPropagation(
                chains,
                slice_px=slice_px,
                softness_px=config.softness * side_px,
                cap_px=self._cap_px,
                fade=config.fade,
            )
            for _ in range(2)
        )
        refiner = None if propagator is None else Refiner(propagator, EvidenceSource(planes, slice_px))
        self._displayed = RefinedPropagation(self._from_all, refiner, own=True)
        self._left_out = RefinedPropagation(self._from_all, refiner, own=False)
        self._validated = RefinedPropagation(self._from_training, refiner, own=False)
        self._proposed: ProposedLabels | None = None
        self._label_slices: dict[int, LabelSlice] = {}
        self._outlines: dict[int, Outline] = {}
        self._completions = Completions(planes, window, self._cap_px)
        self._extents: Extents | None = None
        self._holdout: frozenset[int] = frozenset()
        self._simulated: frozenset[int] = frozenset()

    def relabel(self, case: Case, check: Callable[[], None] | None = None) -> None:
        """Take all outlines anew; an exception of `check` between two of them stops it."""
        classes = len(case.annotation.classes)
        self._label_slices, self._outlines = {}, {}
        self._completions.clear()
        for label_slice in case.annotation.slices.values():
            if check is not None:
                check()
            self._take(label_slice, classes)
        self._extents = Extents.of(self._label_slices, classes)
        self._take_proposal(case)
        self._compare_proposal()
        self._update()

    def annotate(self, label_slice: LabelSlice, classes: int) -> list[int]:
        """Take in one painted slice; return the slices whose propagated labels it changes, ascending."""
        self._take(label_slice, classes)
        self._extents = Extents.of(self._label_slices, classes)
        self._compare_proposal()
        return self._update()

    def hold_out(self, indices: Collection[int]) -> None:
        """Keep these slices from training and validation."""
        self._holdout = frozenset(indices)
        self._update()

    @property
    def can_propagate(self) -> bool:
        """Whether anything is known of slices that nobody has painted."""
        return _can_be_asked(self._from_all)

    @property
    def outlined(self) -> Collection[int]:
        """The slices that are annotated completely, in which no prediction is seen."""
        return self._outlines.keys()

    def for_display(self, indices: Sequence[int]) -> PropagatedLabels | None:
        """Return what is known of slices, an annotated one's own labels included; None if nothing is."""
        return self._displayed.at(indices) if self.can_propagate else None

    def for_estimate(self, indices: Sequence[int]) -> PropagatedLabels | None:
        """Return what is propagated to slices, to an annotated one as if it were not; None if nothing is."""
        return self._left_out.at(indices) if _can_be_asked(self._from_all) else None

    def for_training(self, indices: Sequence[int]) -> PropagatedLabels | None:
        """Return what is propagated from other slices that training may see; None if nothing is."""
        return self._from_training.at(indices) if _can_be_asked(self._from_training) else None

    def for_validation(self, indices: Sequence[int]) -> PropagatedLabels | None:
        """Return what students are validated with: as for training, unless that is simulated, which tells nothing."""
        if self.is_dense or not _can_be_asked(self._from_training):
            return None
        return self._validated.at(indices)

    @property
    def is_dense(self) -> bool:
        """Whether slices are annotated without a gap, so that sparse annotation is simulated."""
        return len(self._outlines) >= _FEWEST_SIMULATED and max(self._outlines) - min(self._outlines) < len(
            self._outlines
        )

    def simulate_sparse_annotation(self, order: Generator) -> None:
        """Propagate from other slices than before, of random number and place, where there is no gap."""
        if self.is_dense:
            structure = [index for index, outline in self._outlines.items() if not outline.is_empty]
            self._simulated = _some_of(structure, order)
            self._update()

    def own(self, indices: Sequence[int]) -> Tensor | None:
        """Return the signed distances (B, C, H, W) in slices that training propagates; None if one of them is not."""
        return self._from_training.own(indices) if set(indices) <= set(self._from_training.annotated) else None

    def next_to_annotated(self, most: int) -> list[int]:
        """Return unannotated slices that training sees an annotation right beside, between the ends, `most` of them."""
        # Completed outlines are too uncertain to validate students by.
        drawn = [index for index in self._from_training.annotated if index in self._outlines]
        sources = drawn or self._from_training.annotated
        beside = sorted({other for index in sources for other in (index - 1, index + 1)})
        known = [index for index in beside if index not in self._outlines and self.lies_between(index)]
        return list(evenly(known, most))

    def lies_between(self, index: int) -> bool:
        """Return whether slices on both sides are propagated to this one in training."""
        annotated = self._from_training.annotated
        return bool(annotated) and annotated[0] < index < annotated[-1]

    def holds_nothing(self, index: int) -> bool:
        """Return whether a slice lies beyond marked ends of all structures."""
        return self._extents is not None and bool(self._extents.absent([index])[0, 1:].all())

    def _take_proposal(self, case: Case) -> None:
        self._proposed = None
        if case.proposal is not None:
            values = [one.value for one in case.annotation.classes]
            planes = network_probabilities(case.proposal, case.annotation.axis, self._window, values)
            self._proposed = ProposedLabels(planes.to(self._device))
        for refined in (self._displayed, self._left_out, self._validated):
            refined.proposed = self._proposed

    def _compare_proposal(self) -> None:
        """Estimate the error of the proposal from all annotated slices, held-out ones included."""
        if self._proposed is not None:
            self._proposed.compare(self._outlines)

    def _take(self, label_slice: LabelSlice, classes: int) -> None:
        self._label_slices[label_slice.index] = label_slice
        self._outlines.pop(label_slice.index, None)
        if label_slice.state in (SliceState.COMPLETE, SliceState.BACKGROUND_ONLY):
            outline = network_outline(
                label_slice.labels, classes, self._window, self._spacing_mm, self._pixel_mm, self._cap_px
            )
            self._outlines[label_slice.index] = outline.to(self._device)
        self._completions.take(label_slice, classes)

    def _update(self) -> list[int]:
        # What was propagated in a simulation may have been erased since.
        sources = self._completions.beside(self._outlines)
        seen = self._simulated & self._outlines.keys() if self.is_dense else sources.keys()
        for_training = {index: sources[index] for index in seen - self._holdout}
        self._validated.forget(self._from_training.update(for_training, self._extents))
        could_propagate = self.can_propagate
        is_whole = len(self._outlines) == self._slices
        changed = self._from_all.update({} if is_whole else sources, self._extents)
        self._displayed.forget(changed)
        self._left_out.forget(changed)
        # Propagation begins with the second annotated slice, and ends without it, in all slices. Each annotated slice
        # also changes the estimated error of the proposal, and so its weight in all slices.
        is_all = self._proposed is not None or self.can_propagate != could_propagate
        return list(range(self._slices)) if is_all else changed


def _some_of(structure: Sequence[int], order: Generator) -> frozenset[int]:
    """Choose two to half of the slices that hold any structure; few as often as many."""
    if len(structure) < _FEWEST_SIMULATED:
        return frozenset()
    count = round(math.exp(order.uniform(math.log(2), math.log(len(structure) / 2))))
    return frozenset(int(index) for index in order.choice(structure, count, replace=False))


def _can_be_asked(propagation: LabelPropagation) -> bool:
    """Return whether labels can be propagated to annotated slices as well, from which students learn."""
    return propagation.can_propagate and len(propagation.annotated) > 1
