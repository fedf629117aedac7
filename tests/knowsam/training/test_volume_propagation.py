"""The ball, annotated in some of its slices, and the labels propagated to display, training and validation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from knowsam.data.annotation import IGNORE, Annotation, LabelArray, LabelSlice, default_classes
from knowsam.data.case import Case
from knowsam.inference.metrics import dice_score
from knowsam.inference.planes import network_labels, network_planes
from knowsam.training.network_volumes import common_windows
from knowsam.training.volume_propagation import VolumePropagation

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.data.volume import Volume

EMPTY = np.zeros((32, 32), np.uint8)
UNLABELLED = np.full((32, 32), IGNORE, np.uint8)
SQUARE = np.pad(np.ones((8, 8), np.uint8), 12)
PARTIAL = np.where(SQUARE == 1, SQUARE, np.uint8(IGNORE))


def painted(ball: Volume, labels: LabelArray, *indices: int, axis: int = 0) -> Case:
    return Case(ball, Annotation.from_labels(labels, axis=axis, indices=indices))


def prior_of(case: Case, config: Config) -> VolumePropagation:
    (window,), _ = common_windows([case], config)
    planes = network_planes(case.volume, case.annotation.axis, window, config.plane.clip_percent)
    prior = VolumePropagation(case, planes, window, config.propagation)
    prior.relabel(case)
    return prior


def shown_labels(prior: VolumePropagation, index: int) -> LabelArray:
    propagated = prior.for_display([index])
    assert propagated is not None
    labels: LabelArray = propagated.probabilities.argmax(1)[0].numpy().astype(np.uint8)
    return labels


def on_plane(labels: LabelArray, case: Case, config: Config) -> LabelArray:
    (window,), _ = common_windows([case], config)
    truth: LabelArray = network_labels(labels, window).numpy()
    return truth


def probabilities(prior: VolumePropagation) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what is shown and what is learnt of all twelve slices."""
    shown, learnt = prior.for_display(range(12)), prior.for_training(range(12))
    assert shown is not None
    assert learnt is not None
    return shown.probabilities, learnt.probabilities


def differing(one: torch.Tensor, other: torch.Tensor) -> list[int]:
    return [index for index in range(len(one)) if not torch.equal(one[index], other[index])]


def test_a_slice_with_some_of_structure_and_background_is_completed(
    ball: Volume, ball_labels: LabelArray, tiny_config: Config
) -> None:
    case = painted(ball, ball_labels, 4)
    prior = prior_of(case, tiny_config)
    scribbles = UNLABELLED.copy()
    scribbles[15:17, 14:18] = 1
    assert prior.annotate(LabelSlice(0, 7, scribbles), 2) == []
    assert not prior.can_propagate
    scribbles[2] = 0
    assert prior.annotate(LabelSlice(0, 7, scribbles), 2) == list(range(12))
    assert dice_score(shown_labels(prior, 7), on_plane(ball_labels[7], case, tiny_config), 1) > 0.9
    assert dice_score(shown_labels(prior, 5), on_plane(ball_labels[5], case, tiny_config), 1) > 0.9
    # It goes on being predicted, and what comes from it is less sure.
    assert set(prior.outlined) == {4}
    propagated = prior.for_display([4, 5, 7])
    assert propagated is not None
    assert propagated.source_error is not None
    assert (propagated.source_error.flatten().diff() > 0).all()
    assert propagated.source_error[0] == 0


def scribbled(index: int, *values: int) -> LabelSlice:
    """A stroke of background above, and one of each other class in a row of its own in the midst of the ball."""
    scribbles = UNLABELLED.copy()
    for place, value in enumerate(values):
        scribbles[2 if value == 0 else 13 + 3 * place, 14:18] = value
    return LabelSlice(0, index, scribbles)


def test_between_slices_that_somebody_has_drawn_scribbles_change_nothing(
    ball: Volume, ball_labels: LabelArray, tiny_config: Config
) -> None:
    prior = prior_of(painted(ball, ball_labels, 3, 8), tiny_config)
    before = shown_labels(prior, 5)
    assert prior.annotate(scribbled(5, 0, 1), 2) == []
    assert np.array_equal(shown_labels(prior, 5), before)
    # Without one of the two it is the other way round.
    assert 5 in prior.annotate(LabelSlice(0, 8, UNLABELLED), 2)
    assert not np.array_equal(shown_labels(prior, 5), before)


