"""Prompts of many images at once are those of the package for one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from knowsam.models.sam import VARIANTS, SamVariant, build_sam
from knowsam.models.sam_prompting import (
    BOTTOM_RIGHT,
    INSIDE,
    MOST_LOGIT,
    NO_POINT,
    OUTSIDE,
    TOP_LEFT,
    decode,
    embed,
    point_tokens,
)

SMALL = SamVariant(32, 2, 2, global_attention=(1,), decoder_mlp_dim=32)
PLANE = (64, 96)

pytestmark = pytest.mark.usefixtures("_without_gradient")


@pytest.fixture
def _without_gradient() -> Any:
    with torch.no_grad():
        yield


@pytest.fixture
def sam() -> Any:
    return build_sam(SMALL, PLANE)


@pytest.fixture
def compact() -> Any:
    return build_sam(VARIANTS["compact"], PLANE)


def test_clicks_are_those_of_the_package(sam: Any) -> None:
    points, kinds = 60 * torch.rand(2, 3, 2), torch.tensor([[INSIDE, OUTSIDE, NO_POINT]] * 2)
    expected, _ = sam.prompt_encoder(points=(points[:, :2], kinds[:, :2]), boxes=None, masks=None)
    torch.testing.assert_close(point_tokens(sam, points, kinds, PLANE), expected)


def test_boxes_are_those_of_the_package(sam: Any) -> None:
    corners = 60 * torch.rand(2, 2, 2)
    expected, _ = sam.prompt_encoder(points=None, boxes=corners.flatten(1), masks=None)
    kinds = torch.tensor([[TOP_LEFT, BOTTOM_RIGHT]] * 2)
    torch.testing.assert_close(point_tokens(sam, corners, kinds, PLANE), expected)


def test_an_image_of_another_size_gets_an_embedding_of_its_own_size(sam: Any, compact: Any) -> None:
    images = torch.rand(2, 3, 48, 80)
    assert embed(sam, images).shape == (2, 256, 3, 5)
    assert embed(compact, images).shape == (2, 96, 12, 20)


def test_an_embedding_is_that_of_the_package(sam: Any) -> None:
    images = torch.rand(2, 3, *PLANE)
    expected = sam.image_encoder((255 * images - sam.pixel_mean) / sam.pixel_std)
    torch.testing.assert_close(embed(sam, images), expected)


def test_images_with_and_without_a_mask_prompt_share_a_batch(sam: Any) -> None:
    embedding, masks = torch.randn(2, 256, 4, 6), torch.randn(2, 1, *PLANE)
    known = torch.tensor([1.0, 0.0]).view(2, 1, 1, 1)
    both, quality = decode(sam, embedding, masks=masks, known=known, corrects=False)
    torch.testing.assert_close(both[:1], decode(sam, embedding[:1], masks=masks[:1], corrects=False)[0])
    torch.testing.assert_close(both[1:], decode(sam, embedding[1:], corrects=False)[0])
    assert quality.shape == (2,)


def test_the_compact_sam_says_by_how_much_a_mask_is_to_be_changed(compact: Any) -> None:
    embedding, masks = torch.randn(2, 96, 16, 24), 20 * torch.randn(2, 1, *PLANE)
    known = torch.tensor([1.0, 0.0]).view(2, 1, 1, 1)
    for parameter in compact.mask_decoder.output_hypernetworks_mlps.parameters():
        parameter.zero_()
    found, _ = decode(compact, embedding, masks=masks, known=known, corrects=True)
    assert torch.equal(found[0], masks[0].clamp(-MOST_LOGIT, MOST_LOGIT))
    assert not found[1].any()
