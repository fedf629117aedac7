from __future__ import annotations

import numpy as np
import pytest

from knowsam.training.expected_dice import PROBABILITY, ExpectedDice


def test_the_expected_range_holds_another_value_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    samples = random.normal(0.6, 0.05, (2000, 6))
    expected = [ExpectedDice.of(1, sample[:5].tolist()) for sample in samples]
    inside = [one.low <= sample[5] <= one.high for sample, one in zip(samples, expected, strict=True)]
    assert np.mean(inside) == pytest.approx(PROBABILITY, abs=0.03)


def test_it_stays_within_what_a_dice_can_be() -> None:
    expected = ExpectedDice.of(1, [0.1, 0.9])
    assert (expected.low, expected.high) == (0.0, 1.0)


def test_one_volume_lets_expect_nothing() -> None:
    with pytest.raises(ValueError, match="two are needed"):
        ExpectedDice.of(1, [0.8])
