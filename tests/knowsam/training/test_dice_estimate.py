"""Each painted slice is predicted from the others, and what is said of the rest is more certain than that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from knowsam import jobs
from knowsam.data.annotation import BACKGROUND_CLASS, IGNORE, Annotation, LabelArray, LabelClass, LabelSlice
from knowsam.inference.metrics import dice_score
from knowsam.training.dice_estimate import ERROR_RATIO, DiceEstimate, estimated_dice, in_words, judged_slices
from knowsam.training.schedule import Budget

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.data.volume import Volume

LIVER, SPLEEN = (LabelClass(value, name, (9, 9, 9)) for value, name in ((1, "liver"), (2, "spleen")))


@dataclass
class Predicted:
    index: int
    labels: LabelArray


class Says:
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


def test_the_error_of_painted_slices_is_scaled_to_that_of_the_nearer_others() -> None:
    painted = annotation(1, 4, 7, 9, 12, labels=plane(1, 1, 1, 1))
    estimate = estimated_dice(Says(plane(1, 1, 1)), painted)  # type: ignore[arg-type]
    assert estimate is not None
    assert estimate.slices == 3
    assert estimate.mean == pytest.approx(1 - ERROR_RATIO * (1 - 6 / 7))


def test_where_painted_slices_are_hardly_found_nothing_is_said() -> None:
    painted = annotation(1, 4, 7, 9, 12, labels=plane(1, 1, 2, 2), classes=(LIVER, SPLEEN))
    estimate = estimated_dice(Says(plane(1, 1)), painted)  # type: ignore[arg-type]
    assert estimate is not None
    assert estimate.by_class == (1.0, None)
    assert estimate.mean is None
    assert in_words(estimate, painted.classes).startswith(
        "Probable Dice between the painted slices: liver 1.00, spleen cannot be told (each of 3 painted slices"
    )


def test_only_slices_that_were_painted_whole_and_by_hand_between_others_are_judged() -> None:
    painted = annotation(1, 4, 7, 9, 12, 15, labels=plane(1))
    painted = painted.with_slice(replace(painted.slices[7], by_hand=False))
    painted = painted.with_slice(LabelSlice(0, 9, plane(1, IGNORE)))
    assert judged_slices(painted) == [4, 12]
    assert estimated_dice(Says(plane(1)), painted) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("budget", [Budget(steps=0), Budget(steps=2)])
def test_a_segmentation_comes_with_an_estimate_that_does_not_flatter(
    ball: Volume, ball_labels: LabelArray, tiny_config: Config, budget: Budget
) -> None:
    painted = Annotation.from_labels(ball_labels, axis=0, indices=[2, 4, 5, 7, 9])
    result = jobs.segment(ball, painted, budget=budget, config=tiny_config, teacher=jobs.Teacher("none"), device="cpu")
    hidden = [3, 6, 8]
    truth = dice_score(result.labels[hidden], ball_labels[hidden], 1)
    assert isinstance(result.estimate, DiceEstimate)
    assert result.estimate.slices == 3
    assert result.estimate.mean is None or truth - 0.1 < result.estimate.mean < truth + 0.05
