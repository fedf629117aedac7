"""Prompts ask for the target, more or less well."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from knowsam.models.sam_prompting import BOTTOM_RIGHT, INSIDE, NO_POINT, OUTSIDE, TOP_LEFT
from knowsam.pretraining.prompting import PromptSource

SIZE = (48, 64)


@pytest.fixture
def source() -> PromptSource:
    return PromptSource(Generator().manual_seed(0), torch.device("cpu"))


@pytest.fixture
def target() -> Tensor:
    """Sixty-four slices with a square of 16 px, rows 10 to 25 and columns 20 to 35."""
    target = torch.zeros(64, 1, *SIZE)
    target[:, :, 10:26, 20:36] = 1
    return target


def test_a_box_lies_about_round_the_target(source: PromptSource, target: Tensor) -> None:
    corners, kinds = source.box(target)
    assert kinds.unique(dim=0).tolist() == [[TOP_LEFT, BOTTOM_RIGHT]]
    exact = torch.tensor([[20.0, 10.0], [35.0, 25.0]])
    assert 0 < (corners - exact).abs().max() < 2


def test_a_click_holds_whether_it_is_inside(source: PromptSource, target: Tensor) -> None:
    for region, kind in ((target, INSIDE), (1 - target, OUTSIDE), (0 * target, NO_POINT)):
        points, kinds = source.click(region, target)
        assert kinds.unique().tolist() == [kind]
        column, row = points.long().unbind(-1)
        if kind != NO_POINT:
            assert region[torch.arange(64), 0, row[:, 0], column[:, 0]].all()


def test_degraded_masks_are_recognisable_and_all_different(source: PromptSource, target: Tensor) -> None:
    found = source.degraded_mask(target) > 0
    dice = 2 * (found * target).sum(dim=(1, 2, 3)) / (found.sum(dim=(1, 2, 3)) + target.sum(dim=(1, 2, 3)))
    assert 0.7 < dice.median() < 0.95
    assert len(dice.unique()) > 50


def test_every_slice_is_asked_for_in_some_way(source: PromptSource, target: Tensor) -> None:
    prompts = source.first(target, 0.9 * target + 0.05)
    has_point = (prompts.kinds != NO_POINT).any(dim=1)
    has_mask = prompts.has_mask.flatten() > 0
    assert (has_point | has_mask).all()
    assert not has_point.all()
    assert not has_mask.all()
    assert not prompts.masks[~has_mask].any()


def test_an_empty_target_is_asked_for_by_what_was_propagated(source: PromptSource, target: Tensor) -> None:
    prompts = source.first(0 * target, 0.9 * target + 0.05)
    assert (prompts.kinds == NO_POINT).all()
    assert torch.equal(prompts.masks > 0, target > 0)


def test_a_correction_is_clicked_where_the_mask_is_wrong(source: PromptSource, target: Tensor) -> None:
    found = 6 * (2 * target - 1)
    found[:, :, 40, 50] = 6
    first = source.first(target, target)
    prompts = source.corrected(first, found, target)
    assert prompts.points[:, -1].unique(dim=0).tolist() == [[50, 40]]
    assert prompts.kinds[:, -1].unique().tolist() == [OUTSIDE]
    assert torch.equal(prompts.points[:, :-1], first.points)
    assert prompts.has_mask.all()
