"""Propagated labels, and what a propagator makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from knowsam.data.window import Window
from knowsam.inference import refinement
from knowsam.inference.planes import network_outline
from knowsam.inference.refinement import PROPAGATOR_ERROR, RefinedPropagation, Refiner, refined
from knowsam.propagation.displacement_chains import DisplacementChains
from knowsam.propagation.evidence import Evidence, EvidenceSource
from knowsam.propagation.label_propagation import LabelPropagation, Outline
from knowsam.propagation.slice_flows import SliceFlows

if TYPE_CHECKING:
    from knowsam.propagation.propagated_labels import PropagatedLabels

SIZE, SLICES = 32, 12


class ConstantChange(nn.Module):
    """Changes every logit by the same amount, and counts the slices it was asked for."""

    def __init__(self, change: float) -> None:
        super().__init__()
        self.change, self.asked = change, 0

    def forward(self, maps: Tensor, _position: Tensor) -> Tensor:
        self.asked += len(maps)
        return torch.full_like(maps[:, :1], self.change)


class Contradicts(nn.Module):
    """Denies the first structure it is asked about, and confirms the next one: that there is any."""

    def __init__(self) -> None:
        super().__init__()
        self.changes = iter((-20.0, 20.0))

    def forward(self, maps: Tensor, _position: Tensor) -> Tensor:
        return torch.full_like(maps[:, :1], next(self.changes))


def disc(radius: float = 6.0, column: float = 16.0) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE]
    return (np.hypot(y - 16, x - column) < radius).astype(np.uint8)


def halves() -> np.ndarray:
    labels = disc()
    labels[:, 16:] *= 2
    return labels


PLANES = torch.rand((SLICES, SIZE, SIZE), generator=torch.Generator().manual_seed(0))


def propagation_of(painted: dict[int, np.ndarray], classes: int = 2, fade: float = 0.5) -> LabelPropagation:
    propagation = LabelPropagation(
        DisplacementChains(SliceFlows(PLANES, 0.0)), slice_px=1.0, softness_px=1.5, cap_px=10.0, fade=fade
    )
    propagation.update(outlines(painted, classes))
    return propagation


def outlines(painted: dict[int, np.ndarray], classes: int = 2) -> dict[int, Outline]:
    whole = Window((0, 0), (SIZE, SIZE), (SIZE, SIZE))
    return {
        index: network_outline(labels, classes, whole, (1.0, 1.0), pixel_mm=1.0) for index, labels in painted.items()
    }


def propagated_to(
    indices: list[int], painted: dict[int, np.ndarray], classes: int = 2, fade: float = 0.5
) -> tuple[PropagatedLabels, Evidence]:
    propagation = propagation_of(painted, classes, fade)
    propagated = propagation.at(indices, own=True)
    return propagated, EvidenceSource(PLANES, 1.0).of(indices, propagated, propagation, own=True)


def area(probabilities: Tensor) -> list[int]:
    return (probabilities.argmax(dim=1) > 0).flatten(1).sum(dim=1).tolist()


def test_a_propagator_that_changes_nothing_leaves_the_labels_as_they_are() -> None:
    propagated, evidence = propagated_to([1, 2, 5, 8, 10], {2: disc(), 8: disc(4)})
    unchanged = refined(ConstantChange(0), propagated, evidence).probabilities
    torch.testing.assert_close(unchanged, propagated.probabilities, rtol=0, atol=1e-3)


def test_it_counts_as_far_as_the_outlines_of_both_sides_disagree() -> None:
    (near, near_evidence), (far, far_evidence) = (
        propagated_to([5], {2: disc(), 8: disc(column=column)}) for column in (16.2, 24.0)
    )
    changed = [
        (refined(ConstantChange(9), own, evidence).probabilities - own.probabilities)[0, 1].amax()
        for own, evidence in ((near, near_evidence), (far, far_evidence))
    ]
    assert near.expected_error.item() < PROPAGATOR_ERROR < far.expected_error.item()
    assert changed[0] < 0.5 < changed[1]


def test_an_annotated_slice_stays_as_it_was_annotated() -> None:
    propagated, evidence = propagated_to([2], {2: disc(), 8: disc(column=24.0)})
    torch.testing.assert_close(refined(ConstantChange(9), propagated, evidence).probabilities, propagated.probabilities)


def test_beyond_the_outermost_annotated_slice_a_structure_can_end_but_not_grow() -> None:
    propagated, evidence = propagated_to([9, 10], {2: disc(), 8: disc()})
    assert area(refined(ConstantChange(-9), propagated, evidence).probabilities) == [0, 0]
    assert area(refined(ConstantChange(9), propagated, evidence).probabilities) == area(propagated.probabilities)


def test_two_classes_share_what_belongs_to_any_of_them() -> None:
    propagated, evidence = propagated_to([5], {2: halves(), 8: np.roll(halves(), 5, axis=0)}, classes=3)
    probabilities = refined(ConstantChange(2), propagated, evidence).probabilities
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(1, SIZE, SIZE))
    assert set(probabilities.argmax(dim=1).unique().tolist()) == {0, 1, 2}
    assert probabilities[0, 0].sum() < propagated.probabilities[0, 0].sum()


def test_what_is_any_structure_but_none_of_those_on_both_sides_is_background() -> None:
    propagated, evidence = propagated_to([4], {1: disc(), 8: disc(column=24.0), 11: 2 * disc()}, classes=3)
    probabilities = refined(Contradicts(), propagated, evidence).probabilities
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(1, SIZE, SIZE))
    assert probabilities[0, 0, 16, 28] > 0.5
    assert probabilities[0, 2].max() < 0.01


def test_position_decides_where_one_structure_follows_the_other() -> None:
    propagated, evidence = propagated_to([4, 6], {2: disc(), 8: 2 * disc()}, classes=3)
    labels = refined(ConstantChange(3), propagated, evidence).probabilities.argmax(dim=1)
    assert labels[:, 16, 16].tolist() == [1, 2]


@pytest.mark.parametrize(("indices", "asked"), [([5], 1), ([0], 0), ([0, 5, 6], 2)])
def test_slices_that_the_structure_does_not_reach_are_not_refined(indices: list[int], asked: int) -> None:
    propagated, evidence = propagated_to(indices, {4: disc(), 8: disc()}, fade=4.0)
    propagator = ConstantChange(1)
    refined(propagator, propagated, evidence)
    assert propagator.asked == asked


def test_a_slice_is_refined_once_until_other_labels_are_propagated_to_it() -> None:
    propagation, propagator = propagation_of({2: disc(), 8: disc(column=20.0)}), ConstantChange(2)
    refiner = Refiner(propagator, EvidenceSource(PLANES, 1.0))
    refined_propagation = RefinedPropagation(propagation, refiner, own=True)
    first = refined_propagation.at([4, 5]).probabilities
    again = refined_propagation.at([5, 4, 6]).probabilities
    assert propagator.asked == 3
    torch.testing.assert_close(again[:2], first.flip(0))
    painted = outlines({2: disc(), 8: disc(column=20.0), 5: disc(radius=3.0)})
    refined_propagation.forget(propagation.update(painted))
    now = refined_propagation.at([4, 6]).probabilities
    expected = RefinedPropagation(propagation, refiner, own=True).at([4, 6]).probabilities
    torch.testing.assert_close(now, expected)
    assert not torch.equal(now[0], first[0])


def test_what_is_kept_of_refined_slices_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refinement, "_MOST_CACHED_BYTES", 2 * 2 * SIZE * SIZE * 2)
    propagator = ConstantChange(2)
    propagation = propagation_of({2: disc(), 8: disc(column=20.0)})
    two_slices = RefinedPropagation(propagation, Refiner(propagator, EvidenceSource(PLANES, 1.0)), own=True)
    for indices, asked in (([4, 5, 6], 3), ([6, 5], 3), ([4], 4), ([5], 4), ([6], 5)):
        two_slices.at(indices)
        assert propagator.asked == asked, indices
