from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mobile_sam_file import CLASSIFIER, save_mobile_sam
from torch import Tensor
from torch.nn import functional as F
from weights import trained_weights

from knowsam.config import TeacherConfig
from knowsam.errors import CheckpointError
from knowsam.models.mobile_sam_teacher import MobileSamTeacher
from knowsam.models.sam import VARIANTS, build_sam
from knowsam.models.sam_prompting import decode, embed
from knowsam.models.teachers import read_weights
from knowsam.models.tiny_vit import TinyVit

PLANE = (32, 32)
MOBILE = TeacherConfig(variant="mobile_sam")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    variant, weights = read_weights(save_mobile_sam(tmp_path_factory.mktemp("mobile_sam")))
    assert variant == "mobile_sam"
    return dict(weights)


def encoder_of(weights: dict[str, Tensor]) -> TinyVit:
    sam = build_sam(VARIANTS["mobile_sam"], (256, 256))
    sam.load_state_dict(weights)
    encoder = sam.image_encoder.eval()
    assert isinstance(encoder, TinyVit)
    return encoder


def waves(side: int) -> Tensor:
    """Return an image (1, 3, side, side) of waves, another one in each channel."""
    place = torch.arange(float(side))
    rates = ((0.11, 0.07), (0.05, 0.13), (0.02, 0.23))
    return torch.stack([torch.sin(place[:, None] * row + place * column) for row, column in rates])[None]


