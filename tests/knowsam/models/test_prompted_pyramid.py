"""A SAM-2 and an EdgeTAM answer clicks, boxes and masks as their own programs do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from sam2_folder import SIDE, save_silently, tiny_edgetam, tiny_sam2
from torch import Tensor

from knowsam.models.sam_prompting import BOTTOM_RIGHT, INSIDE, MOST_LOGIT, OUTSIDE, TOP_LEFT, Prompts
from knowsam.models.teachers import promptable_sam, read_folder

PLANE = (SIDE // 4, SIDE // 4)


@pytest.fixture(scope="module", params=["sam2", "edgetam"])
def network(request: pytest.FixtureRequest) -> Any:
    if request.param == "edgetam":
        pytest.importorskip("timm")
    return tiny_sam2() if request.param == "sam2" else tiny_edgetam()


@pytest.fixture(scope="module")
def asked(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return promptable_sam(*read_folder(save_silently(network, tmp_path_factory.mktemp("network"))), PLANE)


def prompts(points: list[tuple[float, float]], kinds: list[int], mask: Tensor | None = None) -> Prompts:
    """Return prompts in px of the plane, the same in two slices."""
    masks = torch.zeros(1, *PLANE) if mask is None else mask
    return Prompts(
        torch.tensor([points] * 2).view(2, -1, 2),
        torch.tensor([kinds] * 2, dtype=torch.long).view(2, -1),
        masks.expand(2, 1, *PLANE),
        torch.full((2, 1, 1, 1), float(mask is not None)),
    )


MASK = (3 * torch.randn(1, *PLANE, generator=torch.Generator().manual_seed(1))).clamp(-MOST_LOGIT, MOST_LOGIT)
CLICKS, BOX = [(10.0, 30.0), (45.0, 20.0)], [(8.0, 12.0), (40.0, 50.0)]


def in_seen(points: list[tuple[float, float]]) -> Tensor:
    """Return points in px of the image that the network sees; the middle of a pixel stays where it is."""
    return 4 * (torch.tensor(points) + 0.5) - 0.5


@torch.no_grad()
@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        (prompts(CLICKS, [INSIDE, OUTSIDE]), {"input_points": CLICKS, "input_labels": [1, 0]}),
        (prompts(BOX, [TOP_LEFT, BOTTOM_RIGHT]), {"input_boxes": BOX}),
        (prompts([], [], MASK), {"input_masks": MASK}),
        (
            prompts(CLICKS, [INSIDE, OUTSIDE], MASK),
            {"input_points": CLICKS, "input_labels": [1, 0], "input_masks": MASK},
        ),
    ],
    ids=["clicks", "box", "mask", "clicks and mask"],
)
def test_masks_and_their_quality_are_those_of_its_own_program(
    network: Any, asked: Any, own: Prompts, theirs: dict[str, Any]
) -> None:
    images, given = torch.rand(2, 3, *PLANE), {}
    if "input_points" in theirs:
        given["input_points"] = in_seen(theirs["input_points"]).expand(2, 1, -1, -1)
        given["input_labels"] = torch.tensor(theirs["input_labels"]).expand(2, 1, -1)
    if "input_boxes" in theirs:
        given["input_boxes"] = in_seen(theirs["input_boxes"]).flatten().expand(2, 1, -1)
    if "input_masks" in theirs:
        given["input_masks"] = theirs["input_masks"].expand(2, 1, -1, -1)
    seen = torch.nn.functional.interpolate(images, size=(SIDE, SIDE), mode="bilinear")
    pixels = (seen - asked.sam.pixel_mean) / asked.sam.pixel_std
    expected = network(pixel_values=pixels, multimask_output=False, **given)
    logits, quality = asked.masks(asked.embed(images), own)
    assert expected.pred_masks.abs().max() > 0.1
    torch.testing.assert_close(logits, expected.pred_masks[:, 0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(quality, expected.iou_scores[:, 0, 0], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_slice_without_a_mask_prompt_is_asked_beside_one_that_has_one(asked: Any) -> None:
    embedding, both = asked.embed(torch.rand(2, 3, *PLANE)), prompts(CLICKS, [INSIDE, OUTSIDE], MASK)
    mixed = both._replace(has_mask=torch.tensor([1.0, 0.0]).view(2, 1, 1, 1))
    without = prompts(CLICKS, [INSIDE, OUTSIDE])
    found = asked.masks(embedding, mixed)[0]
    torch.testing.assert_close(found[0], asked.masks(embedding, both)[0][0])
    torch.testing.assert_close(found[1], asked.masks(embedding, without)[0][1])


@torch.no_grad()
@pytest.mark.parametrize("plane", [(32, 32), (24, 48), (64, 80)])
def test_embeddings_have_the_places_of_the_compact_sam(network: Any, tmp_path: Path, plane: tuple[int, int]) -> None:
    asked = promptable_sam(*read_folder(save_silently(network, tmp_path)), plane)
    embedding = asked.embed(torch.rand(2, 3, *plane))
    assert asked.image(embedding).shape == (2, 32, plane[0] // 4, plane[1] // 4)
    nowhere = Prompts(
        torch.zeros(2, 0, 2), torch.zeros(2, 0, dtype=torch.long), torch.randn(2, 1, *plane), torch.ones(2, 1, 1, 1)
    )
    assert asked.masks(embedding, nowhere)[0].shape == (2, 1, *plane)


def test_it_is_frozen_and_has_no_part_that_is_drawn_at_random(network: Any, asked: Any) -> None:
    assert not any(parameter.requires_grad for parameter in asked.sam.parameters())
    own = asked.sam.network.state_dict()
    assert own.keys() == network.state_dict().keys()
    assert asked.sam.state_dict().keys() == {f"network.{name}" for name in own}
