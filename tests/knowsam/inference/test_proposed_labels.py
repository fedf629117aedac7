"""A proposed mask counts beside propagated labels as far as it is probably right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from knowsam.data.proposed_mask import ProposedMask
from knowsam.data.window import Window
from knowsam.inference.planes import network_probabilities
from knowsam.inference.proposed_labels import ProposedLabels
from knowsam.propagation.label_propagation import Outline
from knowsam.propagation.propagated_labels import PropagatedLabels

SIDE, SLICES = 16, 7
WHOLE = Window((0, 0), (SIDE, SIDE), (SIDE, SIDE))


def square(low: int, high: int) -> torch.Tensor:
    mask = torch.zeros(SIDE, SIDE)
    mask[low:high, low:high] = 1
    return mask


def proposed(agreement: float, low: int = 4, high: int = 12) -> ProposedLabels:
    labels = np.broadcast_to(square(low, high).numpy().astype(np.uint8), (SLICES, SIDE, SIDE))
    mask = ProposedMask(labels, np.full(labels.shape, agreement, np.float16))
    return ProposedLabels(network_probabilities(mask, 0, WHOLE, (0, 1)))


def outline(low: int, high: int) -> Outline:
    inside = 10 * (2 * square(low, high) - 1)
    return Outline(torch.stack([-inside, inside]), torch.tensor([True, True]), is_empty=False)


def propagated(lower: tuple[int, int], upper: tuple[int, int], position: float, distance: float) -> PropagatedLabels:
    """A slice between two outlines."""
    sides = (outline(*side).distances_px[None] for side in (lower, upper))
    at = torch.tensor([position, distance]).view(2, 1, 1, 1, 1)
    return PropagatedLabels(*sides, at[0], at[1], softness_px=1.0)


def share(labels: ProposedLabels, beside: PropagatedLabels) -> float:
    """How far the proposal counts where it says structure and the propagated labels background."""
    return float(labels.blended(beside, [2])[0, 1, 5, 5] / labels._probabilities[2, 1, 5, 5])


def test_what_is_not_agreed_on_is_shared_by_the_other_classes() -> None:
    labels = np.array([[[0, 3]], [[7, 9]]], np.uint8)
    mask = ProposedMask(labels, np.array([[[0.5, 0.8]], [[1.0, 0.75]]], np.float16))
    planes = network_probabilities(mask, 0, Window((0, 0), (1, 2), (1, 2)), (0, 3, 7))
    # The value 9 is no class of the volume, so that it is background.
    expected = [[[[0.5, 0.1]], [[0.25, 0.8]], [[0.25, 0.1]]], [[[0.0, 0.75]], [[0.0, 0.125]], [[1.0, 0.125]]]]
    np.testing.assert_allclose(planes.float().numpy(), expected, atol=1e-3)


def test_it_has_no_weight_in_annotated_slices() -> None:
    assert share(proposed(0.9), propagated((8, 9), (10, 12), 0.5, 0.0)) == pytest.approx(0, abs=1e-6)


def test_it_counts_where_both_sides_contradict_each_other_and_not_where_they_agree() -> None:
    labels = proposed(0.9)
    agreeing = share(labels, propagated((6, 12), (6, 12), 0.5, 8.0))
    contradicting = share(labels, propagated((8, 9), (10, 12), 0.5, 8.0))
    assert agreeing == pytest.approx(0, abs=1e-3)
    assert contradicting > 0.5


def test_it_counts_less_the_more_it_was_wrong_in_annotated_slices() -> None:
    right, wrong, beside = proposed(0.9), proposed(0.9), propagated((8, 9), (10, 12), 0.5, 8.0)
    right.compare({0: outline(4, 12), 4: outline(4, 12)})
    wrong.compare({0: outline(9, 15), 4: outline(9, 15)})
    assert share(wrong, beside) < 0.6 * share(right, beside)
    wrong.compare({})
    assert share(wrong, beside) == pytest.approx(share(proposed(0.9), beside))


def test_it_counts_less_the_less_those_who_propose_it_agree() -> None:
    beside = propagated((8, 9), (10, 12), 0.5, 8.0)
    assert share(proposed(0.6), beside) < share(proposed(0.95), beside)


def test_beyond_the_outermost_annotated_slice_it_prevails() -> None:
    labels, beyond = proposed(0.9), propagated((7, 9), (7, 9), 0.0, 4.0)
    assert share(labels, beyond) > 0.9


def test_it_is_measured_between_the_outermost_annotated_slices_where_these_show_a_structure() -> None:
    """At the tips of a structure it errs more than elsewhere."""
    labels, beside = proposed(0.9), propagated((8, 9), (10, 12), 0.5, 8.0)
    right, wrong, nothing = outline(4, 12), outline(9, 15), replace(outline(0, 0), is_empty=True)
    labels.compare({0: wrong, 2: right, 4: wrong})
    between = share(labels, beside)
    labels.compare({0: wrong, 4: wrong})
    outermost = share(labels, beside)
    assert outermost < 0.6 * between
    labels.compare({0: right, 2: nothing, 4: right})
    assert outermost < share(labels, beside) < between


def test_a_mask_that_was_accepted_as_proposed_does_not_replace_labels_that_both_sides_agree_on() -> None:
    labels = proposed(0.9)
    labels.compare({1: outline(4, 12), 2: outline(4, 12), 3: outline(4, 12)})
    assert share(labels, propagated((6, 12), (6, 12), 0.5, 8.0)) == pytest.approx(0, abs=1e-3)


def test_beyond_an_annotated_slice_in_which_it_is_wrong_it_counts_less() -> None:
    """Slice 2 lies beyond slice 3."""
    labels, beyond = proposed(0.9), propagated((7, 9), (7, 9), 0.0, 4.0)
    right, wrong = outline(4, 12), outline(9, 15)
    labels.compare({3: right, 4: right, 5: right})
    all_right = share(labels, beyond)
    labels.compare({3: wrong, 4: right, 5: right})
    assert share(labels, beyond) < 0.8 * all_right
    labels.compare({3: right, 4: right, 5: wrong})
    assert share(labels, beyond) == pytest.approx(all_right)


def test_slices_in_which_both_show_nothing_tell_nothing() -> None:
    planes = torch.zeros(9, 2, SIDE, SIDE)
    planes[3:6, 1] = 0.9 * square(4, 12)
    planes[:, 0] = 1 - planes[:, 1]
    labels, beside = ProposedLabels(planes), propagated((8, 9), (10, 12), 0.5, 8.0)
    at_its_word = float(labels.blended(beside, [4])[0, 1, 5, 5])
    wrong, nothing = outline(9, 15), replace(outline(0, 0), is_empty=True)
    labels.compare({3: wrong, 4: wrong, 5: wrong})
    measured = float(labels.blended(beside, [4])[0, 1, 5, 5])
    assert measured < 0.9 * at_its_word
    labels.compare({0: nothing, 1: nothing, 4: wrong, 7: nothing, 8: nothing})
    assert float(labels.blended(beside, [4])[0, 1, 5, 5]) == pytest.approx(measured)
    labels.compare({0: nothing, 1: nothing, 7: nothing})
    assert float(labels.blended(beside, [4])[0, 1, 5, 5]) == pytest.approx(at_its_word)
