from __future__ import annotations

from typing import cast

import pytest
import torch
from torch import nn

from knowsam.models.prompts import PromptHeads

START = torch.linspace(-1, 1, 32)


def trained(classes: int, tokens: int) -> PromptHeads:
    """Return heads whose tokens depend on the image."""
    heads = PromptHeads(classes, tokens, START)
    for head in heads.heads.values():
        nn.init.normal_(cast("nn.Linear", cast("nn.Sequential", head)[-2]).weight)
    return heads


@pytest.mark.parametrize("grid", [(1, 1), (2, 2), (1, 5), (8, 6)])
def test_a_plane_of_any_size_gives_tokens_for_each_class_but_background(grid: tuple[int, int]) -> None:
    assert PromptHeads(4, 3, START)(torch.randn(2, 32, *grid)).shape == (2, 3, 3, 32)


def test_untrained_heads_give_what_they_start_with() -> None:
    assert torch.equal(PromptHeads(3, 2, START)(torch.randn(2, 32, 4, 4)), START.expand(2, 2, 2, -1))


def test_classes_and_images_have_their_own_tokens() -> None:
    prompts = trained(3, 1)(torch.randn(2, 32, 4, 4)).flatten(0, 1)
    assert torch.pdist(prompts.flatten(1)).min() > 1e-3


def test_known_classes_keep_their_prompts_when_others_come_and_go() -> None:
    embedding = torch.randn(2, 32, 4, 4)
    prompts = trained(4, 2)
    before = prompts(embedding)
    prompts.change_classes((0, 1, None, 3, None))
    after = prompts(embedding)
    assert after.shape == (2, 4, 2, 32)
    assert torch.equal(after[:, [0, 2]], before[:, [0, 2]])
    assert torch.equal(after[:, [1, 3]], START.expand(2, 2, 2, -1))


def test_known_classes_keep_their_very_parameters() -> None:
    prompts = PromptHeads(3, 2, START)
    first, second = prompts.heads.values()
    prompts.change_classes((0, 2, 1))
    assert list(prompts.heads.values()) == [second, first]