@torch.no_grad()
def test_the_encoder_finds_what_that_of_mobilesam_finds(weights: dict[str, Tensor]) -> None:
    """The values are those of MobileSAM's own source, with these weights and this image."""
    found = encoder_of(weights)(waves(256))
    assert found.shape == (1, 256, 16, 16)
    for values, known in (
        (found[0, :4, 0, 0], [0.6167368293, 0.3145887748, 0.0773500204, -1.0707602669]),
        (found[0, 100, 7, 5:9], [-0.0256086644, 0.1431528330, 0.0643160492, 0.1178098917]),
        (found[0, 255, 15, 15:], [-2.7420179844]),
    ):
        torch.testing.assert_close(values, torch.tensor(known), atol=1e-4, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("size", [(224, 224), (256, 160), (96, 400)])
def test_the_encoder_finds_what_that_of_timm_finds(weights: dict[str, Tensor], size: tuple[int, int]) -> None:
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("tiny_vit_5m_224").eval()
    theirs.stages[3].downsample.conv2.conv.stride = (1, 1)
    encoder, prefix = encoder_of(weights), "image_encoder."
    own = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
    expected = theirs.state_dict()
    theirs.load_state_dict({name: own.get(_official(name), tensor) for name, tensor in expected.items()})
    assert sum(_official(name) in own for name in expected) == len(
        [name for name in own if not name.startswith("neck")]
    )
    image = torch.randn(2, 3, *size)
    torch.testing.assert_close(encoder(image), encoder.neck(theirs.forward_features(image)), atol=1e-4, rtol=0)


def _official(name: str) -> str:
    """Return the name that a tensor of timm has in MobileSAM's file."""
    stage, _, rest = name.removeprefix("stages.").partition(".")
    if name.startswith("stages."):
        # What leads to a stage belongs to the stage before it there.
        number = int(stage) - 1 if rest.startswith("downsample") else int(stage)
        name = f"layers.{number}.{rest}"
    name = name.replace("patch_embed.conv1.", "patch_embed.seq.0.").replace("patch_embed.conv2.", "patch_embed.seq.2.")
    return name.replace(".conv.", ".c.")


@torch.no_grad()
@pytest.mark.parametrize("adapted", [0, 4, 9])
@pytest.mark.parametrize("is_training", [True, False])
def test_an_untaught_teacher_draws_the_masks_of_mobilesam(
    weights: dict[str, Tensor], adapted: int, is_training: bool
) -> None:
    config = TeacherConfig(variant="mobile_sam", adapted_blocks=adapted)
    teacher = MobileSamTeacher(2, (224, 224), config, weights=weights, learnable_prompts=False).train(is_training)
    sam = build_sam(VARIANTS["mobile_sam"], (224, 224)).eval()
    sam.load_state_dict(weights)
    images, fused = torch.rand(2, 3, 224, 224), torch.randn(2, 2, 224, 224)
    against_others = torch.logit(fused.softmax(1))[:, [1]]
    expected, _ = decode(sam, embed(sam, images), None, against_others, corrects=False)
    found = teacher.masks(teacher.trunk(images), fused)[:, 1:]
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("plane", [(32, 32), (96, 80), (16, 96)])
def test_a_plane_of_any_size_gets_logits_for_each_class(weights: dict[str, Tensor], plane: tuple[int, int]) -> None:
    teacher = MobileSamTeacher(3, plane, MOBILE, weights=weights)
    assert teacher(torch.rand(2, 3, *plane), torch.randn(2, 3, *plane)).shape == (2, 3, *plane)


def test_a_small_plane_fills_the_windows_of_the_encoder(weights: dict[str, Tensor]) -> None:
    assert MobileSamTeacher(2, (96, 96), MOBILE, weights=weights).trunk(torch.rand(1, 3, 96, 96)).shape[2:] == (14, 14)


def test_only_adapters_and_prompts_learn(weights: dict[str, Tensor]) -> None:
    teacher = MobileSamTeacher(3, PLANE, MOBILE, weights=weights).train()
    assert teacher.frozen_blocks == 6
    trained = trained_weights(teacher, 3, PLANE)
    assert trained == set(teacher.provenance.added)
    assert sum("adapter" in name for name in trained) == 4 * 2 * 4


@torch.no_grad()
def test_the_trunk_depends_on_its_frozen_state_and_on_nothing_else(weights: dict[str, Tensor]) -> None:
    teacher = MobileSamTeacher(2, PLANE, MOBILE, weights=weights).eval()
    x, frozen = torch.rand(1, 3, *PLANE), teacher.frozen_state()
    before = teacher.trunk(x)
    for name, tensor in teacher.sam.state_dict().items():
        if name not in frozen and tensor.is_floating_point():
            tensor.normal_()
    assert torch.equal(teacher.trunk(x), before)
    for name in ("image_encoder.layers.2.blocks.3.attn.qkv.weight", "image_encoder.patch_embed.seq.0.bn.running_mean"):
        kept = frozen[name].clone()
        frozen[name].add_(1)
        assert not torch.equal(teacher.trunk(x), before), name
        frozen[name].copy_(kept)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"image_encoder.layers.3.blocks.1.attn.qkv.weight": None},
            r"have 434 tensors, expected 435: 1 are missing \(image_encoder.layers.3.blocks.1.attn.qkv.weight\)",
        ),
        ({"image_encoder.layers.4.weight": torch.ones(1)}, r"1 are unknown \(image_encoder.layers.4.weight\)"),
        (
            {"image_encoder.patch_embed.seq.0.c.weight": torch.ones(48, 3, 3, 3)},
            r"patch_embed.seq.0.c.weight has shape \(48, 3, 3, 3\), expected \(32, 3, 3, 3\)",
        ),
    ],
)
def test_weights_of_another_layout_are_refused(
    weights: dict[str, Tensor], changes: dict[str, Any], message: str
) -> None:
    other = {name: tensor for name, tensor in (weights | changes).items() if tensor is not None}
    with pytest.raises(CheckpointError, match=message):
        MobileSamTeacher(2, PLANE, MOBILE, weights=other)


def test_it_is_not_trained_from_scratch() -> None:
    with pytest.raises(CheckpointError, match="mobile_sam was given no weights"):
        MobileSamTeacher(2, PLANE, MOBILE)


def test_the_classifier_of_the_published_file_is_left_out(tmp_path: Path) -> None:
    file = save_mobile_sam(tmp_path)
    published = torch.load(file, weights_only=True)
    _, weights = read_weights(file)
    assert published.keys() - weights.keys() == CLASSIFIER.keys()


@torch.no_grad()
def test_the_image_is_enlarged_before_it_is_seen(weights: dict[str, Tensor]) -> None:
    teacher = MobileSamTeacher(2, PLANE, MOBILE, weights=weights).eval()
    x = torch.rand(1, 3, *PLANE)
    seen = F.interpolate(x, size=(224, 224), mode="bilinear", align_corners=False)
    torch.testing.assert_close(teacher.embed(teacher.trunk(x)).image, embed(teacher.sam, seen), atol=1e-4, rtol=0)