def test_a_class_that_nobody_scribbled_is_not_absent_if_both_neighbours_show_it(
    ball: Volume, ball_labels: LabelArray, tiny_config: Config
) -> None:
    labels = ball_labels.copy()
    labels[:, 16:] *= 2
    empty = Annotation(ball.shape, 0, default_classes([1, 2]))
    prior = prior_of(Case(ball, empty.with_slice(scribbled(3, 0, 1, 2))), tiny_config)
    prior.annotate(scribbled(8, 0, 1, 2), 3)
    prior.annotate(scribbled(5, 0, 1), 3)
    assert 2 in shown_labels(prior, 5)
    prior.annotate(scribbled(8, 0, 1), 3)
    assert 2 not in shown_labels(prior, 5)


def test_where_all_slices_are_scribbled_nothing_is_dense_and_students_are_compared_with_guesses(
    ball: Volume, tiny_config: Config
) -> None:
    annotation = Annotation(ball.shape, 0, default_classes([1]))
    for index in range(2, 10):
        annotation = annotation.with_slice(scribbled(index, 0, 1))
    prior = prior_of(Case(ball, annotation), tiny_config)
    assert not prior.is_dense
    assert prior.for_validation([5]) is not None
    assert prior.next_to_annotated(4)


@pytest.mark.parametrize("registration", [True, False])
@pytest.mark.parametrize(("axis", "indices"), [(0, (2, 4, 6, 9)), (1, (8, 12, 18, 23)), (2, (8, 12, 18, 23))])
def test_the_structure_is_carried_along_any_axis(
    ball: Volume, ball_labels: LabelArray, tiny_config: Config, axis: int, indices: tuple[int, ...], registration: bool
) -> None:
    case = painted(ball, ball_labels, *indices, axis=axis)
    config = tiny_config.with_values(registration=registration)
    prior = prior_of(case, config)
    (window,), _ = common_windows([case], config)
    for index in range(indices[1], indices[2] + 1):
        truth = network_labels(np.take(ball_labels, index, axis=axis), window).numpy()
        labelled = truth != IGNORE
        assert dice_score(shown_labels(prior, index)[labelled], truth[labelled], 1) > 0.85, index


def test_an_annotated_slice_is_shown_as_it_was_painted(
    case: Case, ball_labels: LabelArray, tiny_config: Config
) -> None:
    prior = prior_of(case, tiny_config)
    for index in (4, 7):
        np.testing.assert_array_equal(shown_labels(prior, index), ball_labels[index])


@pytest.mark.parametrize(("fade", "shrunk_px"), [(1.0, 2.0), (0.5, 1.0), (0.0, 0.0)])
def test_beyond_the_ends_shapes_shrink_by_millimetres(
    case: Case, tiny_config: Config, fade: float, shrunk_px: float
) -> None:
    """Slices lie 2 mm apart, and a pixel is 1 mm wide."""
    prior = prior_of(case, tiny_config.with_values(fade=fade, registration=False))
    own = prior.own([7])
    assert own is not None
    np.testing.assert_array_equal(shown_labels(prior, 8), (own[0, 1] > shrunk_px).numpy())


def test_held_out_slices_are_shown_but_not_learnt_from(
    ball: Volume, ball_labels: LabelArray, tiny_config: Config
) -> None:
    prior = prior_of(painted(ball, ball_labels, 3, 5, 8), tiny_config)
    prior.hold_out([5])
    shown, learnt = probabilities(prior)
    assert prior.annotate(LabelSlice(0, 5, SQUARE), 2) == list(range(3, 9))
    shown_now, learnt_now = probabilities(prior)
    assert differing(shown, shown_now) == [4, 5, 6, 7]
    assert differing(learnt, learnt_now) == []
    prior.hold_out([])
    assert differing(learnt, probabilities(prior)[1]) == [3, 4, 6, 7, 8]


