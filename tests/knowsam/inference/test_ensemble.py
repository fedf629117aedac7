"""Students and propagated labels, weighed by their errors and by the distance from the annotated slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from knowsam.data.distances import signed_distances_mm
from knowsam.inference.ensemble import HeldOutWeight, StudentWeight, ensemble, self_assessed_error
from knowsam.inference.refinement import PROPAGATOR_ERROR
from knowsam.propagation.propagated_labels import PropagatedLabels

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelArray

SIZE = 32


def disc(radius: float, column: float = 16.0) -> LabelArray:
    y, x = np.mgrid[:SIZE, :SIZE]
    return (np.hypot(y - 16.0, x - column) < radius).astype(np.uint8)


def between(lower: LabelArray, upper: LabelArray, slices: int, *indices: int, classes: int = 2) -> PropagatedLabels:
    """Return labels of slices between two annotated ones, so many slices apart, with nothing that moves."""
    sides = [
        torch.from_numpy(signed_distances_mm(labels, classes, (1.0, 1.0))).expand(len(indices), -1, -1, -1)
        for labels in (lower, upper)
    ]
    position = torch.tensor([index / slices for index in indices]).view(-1, 1, 1, 1)
    nearest = torch.tensor([float(min(index, slices - index)) for index in indices]).view(-1, 1, 1, 1)
    return PropagatedLabels(*sides, position, nearest, softness_px=1.5)


def apart(*indices: int) -> PropagatedLabels:
    """Return labels between two discs that do not touch, six slices apart."""
    return between(disc(5, 8.0), disc(5, 24.0), 6, *indices)


@pytest.mark.parametrize(
    ("student_variance", "limit", "share"), [(0.25, 1.0, 0.5), (0.75, 1.0, 0.25), (0.0, 1.0, 1.0), (0.0, 0.3, 0.3)]
)
def test_students_and_propagated_labels_are_weighed_by_the_variances_of_their_errors(
    student_variance: float, limit: float, share: float
) -> None:
    propagated = apart(3)
    _, found = ensemble(propagated, propagated.probabilities, StudentWeight(student_variance, limit, limit, 0.0))
    assert found.item() == pytest.approx(share, abs=1e-4)


def test_logarithms_of_probabilities_are_pooled_and_those_learnt_elsewhere_linearly_beyond_all_annotated_slices() -> (
    None
):
    own, others = (torch.tensor(p).view(1, 2, 1, 1).repeat(2, 1, SIZE, SIZE) for p in ((0.8, 0.2), (0.1, 0.9)))
    between_two = apart(0, 3)._replace(refined=own)
    # The odds are 1 / 4 and 9; their geometric mean is 3 / 2. Annotated slices stay as they are.
    found, _ = ensemble(between_two, others, StudentWeight(0.0, 0.5, 0.5, 0.0))
    assert found[:, 1, 0, 0].tolist() == pytest.approx([0.2, 0.6])
    # What is propagated is expected to err by 0.5.
    as_wrong = HeldOutWeight(0.5 / 2**0.5)
    found, share = ensemble(between_two, others, as_wrong)
    assert share.flatten().tolist() == pytest.approx([0.0, 0.5], abs=1e-4)
    assert found[:, 1, 0, 0].tolist() == pytest.approx([0.2, 0.6], abs=1e-3)
    beyond = between_two._replace(position=torch.zeros(2, 1, 1, 1), beyond_error=torch.full((2, 1, 1, 1), 0.5))
    found, _ = ensemble(beyond, others, as_wrong)
    assert found[:, 1, 0, 0].tolist() == pytest.approx([0.2, 0.55], abs=1e-3)


def test_students_share_the_error_of_the_labels_that_they_see() -> None:
    """Propagated labels are expected to err by 0.5 here."""
    propagated = apart(3)
    _, share = ensemble(propagated, propagated.probabilities, StudentWeight(0.25, 1.0, 1.0, 0.0, shared_variance=0.4))
    assert share.item() == pytest.approx(0.25 / (0.25 + 0.25 + 0.1), abs=1e-4)


def test_students_count_more_where_the_outlines_that_were_propagated_are_guesses() -> None:
    drawn = between(disc(5), disc(5), 6, 3)
    guessed = drawn._replace(source_error=torch.full((1, 1, 1, 1), 0.2))
    shares = [
        ensemble(one, one.probabilities, StudentWeight(0.04, 0.6, 0.6, 0.0))[1].item() for one in (drawn, guessed)
    ]
    assert shares == pytest.approx([0.0, 0.5], abs=1e-4)


def test_beside_an_annotated_slice_students_have_little_weight() -> None:
    propagated = apart(0, 1, 3)
    _, shares = ensemble(propagated, propagated.probabilities, StudentWeight(0.0, 0.6, 0.6, 2.0))
    torch.testing.assert_close(shares.flatten(), torch.tensor([0.0, 0.2, 0.36]))


def probabilities_of(*structures: torch.Tensor) -> torch.Tensor:
    """Return the probabilities (1, C, H, W) of structures (H, W) and background."""
    found = torch.stack(structures)[None]
    return torch.cat([1 - found.sum(dim=1, keepdim=True), found], dim=1)


def test_students_expect_of_their_labels_the_dice_that_their_probabilities_give() -> None:
    half, nowhere = torch.zeros(SIZE, SIZE), torch.zeros(SIZE, SIZE)
    half[: SIZE // 2] = 0.8
    error = self_assessed_error(probabilities_of(half))
    assert error.item() == pytest.approx(1 - 2 * 0.4 / (0.4 + 0.5), abs=1e-5)
    with_a_trace = self_assessed_error(probabilities_of(half, torch.full((SIZE, SIZE), 0.1)))
    assert with_a_trace.item() == pytest.approx((error.item() + 1) / 2)
    assert self_assessed_error(probabilities_of(half, nowhere)).item() == pytest.approx(error.item())
    assert self_assessed_error(probabilities_of(nowhere)).isnan().item()


@pytest.mark.parametrize(("where_measured", "times"), [(None, 1.0), (1 / 18, 16.0), (1 / 9, 1.0), (1 / 3, 1.0)])
def test_students_of_other_volumes_count_less_where_they_are_less_sure_than_where_they_were_measured(
    where_measured: float | None, times: float
) -> None:
    """They take their own error for a ninth here."""
    propagated = apart(3)
    half = torch.zeros(SIZE, SIZE)
    half[: SIZE // 2] = 0.8
    _, share = ensemble(propagated, probabilities_of(half), HeldOutWeight(0.2, where_measured))
    assert share.item() == pytest.approx(0.25 / (0.25 + times * 2 * 0.2**2), abs=1e-4)


def test_propagated_labels_that_are_sure_are_not_taken_for_much_worse_than_they_expect_though_both_sides_differ() -> (
    None
):
    structure = torch.zeros(SIZE, SIZE)
    structure[: SIZE // 2] = 0.95
    sure = apart(3)._replace(refined=probabilities_of(structure))
    variance = (2 * (1 - 2 * 0.95 / 1.95)) ** 2
    weight = HeldOutWeight((variance / 2) ** 0.5)
    assert ensemble(sure, sure.probabilities, weight)[1].item() == pytest.approx(0.5, abs=1e-3)
    guessed = sure._replace(source_error=torch.full((1, 1, 1, 1), 0.3))
    expected = (variance + 0.09) / (2 * variance + 0.09)
    assert ensemble(guessed, guessed.probabilities, weight)[1].item() == pytest.approx(expected, abs=1e-3)
    beyond = sure._replace(position=torch.zeros(1, 1, 1, 1))
    assert ensemble(beyond, beyond.probabilities, weight)[1].item() > 0.98


def test_students_that_see_nothing_in_a_slice_count_there_as_they_were_measured() -> None:
    _, share = ensemble(apart(3), probabilities_of(torch.zeros(SIZE, SIZE)), HeldOutWeight(0.2, 0.1))
    assert share.item() == pytest.approx(0.25 / (0.25 + 2 * 0.2**2), abs=1e-4)


def test_beyond_the_outermost_annotated_slice_students_of_other_volumes_count_as_far_as_outlines_change() -> None:
    beyond = apart(3)._replace(position=torch.zeros(1, 1, 1, 1), beyond_error=torch.full((1, 1, 1, 1), 0.2))
    held_out = HeldOutWeight(0.1)
    _, share = ensemble(beyond, beyond.probabilities, held_out)
    assert share.item() == pytest.approx(0.04 / (0.04 + 2 * 0.1**2), abs=1e-4)
    _, unknown = ensemble(beyond._replace(beyond_error=None), beyond.probabilities, held_out)
    assert unknown.item() == pytest.approx(1 / (1 + 2 * 0.1**2), abs=1e-4)


def test_students_are_weighed_against_what_the_propagator_leaves_of_the_error_of_propagated_labels() -> None:
    """Propagated labels err by 0.5 here; weighed against a propagator that errs by 0.06, little of that is left."""
    propagated = apart(3)
    refined = propagated._replace(refined=propagated.probabilities)
    left = 0.25 * PROPAGATOR_ERROR**2 / (0.25 + PROPAGATOR_ERROR**2)
    _, share = ensemble(refined, propagated.probabilities, StudentWeight(0.03, 1.0, 1.0, 0.0))
    assert share.item() == pytest.approx(left / (left + 3 * 0.1**2), abs=1e-4)
    _, held_out = ensemble(refined, propagated.probabilities, HeldOutWeight(0.1))
    assert held_out.item() == pytest.approx(0.25 / (0.25 + 2 * 0.1**2), abs=1e-4)


def test_beyond_the_outermost_annotated_slice_students_have_a_limit_of_its_own() -> None:
    here = apart(3)
    beyond = here._replace(position=torch.zeros(1, 1, 1, 1))
    weight = StudentWeight(0.0, 0.5, 0.3, 0.0)
    shares = [ensemble(one, one.probabilities, weight)[1].item() for one in (here, beyond)]
    assert shares == pytest.approx([0.5, 0.3])


def test_beyond_the_outermost_annotated_slice_the_propagator_takes_no_weight_from_students() -> None:
    beyond = apart(3)._replace(position=torch.zeros(1, 1, 1, 1))
    beyond = beyond._replace(refined=beyond.probabilities)
    _, share = ensemble(beyond, beyond.probabilities, StudentWeight(0.03, 1.0, 1.0, 0.0))
    assert share.item() == pytest.approx(1 / 1.03, abs=1e-4)


def test_position_decides_between_two_structures_that_follow_each_other_and_students_whether_there_is_any() -> None:
    """Class 1 below gives way to class 2 above, in the same place; the students see class 2 in the left half of it."""
    propagated = between(disc(6), 2 * disc(6), 6, 1, 5, classes=3)
    students = torch.zeros(2, 3, SIZE, SIZE)
    students[:, 2, :, : SIZE // 2] = 1.0
    students[:, 0, :, SIZE // 2 :] = 1.0
    weight = StudentWeight(0.0001, 1.0, 1.0, 0.0)
    found, share = ensemble(propagated, students, weight)
    assert share.min() > 0.9
    left, right = found[:, :, SIZE // 2, SIZE // 2 - 3], found[:, :, SIZE // 2, SIZE // 2 + 3]
    assert left.argmax(dim=1).tolist() == [1, 2]
    assert right.argmax(dim=1).tolist() == [0, 0]
    torch.testing.assert_close(found.sum(dim=1), torch.ones(2, SIZE, SIZE))
    of_other_volumes, _ = ensemble(propagated, students, HeldOutWeight(0.01))
    assert of_other_volumes[:, :, SIZE // 2, SIZE // 2 - 3].argmax(dim=1).tolist() == [2, 2]
