"""Seeded draws."""

from __future__ import annotations

import pytest
import torch

from knowsam.pretraining.random_source import RandomSource


def test_two_sources_of_one_seed_draw_the_same() -> None:
    one, other = RandomSource(3), RandomSource(3)
    assert one.uniform(0, 1) == other.uniform(0, 1)
    torch.testing.assert_close(one.fields(2, (4, 8, 8), 2, 3), other.fields(2, (4, 8, 8), 2, 3))


def test_sources_of_other_seeds_draw_something_else() -> None:
    assert RandomSource(3).uniform(0, 1) != RandomSource(4).uniform(0, 1)


@pytest.mark.parametrize("px", [1.5, 4.0, 12.0])
def test_fields_have_unit_variance_up_to_their_edges(px: float) -> None:
    fields = RandomSource(0).fields(400, (3, 16, 16), 2.0, px)
    variance = fields.var(dim=0)
    assert variance.min() > 0.7
    assert variance.max() < 1.35


def test_smoother_fields_change_less_from_pixel_to_pixel() -> None:
    rough, smooth = (RandomSource(0).fields(20, (3, 32, 32), 2.0, px).diff(dim=-1).abs().mean() for px in (2.0, 8.0))
    assert smooth < rough / 2


def test_log_uniform_numbers_are_as_often_above_the_geometric_mean_as_below() -> None:
    source = RandomSource(0)
    drawn = [source.log_uniform(0.1, 10) for _ in range(2000)]
    assert min(drawn) >= 0.1
    assert max(drawn) <= 10
    assert 0.45 < sum(value > 1 for value in drawn) / len(drawn) < 0.55
