from __future__ import annotations

import math

import pytest

from knowsam.errors import ConfigError
from knowsam.training.schedule import Budget, decayed


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60s", 60), ("5m", 300), ("5min", 300), ("0.5h", 1800), ("90", 90), (" 2 m ", 120), ("1.5", 1.5)],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert Budget.parse(text) == Budget(seconds=seconds)


@pytest.mark.parametrize("text", ["", "m", "5 days", "-5m", "1e3", "five", "5m 3s", "nan", "inf"])
def test_a_text_that_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="a duration such as 60s, 5m or 1h was expected"):
        Budget.parse(text)


@pytest.mark.parametrize(("seconds", "steps"), [(None, None), (10.0, 10), (-1.0, None), (math.nan, None), (None, -1)])
def test_a_budget_is_one_amount_that_is_not_negative(seconds: float | None, steps: int | None) -> None:
    with pytest.raises(ConfigError, match="Give one of them"):
        Budget(seconds=seconds, steps=steps)


@pytest.mark.parametrize("budget", [Budget(seconds=0.0), Budget(steps=0), Budget.parse("0s")])
def test_a_budget_of_zero_is_used_up_from_the_start(budget: Budget) -> None:
    assert budget.is_zero
    assert budget.progress(steps=0, seconds=0.0) == 1.0


@pytest.mark.parametrize(("used", "progress"), [(0, 0.0), (10, 0.25), (40, 1.0), (50, 1.0)])
def test_progress_counts_only_what_the_budget_is_given_in(used: int, progress: float) -> None:
    assert Budget(steps=40).progress(steps=used, seconds=1e9) == progress
    assert Budget(seconds=40.0).progress(steps=10**9, seconds=used) == progress


@pytest.mark.parametrize(("progress", "rate"), [(0.0, 0.01), (0.5, 0.005), (1.0, 0.0)])
def test_the_learning_rate_falls_linearly_to_zero(progress: float, rate: float) -> None:
    assert decayed(0.01, progress) == pytest.approx(rate)
