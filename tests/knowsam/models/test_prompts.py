from __future__ import annotations

import pytest
import torch

from knowsam.models.prompts import PromptHeads


@pytest.mark.parametrize("grid", [(1, 1), (2, 2), (1, 5), (8, 6)])
def test_a_plane_of_any_size_gives_tokens_for_each_class(grid: tuple[int, int]) -> None:
    assert PromptHeads(classes=4, tokens=3, embed_dim=32)(torch.randn(2, 32, *grid)).shape == (2, 4, 3, 32)


def test_classes_and_images_have_their_own_tokens() -> None:
    prompts = PromptHeads(classes=2, tokens=1, embed_dim=32)(torch.randn(2, 32, 4, 4)).flatten(0, 1)
    assert torch.pdist(prompts.flatten(1)).min() > 1e-3


def test_known_classes_keep_their_prompts_when_others_come_and_go() -> None:
    embedding = torch.randn(2, 32, 4, 4)
    prompts = PromptHeads(classes=3, tokens=2, embed_dim=32)
    before = prompts(embedding)
    prompts.change_classes((0, None, 2, None))
    after = prompts(embedding)
    assert after.shape == (2, 4, 2, 32)
    assert torch.equal(after[:, [0, 2]], before[:, [0, 2]])
    assert not torch.isclose(after[:, 1], after[:, 3]).all()


def test_known_classes_keep_their_very_parameters() -> None:
    prompts = PromptHeads(classes=2, embed_dim=32)
    first, second = prompts.heads
    prompts.change_classes((1, 0))
    assert list(prompts.heads) == [second, first]
