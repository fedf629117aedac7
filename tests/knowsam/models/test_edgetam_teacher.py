"""EdgeTAM finds what its own program finds; run where timm is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from sam2_folder import SIDE, save_silently, tiny_edgetam
from torch import Tensor
from torch.nn import functional as F
from weights import trained_weights

from knowsam.config import TeacherConfig
from knowsam.errors import CheckpointError
from knowsam.models.edgetam_teacher import EdgeTamTeacher
from knowsam.models.network_folder import DescribedWeights
from knowsam.models.sam_prompting import MOST_LOGIT
from knowsam.models.teachers import read_folder

pytest.importorskip("timm")

SQUARE = (SIDE, SIDE)
EDGETAM = TeacherConfig(variant="edgetam", adapted_blocks=2)


@pytest.fixture(scope="module")
def network() -> Any:
    return tiny_edgetam()


@pytest.fixture(scope="module")
def weights(network: Any, tmp_path_factory: pytest.TempPathFactory) -> DescribedWeights:
    name, weights = read_folder(save_silently(network, tmp_path_factory.mktemp("edgetam")))
    assert name == "edgetam"
    assert isinstance(weights, DescribedWeights)
    return weights


@torch.no_grad()
@pytest.mark.parametrize("adapted", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("is_training", [True, False])
def test_an_untaught_edgetam_draws_the_masks_of_its_own_program(
    network: Any, weights: DescribedWeights, adapted: int, is_training: bool
) -> None:
    config = TeacherConfig(variant="edgetam", adapted_blocks=adapted)
    teacher = EdgeTamTeacher(2, SQUARE, config, weights=weights).train(is_training)
    images, fused = torch.rand(2, 3, *SQUARE), torch.randn(2, 2, *SQUARE)
    against_others = torch.logit(fused.softmax(1))[:, [1]]
    prompts = F.interpolate(against_others, teacher.mask_size, mode="bilinear").clamp(-MOST_LOGIT, MOST_LOGIT)
    pixels = (images - teacher.pixel_mean) / teacher.pixel_std
    expected: Tensor = network(pixel_values=pixels, input_masks=prompts, multimask_output=False).pred_masks[:, 0]
    assert expected.abs().max() > 0.1
    found = teacher.masks(teacher.trunk(images), fused)[:, 1:]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("plane", [(32, 32), (96, 80), (16, 96)])
def test_a_plane_of_any_size_gets_logits_for_each_class(weights: DescribedWeights, plane: tuple[int, int]) -> None:
    teacher = EdgeTamTeacher(3, plane, EDGETAM, weights=weights)
    assert teacher(torch.rand(2, 3, *plane), torch.randn(2, 3, *plane)).shape == (2, 3, *plane)


def test_only_adapters_and_prompts_learn(weights: DescribedWeights) -> None:
    teacher = EdgeTamTeacher(3, (32, 32), EDGETAM, weights=weights).train()
    trained = trained_weights(teacher, 3, (32, 32))
    assert trained == set(teacher.provenance.added)
    assert sum("adapter" in name for name in trained) == 2 * 2 * 4


@torch.no_grad()
def test_the_trunk_depends_on_its_frozen_state_and_on_nothing_else(weights: DescribedWeights) -> None:
    teacher = EdgeTamTeacher(2, (32, 32), EDGETAM, weights=weights).eval()
    x, frozen = torch.rand(1, 3, 32, 32), teacher.frozen_state()
    before = teacher.trunk(x)
    prefix = "network.vision_encoder.backbone."
    for name, parameter in teacher.named_parameters():
        if name.removeprefix(prefix) not in frozen:
            parameter.normal_()
    assert torch.equal(teacher.trunk(x), before)
    frozen[next(name for name in frozen if "stages_1.blocks" in name and name.endswith("weight"))].mul_(2)
    assert not torch.equal(teacher.trunk(x), before)


def test_another_encoder_is_refused(tmp_path: Path) -> None:
    other = tiny_edgetam(architecture="resnet18", channels=(64, 128, 256, 512))
    _, weights = read_folder(save_silently(other, tmp_path))
    with pytest.raises(CheckpointError, match="is a resnet18, expected a RepViT"):
        EdgeTamTeacher(2, (32, 32), EDGETAM, weights=weights)