def test_a_slice_that_is_learnt_from_says_nothing_of_itself(
    ball: Volume, ball_labels: LabelArray, tiny_config: Config
) -> None:
    prior = prior_of(painted(ball, ball_labels, 3, 5, 8), tiny_config)
    _, learnt = probabilities(prior)
    prior.annotate(LabelSlice(0, 5, SQUARE), 2)
    assert 5 not in differing(learnt, probabilities(prior)[1])


@pytest.mark.parametrize("index", [4, 6])
def test_a_partly_annotated_slice_is_not_carried(
    ball: Volume, ball_labels: LabelArray, tiny_config: Config, index: int
) -> None:
    """Neither a new one nor one that was complete before; then those beside it are propagated past it."""
    case = painted(ball, ball_labels, 2, 4, 8)
    prior = prior_of(case, tiny_config)
    changed = prior.annotate(LabelSlice(0, index, PARTIAL), 2)
    assert changed == ([] if index == 6 else list(range(2, 9)))
    assert prior.own([index]) is None
    without = prior_of(painted(ball, ball_labels, *{2, 4, 8} - {index}), tiny_config)
    for now, expected in zip(probabilities(prior), probabilities(without), strict=True):
        torch.testing.assert_close(now, expected, atol=1e-4, rtol=0.0)


def test_where_every_slice_is_annotated_nothing_is_carried(
    ball: Volume, ball_labels: LabelArray, tiny_config: Config
) -> None:
    prior = prior_of(painted(ball, ball_labels, *range(12)), tiny_config)
    assert not prior.can_propagate
    assert prior.for_display([3]) is None
    assert prior.for_training([3]) is None
    assert prior.annotate(LabelSlice(0, 3, UNLABELLED), 2) == list(range(12))
    assert prior.can_propagate
    assert shown_labels(prior, 3).any()


def test_one_annotated_slice_says_nothing(ball: Volume, ball_labels: LabelArray, tiny_config: Config) -> None:
    prior = prior_of(painted(ball, ball_labels, 5), tiny_config)
    assert not prior.can_propagate
    assert prior.for_display([4]) is None


def test_the_second_annotated_slice_changes_the_propagated_labels_of_every_slice(
    ball: Volume, ball_labels: LabelArray, tiny_config: Config
) -> None:
    prior = prior_of(painted(ball, ball_labels, 4), tiny_config)
    assert prior.annotate(LabelSlice(0, 7, ball_labels[7]), 2) == list(range(12))


def test_training_gets_no_propagated_labels_where_all_but_one_slice_are_held_out(
    case: Case, tiny_config: Config
) -> None:
    prior = prior_of(case, tiny_config)
    prior.hold_out([7])
    assert prior.for_training([5]) is None
    assert prior.for_display([5]) is not None
    assert not prior.lies_between(5)


def test_slices_of_background_alone_say_nothing(case: Case, tiny_config: Config) -> None:
    prior = prior_of(case, tiny_config)
    for index in (4, 7, 9):
        prior.annotate(LabelSlice(0, index, EMPTY), 2)
    assert not prior.can_propagate
    prior.annotate(LabelSlice(0, 2, SQUARE), 2)
    assert prior.can_propagate


def test_a_slice_lies_between_where_others_that_are_learnt_from_lie_on_both_sides(
    ball: Volume, ball_labels: LabelArray, tiny_config: Config
) -> None:
    prior = prior_of(painted(ball, ball_labels, 3, 5, 8), tiny_config)
    assert [index for index in range(12) if prior.lies_between(index)] == [4, 5, 6, 7]
    prior.hold_out([8])
    assert [index for index in range(12) if prior.lies_between(index)] == [4]


def test_other_classes_are_carried_from_then_on(case: Case, tiny_config: Config) -> None:
    prior = prior_of(case, tiny_config)
    more = replace(case, annotation=case.annotation.with_classes(default_classes([1, 2])))
    prior.relabel(more)
    before, after = (one.for_training([5, 9]) for one in (prior_of(case, tiny_config), prior))
    assert before is not None
    assert after is not None
    assert after.channels.shape == (2, 12, 32, 32)
    torch.testing.assert_close(after.probabilities[:, :2], before.probabilities, atol=1e-3, rtol=0.0)
    prior.annotate(LabelSlice(0, 7, 2 * SQUARE), 3)
    assert set(np.unique(shown_labels(prior, 7))) == {0, 2}


