"""SAM-2 finds what its own program finds, and is taught as every teacher is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from sam2_folder import SIDE, save_silently, tiny_sam2, tiny_sam2_video
from torch import Tensor
from torch.nn import functional as F
from weights import trained_weights

from knowsam.config import TeacherConfig
from knowsam.errors import CheckpointError
from knowsam.models.prompted_teacher import enlarged
from knowsam.models.sam2_teacher import Sam2Teacher
from knowsam.models.sam_prompting import MOST_LOGIT
from knowsam.models.teachers import read_folder

if TYPE_CHECKING:
    from knowsam.models.network_folder import DescribedWeights

SQUARE = (SIDE, SIDE)
SAM2 = TeacherConfig(variant="sam2", adapted_blocks=2)


@pytest.fixture(scope="module")
def network() -> Any:
    return tiny_sam2()


@pytest.fixture(scope="module")
def weights(network: Any, tmp_path_factory: pytest.TempPathFactory) -> DescribedWeights:
    return Sam2Teacher.read(save_silently(network, tmp_path_factory.mktemp("sam2")))


def program_finds(network: Any, images: Tensor, masks: Tensor | None) -> Tensor:
    """Return the small masks (B, 1, 64, 64) that the program of SAM-2 draws for images (B, 3, 256, 256)."""
    mean, std = (torch.tensor(own).view(-1, 1, 1) for own in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    found: Tensor = network(pixel_values=(images - mean) / std, input_masks=masks, multimask_output=False).pred_masks
    return found[:, 0]


@torch.no_grad()
@pytest.mark.parametrize("adapted", [0, 1, 2, 4, 7])
@pytest.mark.parametrize("has_masks", [True, False])
def test_an_untaught_sam2_draws_the_masks_of_its_own_program(
    network: Any, weights: DescribedWeights, adapted: int, has_masks: bool
) -> None:
    teacher = Sam2Teacher(3, SQUARE, TeacherConfig(variant="sam2", adapted_blocks=adapted), weights=weights)
    images, fused = torch.rand(2, 3, *SQUARE), torch.randn(2, 3, *SQUARE) if has_masks else None
    found = teacher.masks(teacher.trunk(images), fused)
    assert not found[:, 0].any()
    for structure in (1, 2):
        prompts = None
        if fused is not None:
            against_others = torch.logit(fused.softmax(1))[:, [structure]]
            prompts = F.interpolate(against_others, teacher.mask_size, mode="bilinear").clamp(-MOST_LOGIT, MOST_LOGIT)
        expected = program_finds(network, images, prompts)
        assert expected.abs().max() > 0.1
        torch.testing.assert_close(found[:, [structure]], expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_image_part_of_a_video_sam2_is_read(tmp_path: Path) -> None:
    network = tiny_sam2_video()
    name, weights = read_folder(save_silently(network, tmp_path))
    assert name == "sam2"
    assert not any("memory_attention" in name for name in weights)
    image = tiny_sam2()
    image.load_state_dict(weights)
    own = network.state_dict()
    assert all(torch.equal(tensor, own[name]) for name, tensor in weights.items())
    teacher = Sam2Teacher(2, SQUARE, SAM2, weights=weights)
    images = torch.rand(1, 3, *SQUARE)
    found = teacher.masks(teacher.trunk(images))[:, 1:]
    torch.testing.assert_close(found, program_finds(image, images, None), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("plane", [(32, 32), (96, 80), (16, 96), (272, 288)])
def test_a_plane_of_any_size_gets_logits_for_each_class(weights: DescribedWeights, plane: tuple[int, int]) -> None:
    teacher = Sam2Teacher(3, plane, SAM2, weights=weights)
    tokens = teacher.trunk(torch.rand(2, 3, *plane))
    masks = teacher.masks(tokens, torch.randn(2, 3, *plane))
    assert masks.shape == (2, 3, *teacher.mask_size)
    assert teacher.upsampled(masks).shape == (2, 3, *plane)


def test_a_small_plane_is_enlarged_and_a_large_one_is_not() -> None:
    assert enlarged((96, 96), 32, 256) == (256, 256)
    assert enlarged((96, 48), 32, 256) == (256, 128)
    assert enlarged((512, 272), 32, 256) == (512, 288)


def test_only_adapters_and_prompts_learn(weights: DescribedWeights) -> None:
    teacher = Sam2Teacher(3, (32, 32), SAM2, weights=weights).train()
    trained = trained_weights(teacher, 3, (32, 32))
    assert trained == set(teacher.provenance.added)
    assert blocks_of(name for name in trained if "adapter" in name) == {5, 6}
    assert any(name.startswith("prompt_heads.heads.2.") for name in trained)
    assert "SAM-2, " in str(teacher.provenance)
    assert "pretrained and frozen except" in str(teacher.provenance)


def blocks_of(names: Iterable[str]) -> set[int]:
    return {int(name.partition(".blocks.")[2].partition(".")[0]) for name in names}


@torch.no_grad()
def test_the_trunk_depends_on_its_frozen_state_and_on_nothing_else(weights: DescribedWeights) -> None:
    teacher = Sam2Teacher(2, (32, 32), SAM2, weights=weights)
    x, frozen = torch.rand(1, 3, 32, 32), teacher.frozen_state()
    before = teacher.trunk(x)
    prefix = "network.vision_encoder.backbone."
    for name, parameter in teacher.named_parameters():
        if name.removeprefix(prefix) not in frozen:
            parameter.normal_()
    assert torch.equal(teacher.trunk(x), before)
    pixels = {"pixel_mean": teacher.pixel_mean, "pixel_std": teacher.pixel_std}
    for name in frozen.keys() - {"description"}:
        tensor = pixels[name] if name in pixels else teacher.get_parameter(prefix + name)
        kept = tensor.clone()
        tensor.copy_(torch.randn_like(tensor) + tensor)
        assert not torch.equal(teacher.trunk(x), before), name
        tensor.copy_(kept)


def test_the_frozen_state_distinguishes_descriptions(tmp_path: Path, weights: DescribedWeights) -> None:
    windows = Sam2Teacher.read(save_silently(tiny_sam2(window_size_per_stage=[8, 4, 7, 7]), tmp_path))
    one, other = (Sam2Teacher(2, (32, 32), SAM2, weights=own).frozen_state() for own in (weights, windows))
    assert one.keys() == other.keys()
    assert not torch.equal(one["description"], other["description"])


def test_weights_without_a_description_are_refused(weights: DescribedWeights) -> None:
    with pytest.raises(CheckpointError, match=r"not trained from scratch\. Give its folder"):
        Sam2Teacher(2, (32, 32), SAM2)
    with pytest.raises(CheckpointError, match="no weights with a description"):
        Sam2Teacher(2, (32, 32), SAM2, weights=dict(weights))
