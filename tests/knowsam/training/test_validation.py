"""What students take their own error for in chosen slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
import torch

from knowsam.data.annotation import Annotation, default_classes
from knowsam.data.case import Case
from knowsam.data.sampling import SliceKey
from knowsam.data.volume import Grid, Volume
from knowsam.data.window import Window
from knowsam.inference.predictor import Predictor, SlicePrediction
from knowsam.training.interruption import Interruption
from knowsam.training.validation import holdout_score

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WINDOW = Window((0, 0), (8, 8), (8, 8))


class GivenProbabilities:
    """Predicts a structure in half of each slice, with the probability that is given for it."""

    def __init__(self, probabilities: dict[int, float]) -> None:
        self.probabilities = probabilities

    def slices(self, indices: Sequence[int]) -> Iterator[SlicePrediction]:
        for index in indices:
            structure = torch.zeros(8, 8)
            structure[:4] = self.probabilities[index]
            yield SlicePrediction(index, torch.stack([1 - structure, structure]), structure, WINDOW, (8, 8))


def assessed(*volumes: dict[int, float], slices: Sequence[tuple[int, int]]) -> float | None:
    """Return the self-assessed error in slices in which everything is painted."""
    predictors = [cast("Predictor", GivenProbabilities(volume)) for volume in volumes]
    annotation = Annotation.from_labels(np.ones((6, 8, 8), np.uint8), 0, range(6), default_classes([0, 1]))
    case = Case(Volume(np.zeros((6, 8, 8), np.float32), Grid((8, 8, 6), np.eye(4)), "painted"), annotation)
    score = holdout_score(predictors, [case] * len(volumes), [SliceKey(*one) for one in slices], Interruption())
    return None if score is None else score.self_assessed_error


def test_it_is_the_mean_over_the_chosen_slices_of_all_volumes_that_show_a_structure() -> None:
    first, second = {2: 0.8, 5: 0.6}, {2: 1.0, 3: 0.0}
    expected = (1 - 2 * 0.8 / 1.8 + 0.0) / 2
    assert assessed(first, second, slices=[(0, 2), (1, 2), (1, 3)]) == pytest.approx(expected, abs=1e-6)


def test_there_is_none_where_they_show_nothing() -> None:
    assert assessed({2: 0.0}, slices=[(0, 2)]) is None
    assert assessed({2: 0.8}, slices=[]) is None
