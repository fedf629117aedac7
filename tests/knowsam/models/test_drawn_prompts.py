"""Boxes and clicks are drawn into the mask prompts of a SAM that has learnt to see them there."""

from __future__ import annotations

import torch
from torch import Tensor

from knowsam.models.sam_prompting import BOTTOM_RIGHT, INSIDE, MOST_LOGIT, NO_POINT, OUTSIDE, TOP_LEFT, Prompts, drawn

PLANE = (32, 48)


def prompts(*points: tuple[float, float, int], masks: Tensor | None = None) -> Prompts:
    """Return prompts of one image: column, row and kind of each point."""
    has_mask = torch.full((1, 1, 1, 1), float(masks is not None))
    return Prompts(
        torch.tensor([[point[:2] for point in points]]),
        torch.tensor([[point[2] for point in points]]),
        torch.zeros(1, 1, *PLANE) if masks is None else masks,
        has_mask,
    )


def test_a_box_is_open_inside_and_closed_outside() -> None:
    found = drawn(prompts((10, 5, TOP_LEFT), (30, 20, BOTTOM_RIGHT)))
    assert found.has_mask.item() == 1
    assert not found.masks[0, 0, 5:21, 10:31].any()
    assert (found.masks[0, 0, :, :8] == -MOST_LOGIT).all()
    assert -MOST_LOGIT < found.masks[0, 0, 10, 31] < 0


def test_a_click_is_right_whatever_the_mask_holds() -> None:
    wrong = torch.full((1, 1, *PLANE), -20.0)
    found = drawn(prompts((12, 9, INSIDE), (40, 20, OUTSIDE), masks=wrong)).masks[0, 0]
    assert found[9, 12] >= MOST_LOGIT - 1e-4
    assert found[20, 40] < -MOST_LOGIT
    assert abs(found[9, 30] + MOST_LOGIT) < 1e-3


def test_without_a_point_nothing_is_drawn() -> None:
    masks = torch.linspace(-5, 5, 32 * 48).view(1, 1, *PLANE)
    given = prompts((0, 0, NO_POINT), masks=masks)
    assert drawn(given).masks.equal(masks)
    assert drawn(prompts((0, 0, NO_POINT))).has_mask.item() == 0
    no_points = given._replace(points=given.points[:, :0], kinds=given.kinds[:, :0])
    assert drawn(no_points).masks.equal(masks)


def test_each_image_of_a_batch_has_its_own() -> None:
    both = [prompts((10, 5, TOP_LEFT), (30, 20, BOTTOM_RIGHT)), prompts((12, 9, INSIDE), (0, 0, NO_POINT))]
    together = drawn(Prompts(*(torch.cat(parts) for parts in zip(*both, strict=True))))
    for row, one in enumerate(both):
        assert together.masks[row : row + 1].equal(drawn(one).masks)