def test_registration_is_broken_off_by_what_the_check_raises(case: Case, tiny_config: Config) -> None:
    def check() -> None:
        raise InterruptedError

    (window,), _ = common_windows([case], tiny_config)
    with pytest.raises(InterruptedError):
        VolumePropagation(
            case, torch.rand(12, 32, 32), window, tiny_config.with_values(registration=True).propagation, check
        )


def test_where_every_slice_is_annotated_now_these_now_those_are_carried_to_the_others(
    ball: Volume, ball_labels: LabelArray, tiny_config: Config
) -> None:
    prior = prior_of(painted(ball, ball_labels, *range(12)), tiny_config)
    assert prior.is_dense
    assert prior.for_training(range(12)) is None
    order, drawn = np.random.default_rng(0), set[frozenset[int]]()
    for _ in range(20):
        prior.simulate_sparse_annotation(order)
        propagated = frozenset(index for index in range(12) if prior.own([index]) is not None)
        # The ball lies in slices 2 to 9.
        assert propagated <= set(range(2, 10))
        assert 2 <= len(propagated) <= 4
        learnt = prior.for_training(range(12))
        assert learnt is not None
        assert (learnt.nearest_slices.flatten() > 0).all()
        drawn.add(propagated)
    assert len(drawn) > 5
    assert {len(propagated) for propagated in drawn} == {2, 3, 4}


def test_a_simulation_is_neither_shown_nor_validated_with_nor_keeps_held_out_slices_from_being_so(
    ball: Volume, ball_labels: LabelArray, tiny_config: Config
) -> None:
    prior = prior_of(painted(ball, ball_labels, *range(12)), tiny_config)
    prior.hold_out([3, 6])
    order = np.random.default_rng(0)
    for _ in range(20):
        prior.simulate_sparse_annotation(order)
        assert prior.own([3]) is None
        assert prior.own([6]) is None
    assert not prior.can_propagate
    assert prior.for_display([5]) is None
    assert prior.for_validation([5]) is None


@pytest.mark.parametrize(("indices", "is_dense"), [((3, 4, 5, 6), True), ((3, 4, 5), False), ((3, 4, 6, 7), False)])
def test_slices_without_a_gap_are_simulated_with_and_shown_beyond_their_ends(
    ball: Volume, ball_labels: LabelArray, tiny_config: Config, indices: tuple[int, ...], is_dense: bool
) -> None:
    prior = prior_of(painted(ball, ball_labels, *indices), tiny_config)
    assert prior.is_dense == is_dense
    prior.simulate_sparse_annotation(np.random.default_rng(0))
    propagated = [index for index in indices if prior.own([index]) is not None]
    assert len(propagated) == (2 if is_dense else len(indices))
    assert shown_labels(prior, indices[-1] + 1).any()


@pytest.mark.parametrize("labels", [UNLABELLED, PARTIAL], ids=["erased", "partly erased"])
def test_a_slice_that_is_simulated_with_may_be_erased(
    ball: Volume, ball_labels: LabelArray, tiny_config: Config, labels: LabelArray
) -> None:
    prior = prior_of(painted(ball, ball_labels, *range(2, 10)), tiny_config)
    order = np.random.default_rng(0)
    while prior.own([9]) is None:
        prior.simulate_sparse_annotation(order)
    prior.annotate(LabelSlice(0, 9, labels), 2)
    assert prior.is_dense
    assert prior.own([9]) is None


def test_a_volume_with_unannotated_slices_between_does_not_simulate(case: Case, tiny_config: Config) -> None:
    prior = prior_of(case, tiny_config)
    before = prior.for_training(range(12))
    prior.simulate_sparse_annotation(np.random.default_rng(0))
    after, validated = prior.for_training(range(12)), prior.for_validation(range(12))
    assert before is not None
    assert after is not None
    assert validated is not None
    torch.testing.assert_close(before.probabilities, after.probabilities)
    torch.testing.assert_close(before.probabilities, validated.probabilities)
