from __future__ import annotations

import math

import pytest
import torch

from knowsam.inference.uncertainty import error_probability, inverse_temperature
from knowsam.propagation.propagated_labels import PropagatedLabels

QUARTER = torch.tensor([0.75, 0.25]).view(1, 2, 1, 1)
AGREED = torch.zeros(1, 1, 1, 1)


def propagated(position: float, nearest_slices: float) -> PropagatedLabels:
    distances = torch.zeros(1, 2, 1, 1)
    return PropagatedLabels(
        distances, distances, torch.full((1, 1, 1, 1), position), torch.full((1, 1, 1, 1), nearest_slices), 1.0
    )


def error(where: PropagatedLabels, disagreement: float = 0.0) -> float:
    return error_probability(QUARTER, AGREED + disagreement, inverse_temperature(where)).item()


def test_an_annotated_slice_is_known() -> None:
    assert error(propagated(0.0, 0.0)) == 0.0


def test_an_annotated_slice_whose_rest_was_guessed_is_not_known() -> None:
    guessed = propagated(0.0, 0.0)._replace(source_error=torch.full((1, 1, 1, 1), 0.2))
    assert error(guessed) > 0
    assert error(guessed._replace(source_error=torch.zeros(1, 1, 1, 1))) == 0


def test_labels_are_surer_between_annotated_slices_than_beyond_them() -> None:
    assert error(propagated(0.5, 2.0)) < error(propagated(0.0, 2.0)) == pytest.approx(0.25)


def test_the_log_odds_are_scaled() -> None:
    scaled = inverse_temperature(propagated(0.5, 2.0)).item()
    odds = error(propagated(0.5, 2.0)) / (1 - error(propagated(0.5, 2.0)))
    assert math.log(odds) == pytest.approx(scaled * math.log(1 / 3), rel=1e-4)


def test_students_that_contradict_each_other_make_it_a_toss_up() -> None:
    assert error(propagated(0.5, 2.0), disagreement=1.0) == pytest.approx(0.5)
