"""The estimate for slices that nobody has painted, and when there is none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from knowsam import jobs
from knowsam.data.annotation import BACKGROUND_CLASS, IGNORE, Annotation, LabelArray, LabelClass, LabelSlice
from knowsam.inference.metrics import dice_score
from knowsam.models.teachers import Teacher
from knowsam.propagation.propagated_labels import PropagatedLabels
from knowsam.training.dice_estimate import (
    EXPECTED_SHARE,
    LEFT_OUT_SHARE,
    DiceEstimate,
    estimated_dice,
    in_words,
    reference_slices,
)
from knowsam.training.schedule import Budget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from knowsam.config import Config
    from knowsam.data.volume import Volume

LIVER, SPLEEN = (LabelClass(value, name, (9, 9, 9)) for value, name in ((1, "liver"), (2, "spleen")))


@dataclass
class Predicted:
    index: int
    labels: LabelArray


class SamePrediction:
    """Predicts the same of every slice."""

    def __init__(self, labels: LabelArray) -> None:
        self.labels = labels

    def slices(self, indices: list[int]) -> list[Predicted]:
        return [Predicted(index, self.labels) for index in indices]


def plane(*values: int) -> LabelArray:
    return np.array([*values, *[0] * (8 - len(values))], dtype=np.uint8).reshape(2, 4)


def annotation(*indices: int, labels: LabelArray, classes: tuple[LabelClass, ...] = (LIVER,)) -> Annotation:
    painted = Annotation((20, 2, 4), axis=0, classes=(BACKGROUND_CLASS, *classes))
    for index in indices:
        painted = painted.with_slice(LabelSlice(0, index, labels))
    return painted


def propagated(lower: LabelArray, upper: LabelArray, classes: int) -> Callable[[Sequence[int]], PropagatedLabels]:
    """Propagate the same labels from both sides to every slice, halfway between them."""
    one, other = (
        torch.from_numpy(np.stack([np.where(labels == number, 9.0, -9.0) for number in range(classes)])).float()
        for labels in (lower, upper)
    )

    def at(indices: Sequence[int]) -> PropagatedLabels:
        count = len(indices)
        both = (side.expand(count, *side.shape) for side in (one, other))
        return PropagatedLabels(*both, torch.full((count, 1, 1, 1), 0.5), torch.full((count, 1, 1, 1), 2.0), 1.0)

    return at


def estimate_of(found: LabelArray, sides: tuple[LabelArray, LabelArray], painted: Annotation) -> DiceEstimate | None:
    return estimated_dice(SamePrediction(found), propagated(*sides, len(painted.classes)), painted)  # type: ignore[arg-type]


def test_painted_slices_and_the_contradiction_of_both_sides_have_their_share() -> None:
    painted = annotation(1, 4, 7, 9, 12, labels=plane(*[1] * 8))
    whole, most = plane(*[1] * 8), plane(*[1] * 7)
    estimate = estimate_of(most, (whole, whole), painted)
    assert estimate is not None
    assert estimate.slices == 3
    assert estimate.mean == pytest.approx(1 - LEFT_OUT_SHARE * (1 - 14 / 15))
    expected = estimate_of(whole, (most, whole), painted)
    assert expected is not None
    assert expected.mean == pytest.approx(1 - EXPECTED_SHARE * (1 - 14 / 15) / 2, abs=1e-6)


def test_a_class_that_is_probably_wrong_has_no_estimate() -> None:
    both = plane(1, 1, 2, 2)
    painted = annotation(1, 4, 7, 9, 12, labels=both, classes=(LIVER, SPLEEN))
    estimate = estimate_of(plane(1, 1), (both, both), painted)
    assert estimate is not None
    assert estimate.by_class == (1.0, None)
    assert estimate.mean is None
    assert in_words(estimate, painted.classes).startswith(
        "Probable Dice between the painted slices: liver 1.00, spleen cannot be told (judged by 3 painted slices"
    )


def test_only_slices_that_were_painted_whole_or_corrected_between_others_are_references() -> None:
    painted = annotation(1, 4, 7, 9, 12, 15, labels=plane(1))
    painted = painted.with_slice(replace(painted.slices[4], by_hand=False, corrected=True))
    painted = painted.with_slice(replace(painted.slices[7], by_hand=False))
    painted = painted.with_slice(LabelSlice(0, 9, plane(1, IGNORE)))
    assert reference_slices(painted) == [4, 12]
    assert estimate_of(plane(1), (plane(1), plane(1)), painted) is None


def test_slices_beyond_the_outermost_completely_painted_ones_are_left_out() -> None:
    painted = annotation(1, 4, 7, 9, 12, labels=plane(1)).with_slice(LabelSlice(0, 18, plane(1, IGNORE)))
    asked: list[int] = []
    propagate = propagated(plane(1), plane(1), 2)
    estimated_dice(SamePrediction(plane(1)), lambda indices: asked.extend(indices) or propagate(indices), painted)  # type: ignore[arg-type, func-returns-value]
    assert asked == [2, 3, 5, 6, 8, 10, 11]


def test_of_many_painted_slices_some_are_references_evenly() -> None:
    painted = Annotation((400, 2, 4), axis=0, classes=(BACKGROUND_CLASS, LIVER))
    for index in range(0, 400, 2):
        painted = painted.with_slice(LabelSlice(0, index, plane(1)))
    estimate = estimate_of(plane(1), (plane(1), plane(1)), painted)
    assert estimate is not None
    assert 16 <= estimate.slices <= 32


def test_where_no_slice_is_left_between_painted_ones_there_is_no_estimate() -> None:
    assert estimate_of(plane(1), (plane(1), plane(1)), annotation(*range(3, 9), labels=plane(1))) is None


@pytest.mark.parametrize("budget", [Budget(steps=0), Budget(steps=2)])
def test_a_segmentation_comes_with_an_estimate_that_does_not_flatter(
    ball: Volume, ball_labels: LabelArray, tiny_config: Config, budget: Budget
) -> None:
    painted = Annotation.from_labels(ball_labels, axis=0, indices=[2, 4, 5, 7, 9])
    result = jobs.segment(ball, painted, budget=budget, config=tiny_config, teacher=Teacher("none"), device="cpu")
    hidden = [3, 6, 8]
    truth = dice_score(result.labels[hidden], ball_labels[hidden], 1)
    assert isinstance(result.estimate, DiceEstimate)
    assert result.estimate.slices == 3
    assert result.estimate.mean is None or truth - 0.1 < result.estimate.mean < truth + 0.05
