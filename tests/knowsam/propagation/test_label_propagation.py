"""Discs painted in some slices, and the labels propagated to the slices round them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor

from knowsam.data.distances import signed_distances_mm
from knowsam.data.ends import Extents
from knowsam.inference.metrics import dice_score
from knowsam.propagation.displacement_chains import DisplacementChains
from knowsam.propagation.label_propagation import LabelPropagation, Outline
from knowsam.propagation.slice_flows import SliceFlows

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelArray
    from knowsam.propagation.propagated_labels import PropagatedLabels

SIZE = 32
SLICES = 12
CENTRE = (16.0, 16.0)


def disc(radius: float, centre: tuple[float, float] = CENTRE) -> LabelArray:
    y, x = np.mgrid[:SIZE, :SIZE]
    return (np.hypot(y - centre[0], x - centre[1]) < radius).astype(np.uint8)


def outline_of(labels: LabelArray, classes: int = 2) -> Outline:
    present = np.isin(np.arange(classes), labels)
    distances_px = signed_distances_mm(labels, classes, (1.0, 1.0))
    return Outline(torch.from_numpy(distances_px), torch.from_numpy(present), is_empty=not labels.any())


def textured(x_px: float) -> Tensor:
    """Return slices with a texture that moves so far along the columns from one to the next."""
    y = torch.arange(SIZE).unsqueeze(1)
    x = torch.arange(SIZE) - x_px * torch.arange(SLICES).view(-1, 1, 1)
    return torch.sin(x / 3) + torch.sin(y / 4 + 1) + torch.sin((x + y) / 5) / 2


def prior_of(
    painted: dict[int, LabelArray], *, classes: int = 2, planes: Tensor | None = None, **given: Any
) -> LabelPropagation:
    """Carry shapes along the tissue of the planes, or straight on if there are none."""
    flows = SliceFlows(torch.zeros(SLICES, SIZE, SIZE) if planes is None else planes, 0.0 if planes is None else 2.0)
    settings = {"slice_px": 1.0, "softness_px": 1.5, "cap_px": 10.0, "fade": 1.0} | given
    prior = LabelPropagation(DisplacementChains(flows), **settings)
    prior.update({index: outline_of(labels, classes) for index, labels in painted.items()})
    return prior


def labels_at(prior: LabelPropagation, index: int, *, own: bool = False) -> LabelArray:
    labels: LabelArray = prior.at([index], own=own).probabilities.argmax(1)[0].numpy().astype(np.uint8)
    return labels


def halves(radius: float) -> LabelArray:
    """Return a disc whose left half is class 1 and whose right half is class 2."""
    labels = disc(radius)
    labels[:, SIZE // 2 :] *= 2
    return labels


def test_between_two_equal_shapes_lies_the_same_shape() -> None:
    prior = prior_of({2: disc(7), 8: disc(7)})
    for index in range(3, 8):
        np.testing.assert_array_equal(labels_at(prior, index), disc(7))


def test_a_shape_grows_from_a_small_one_to_a_large_one() -> None:
    prior = prior_of({0: disc(4), 8: disc(10)})
    areas = [int(labels_at(prior, index).sum()) for index in range(1, 8)]
    assert areas == sorted(areas)
    assert disc(4).sum() <= areas[0] < areas[3] < areas[-1] <= disc(10).sum()
    assert dice_score(labels_at(prior, 4), disc(7), 1) > 0.9


def test_a_shape_that_moves_with_the_tissue_is_followed_by_registration_only() -> None:
    shift_px = 1.5
    painted = {index: disc(5, (16, 11 + shift_px * index)) for index in (0, 6)}
    expected = disc(5, (16, 11 + shift_px * 3))
    followed = dice_score(labels_at(prior_of(painted, planes=textured(shift_px)), 3), expected, 1)
    straight = dice_score(labels_at(prior_of(painted), 3), expected, 1)
    assert followed > 0.9
    assert straight < followed - 0.1


@pytest.mark.parametrize("planes", [None, textured(1.0)], ids=["straight", "registered"])
def test_probabilities_of_all_classes_sum_to_one_everywhere(planes: Tensor | None) -> None:
    prior = prior_of({1: halves(9), 5: disc(4), 9: 2 * disc(6)}, classes=3, planes=planes)
    probabilities = prior.at(range(SLICES)).probabilities
    assert probabilities.shape == (SLICES, 3, SIZE, SIZE)
    assert probabilities.min() >= 0
    torch.testing.assert_close(probabilities.sum(1), torch.ones(SLICES, SIZE, SIZE))


def test_between_touching_classes_no_gap_opens() -> None:
    prior = prior_of({0: halves(5), 8: halves(11)}, classes=3)
    for index in range(1, 8):
        labels = labels_at(prior, index)
        both = np.flatnonzero(labels[16])
        np.testing.assert_array_equal(both, np.arange(both[0], both[-1] + 1))
        np.testing.assert_array_equal(labels[:, :16] == 2, False)
        np.testing.assert_array_equal(labels[:, 16:] == 1, False)


@pytest.mark.parametrize("above", [disc(0), disc(5, (16, 8))], ids=["to background", "beside another class"])
def test_a_class_that_is_absent_in_one_slice_ends_about_halfway(above: LabelArray) -> None:
    below = np.maximum(2 * disc(5, (16, 24)), disc(5, (16, 8)))
    for first, last in ((below, above), (above, below)):
        prior = prior_of({0: first, 8: last}, classes=3)
        present = [bool((labels_at(prior, index) == 2).any()) for index in (1, 2, 3, 5, 6, 7)]
        assert present == ([True] * 3 + [False] * 3 if first is below else [False] * 3 + [True] * 3)


@pytest.mark.parametrize(
    ("slice_px", "fade", "shrunk_px"), [(1.0, 1.0, 2), (0.5, 1.0, 1), (2.0, 1.0, 4), (2.0, 0.5, 2), (1.0, 0.0, 0)]
)
@pytest.mark.parametrize("index", [1, 7])
def test_beyond_the_outermost_slices_a_shape_shrinks_with_the_distance(
    slice_px: float, fade: float, shrunk_px: int, index: int
) -> None:
    prior = prior_of({3: disc(8), 5: disc(8)}, slice_px=slice_px, fade=fade)
    distances = signed_distances_mm(disc(8), 2, (1.0, 1.0))[1]
    np.testing.assert_array_equal(labels_at(prior, index), distances > shrunk_px)


def test_beyond_its_end_a_structure_gives_way_to_background_and_leaves_its_neighbour_alone() -> None:
    prior = prior_of({3: halves(5), 5: halves(5)}, classes=3, fade=0.0)
    before = labels_at(prior, 7)
    assert {1, 2} <= set(np.unique(before))
    outlines = {index: outline_of(halves(5), 3) for index in (3, 5)}
    everywhere = np.array([-1, -1, -1]), np.array([99, 99, 99])
    prior.update(outlines, Extents(*everywhere))
    changed = prior.update(outlines, Extents(everywhere[0], np.array([99, 6, 99])))
    assert changed == list(range(7, 12))
    np.testing.assert_array_equal(labels_at(prior, 7), np.where(before == 1, 0, before))
    np.testing.assert_array_equal(labels_at(prior, 6), before)


def test_far_beyond_nothing_is_left() -> None:
    prior = prior_of({0: disc(5), 2: disc(5)})
    assert not labels_at(prior, 11).any()


def test_a_shape_blends_by_position_and_distance_is_that_to_the_nearer_slice() -> None:
    propagated = prior_of({2: disc(4), 10: disc(8)}).at([1, 4, 6, 9, 11])
    assert propagated.position.flatten().tolist() == [0.0, 0.25, 0.5, 0.875, 0.0]
    assert propagated.nearest_slices.flatten().tolist() == [1.0, 2.0, 4.0, 1.0, 1.0]


def test_an_annotated_slice_gets_the_labels_of_the_others_only() -> None:
    prior = prior_of({0: disc(6), 4: disc(12), 8: disc(6)})
    np.testing.assert_array_equal(labels_at(prior, 4), disc(6))
    assert prior.at([4]).nearest_slices.item() == 4.0


def test_an_outermost_slice_gets_the_labels_of_the_nearest_one_inside() -> None:
    prior = prior_of({0: disc(6), 4: disc(9), 8: disc(3)}, fade=0.0)
    np.testing.assert_array_equal(labels_at(prior, 8), disc(9))
    np.testing.assert_array_equal(labels_at(prior, 0), disc(9))


def test_an_annotated_slice_speaks_for_itself_where_it_may() -> None:
    prior = prior_of({0: disc(6), 4: disc(12), 8: disc(6)}, planes=textured(1.0))
    np.testing.assert_array_equal(labels_at(prior, 4, own=True), disc(12))
    assert prior.at([4], own=True).nearest_slices.item() == 0.0
    np.testing.assert_array_equal(labels_at(prior, 2, own=True), labels_at(prior, 2))


def test_the_only_annotated_slice_has_no_estimate() -> None:
    prior = prior_of({4: disc(6)})
    with pytest.raises(ValueError, match="no other slice is annotated"):
        prior.at([4])
    assert labels_at(prior, 5).any()


def test_background_alone_says_nothing() -> None:
    assert not prior_of({}).can_propagate
    assert not prior_of({2: disc(0), 6: disc(0)}).can_propagate
    assert prior_of({2: disc(0), 6: disc(3)}).can_propagate


def test_slices_are_distinguished_in_the_order_asked_for() -> None:
    prior = prior_of({0: disc(4), 8: disc(10)}, planes=textured(1.0))
    order = [7, 0, 11, 3]
    together = prior.at(order).probabilities
    for row, index in enumerate(order):
        torch.testing.assert_close(together[row : row + 1], prior.at([index]).probabilities)


@pytest.mark.parametrize(
    ("after", "changed"),
    [
        ({2: 4, 6: 9, 10: 4}, range(2, 11)),
        ({2: 9, 6: 6, 10: 4}, range(7)),
        ({2: 4, 6: 6, 10: 9}, range(6, 12)),
        ({2: 4, 4: 9, 6: 6, 10: 4}, range(2, 7)),
        ({0: 9, 2: 4, 6: 6, 10: 4}, range(3)),
        ({2: 4, 10: 4}, range(2, 11)),
        ({6: 6, 10: 4}, range(7)),
        ({2: 4, 6: 6, 10: 4}, range(0)),
    ],
    ids=["middle", "lowest", "highest", "added between", "added below", "removed", "removed lowest", "nothing"],
)
def test_a_change_matters_to_the_slices_beside_it_and_is_the_same_as_building_anew(
    after: dict[int, int], changed: range
) -> None:
    """Discs are named by their radius; what is the same in both is the same object."""
    before = {2: 4, 6: 6, 10: 4}
    shapes = {radius: outline_of(disc(radius)) for radius in {*before.values(), *after.values()}}
    prior, anew = (prior_of({}, planes=textured(1.0)) for _ in range(2))
    assert prior.update({index: shapes[radius] for index, radius in before.items()}) == list(range(SLICES))
    former = prior.at(range(SLICES))
    assert prior.update({index: shapes[radius] for index, radius in after.items()}) == list(changed)
    anew.update({index: shapes[radius] for index, radius in after.items()})
    assert prior.annotated == anew.annotated == tuple(sorted(after))
    for own in (False, True):
        torch.testing.assert_close(
            prior.at(range(SLICES), own=own)[:4], anew.at(range(SLICES), own=own)[:4], atol=1e-3, rtol=0.0
        )
    others = [index for index in range(SLICES) if index not in changed]
    for now, then in zip(prior.at(range(SLICES))[:4], former[:4], strict=True):
        assert torch.equal(now[others], then[others])


def some_propagated() -> PropagatedLabels:
    return prior_of({0: halves(9), 4: disc(5)}, classes=3).at([1, 2, 11])


def test_the_channels_are_both_shapes_their_blend_and_the_distance() -> None:
    propagated = some_propagated()
    channels = propagated.channels
    assert channels.shape == (3, 12, SIZE, SIZE)
    assert channels.abs().max() <= 1
    lower, upper, blend, far = channels.chunk(4, dim=1)
    assert torch.equal(lower > 0, propagated.lower > 0)
    assert torch.equal(upper > 0, propagated.upper > 0)
    torch.testing.assert_close((blend + 1) / 2, propagated.probabilities)
    assert far[0].unique().numel() == 1
    assert far[0, 0, 0, 0] < far[1, 0, 0, 0] < far[2, 0, 0, 0]


def test_at_a_mixing_rate_of_zero_a_slice_has_its_own_outline_and_at_one_the_propagated_one() -> None:
    propagated = some_propagated()
    own = outline_of(halves(3), 3).distances_px.expand(3, -1, -1, -1)
    certain = propagated.mixed_with(own, torch.zeros(3, 1, 1, 1))
    torch.testing.assert_close((certain.lower, certain.upper), (own, own))
    assert (certain.nearest_slices < 1).all()
    doubted = propagated.mixed_with(own, torch.ones(3, 1, 1, 1))
    torch.testing.assert_close(doubted, propagated)


def test_at_a_mixing_rate_of_one_half_it_lies_halfway() -> None:
    propagated = some_propagated()
    own = torch.zeros_like(propagated.lower)
    half = propagated.mixed_with(own, torch.full((3, 1, 1, 1), 0.5))
    torch.testing.assert_close((half.lower, half.upper), (propagated.lower / 2, propagated.upper / 2))
    assert half.nearest_slices.flatten().tolist() == [0.5, 1.0, 3.5]


def test_the_own_shape_is_no_deeper_than_the_cap() -> None:
    own = prior_of({0: disc(12), 4: disc(4)}, cap_px=5.0).own([4, 0])
    assert own.shape == (2, 2, SIZE, SIZE)
    assert own.abs().max() == 5.0
    np.testing.assert_array_equal(own[1, 1] > 0, disc(12))


def test_where_both_sides_agree_no_error_is_expected_and_where_they_are_apart_half_of_it_at_the_middle() -> None:
    left, right = disc(5, (16.0, 8.0)), disc(5, (16.0, 24.0))
    same = prior_of({2: disc(6), 8: disc(6)}).at([3, 5]).expected_error.flatten()
    apart = prior_of({2: left, 8: right}).at([3, 5, 7]).expected_error.flatten()
    torch.testing.assert_close(same, torch.zeros(2))
    assert apart[1].item() == pytest.approx(0.5)
    assert apart[0].item() == pytest.approx(apart[2].item())
    assert apart[0] < apart[1]


def test_beyond_the_outermost_annotated_slice_everything_may_be_wrong() -> None:
    assert prior_of({2: disc(6), 6: disc(6)}).at([0, 9]).expected_error.flatten().tolist() == [1.0, 1.0]


def test_beyond_it_the_error_grows_as_fast_as_between_the_two_outermost_annotated_slices() -> None:
    """Of three, the lower two do not touch, six slices apart: both sides have erred by sqrt(1 / 2) after three."""
    prior = prior_of({3: disc(5, (16.0, 8.0)), 9: disc(5, (16.0, 24.0)), 10: disc(5, (16.0, 24.0))})
    rate = np.sqrt(2) / 6
    errors = prior.beyond_error([2, 1, 6, 9, 11]).flatten().tolist()
    assert errors == pytest.approx([rate, 2 * rate, 0.0, 0.0, 0.0])
    assert prior.beyond_error([9, 10], own=True).flatten().tolist() == [0.0, 0.0]
    # An outermost annotated slice, as if it were not annotated, has the labels of the next one.
    assert prior.beyond_error([3]).item() == pytest.approx(0.0)
    assert prior.beyond_error([10]).item() == pytest.approx(rate)


def test_of_a_single_annotated_slice_nobody_knows_how_far_it_can_be_propagated() -> None:
    assert prior_of({5: disc(6)}).beyond_error([4, 7]).flatten().tolist() == [1.0, 1.0]


def test_the_growth_of_the_error_follows_a_correction() -> None:
    prior = prior_of({3: disc(5, (16.0, 8.0)), 9: disc(5, (16.0, 24.0))})
    before = prior.beyond_error([1]).item()
    prior.update({3: outline_of(disc(5, (16.0, 24.0))), 9: outline_of(disc(5, (16.0, 24.0)))})
    assert (before, prior.beyond_error([1]).item()) == (pytest.approx(2 * np.sqrt(2) / 6), 0.0)


def test_two_propagations_share_what_was_followed_and_each_reaches_its_own_slices() -> None:
    flows = SliceFlows(textured(1.0), 2.0)
    followed = list[int]()
    chains_of = flows.chains

    def chains(sources: list[int], ends: list[int]) -> list[Tensor]:
        followed.extend(sources)
        return chains_of(sources, ends)

    flows.chains = chains  # type: ignore[method-assign, assignment]
    shared = DisplacementChains(flows)
    one, other = (LabelPropagation(shared, slice_px=1.0, softness_px=1.5, cap_px=10.0, fade=1.0) for _ in range(2))
    outlines = {index: outline_of(disc(6)) for index in (2, 6, 10)}
    one.update({index: outlines[index] for index in (2, 10)})
    other.update(outlines)
    assert sorted(followed) == [2, 2, 6, 6, 10, 10]
    alone = prior_of({}, planes=textured(1.0))
    alone.update({index: outlines[index] for index in (2, 10)})
    torch.testing.assert_close(one.at(range(SLICES)).lower, alone.at(range(SLICES)).lower)
