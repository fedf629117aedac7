from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from weights import trained_weights

from knowsam.config import TeacherConfig
from knowsam.errors import CheckpointError, ConfigError
from knowsam.models import sam_teacher
from knowsam.models.prompted_teacher import Embedding
from knowsam.models.sam import SamVariant, build_sam
from knowsam.models.sam_teacher import SamTeacher

SMALL = SamVariant(32, 2, 2, global_attention=(1,), decoder_mlp_dim=32)
PLANE = (64, 96)
PRETRAINED = TeacherConfig(variant="vit_b")


@pytest.fixture(autouse=True)
def small_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sam_teacher, "VARIANTS", {"compact": SMALL, "vit_b": SMALL})


@pytest.fixture
def weights() -> dict[str, Tensor]:
    """The state of a square SAM in which positions matter, too."""
    sam: nn.Module = build_sam(SMALL, (64, 64))
    for name, parameter in sam.named_parameters():
        if "pos" in name:
            nn.init.normal_(parameter, std=0.5)
    return sam.state_dict()


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("plane", [(64, 64), (96, 32), (32, 32)])
def test_a_plane_of_any_shape_gets_logits_for_each_class(classes: int, plane: tuple[int, int]) -> None:
    teacher = SamTeacher(classes, plane, TeacherConfig())
    logits = teacher(torch.rand(2, 3, *plane), torch.randn(2, classes, *plane))
    assert logits.shape == (2, classes, *plane)


@torch.no_grad()
def test_untouched_adapters_leave_sam_exactly_as_it_was(weights: dict[str, Tensor]) -> None:
    sam = build_sam(SMALL, (64, 64))
    sam.load_state_dict(weights)
    teacher = SamTeacher(2, (64, 64), PRETRAINED, weights=weights)
    x = torch.rand(2, 3, 64, 64)
    expected = sam.image_encoder(torch.stack([sam.preprocess(image) for image in 255 * x]))
    assert torch.equal(teacher.embed(teacher.trunk(x)).image, expected)


@torch.no_grad()
@pytest.mark.parametrize("with_tokens", [True, False])
@pytest.mark.parametrize("with_masks", [True, False])
def test_one_batch_equals_one_call_of_the_package_for_each_image_and_class(with_tokens: bool, with_masks: bool) -> None:
    b, classes, (h, w) = 2, 3, (4, 6)
    teacher = SamTeacher(classes, PLANE, TeacherConfig())
    sam = teacher.sam
    embedding = torch.randn(b, 256, h, w)
    sparse = torch.randn(b, classes - 1, 2, 256) if with_tokens else None
    masks = torch.randn(b, classes, *PLANE) if with_masks else None

    logits = teacher.upsampled(teacher.decode(Embedding(embedding), sparse, masks))

    assert not logits[:, 0].any()
    for i, c in product(range(b), range(1, classes)):
        mask = None
        if masks is not None:
            mask = F.interpolate(torch.logit(masks.softmax(1))[i, c][None, None], (4 * h, 4 * w), mode="bilinear")
        no_tokens, dense = sam.prompt_encoder(points=None, boxes=None, masks=mask)
        single, _ = sam.mask_decoder(
            image_embeddings=embedding[i : i + 1],
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=no_tokens if sparse is None else sparse[i, c - 1][None],
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        expected = F.interpolate(single, PLANE, mode="bilinear")[0, 0]
        torch.testing.assert_close(logits[i, c], expected, atol=1e-5, rtol=1e-5)


def test_a_frozen_sam_stays_bit_identical_while_adapters_and_prompts_learn(weights: dict[str, Tensor]) -> None:
    teacher = SamTeacher(2, PLANE, PRETRAINED, weights=weights)
    assert trained_weights(teacher, 2, PLANE) == set(teacher.provenance.added)


def test_without_weights_all_networks_in_the_pass_learn() -> None:
    teacher = SamTeacher(2, PLANE, TeacherConfig())
    teacher(torch.rand(2, 3, *PLANE), torch.randn(2, 2, *PLANE)).square().mean().backward()
    idle = {name for name, parameter in teacher.named_parameters() if parameter.grad is None}
    parts = ("iou_prediction_head", "output_hypernetworks_mlps", "point_embed", "not_a_point", "no_mask")
    assert all(any(part in name for part in parts) for name in idle)


def test_no_gradient_reaches_the_students() -> None:
    teacher = SamTeacher(2, PLANE, TeacherConfig())
    fused = torch.randn(2, 2, *PLANE, requires_grad=True)
    teacher(torch.rand(2, 3, *PLANE), fused).sum().backward()
    assert fused.grad is None


@torch.no_grad()
def test_the_mask_prompt_reaches_the_prediction_only_where_it_is_switched_on() -> None:
    x, fused = torch.rand(1, 3, *PLANE), torch.randn(1, 2, *PLANE)
    with_masks = SamTeacher(2, PLANE, TeacherConfig())
    without = SamTeacher(2, PLANE, TeacherConfig(), mask_prompts=False)
    assert not torch.allclose(with_masks(x, fused), with_masks(x, -fused))
    assert torch.equal(without(x, fused), without(x))


@torch.no_grad()
def test_mask_prompts_alone_tell_the_classes_apart() -> None:
    teacher = SamTeacher(3, PLANE, TeacherConfig(), learnable_prompts=False)
    logits = teacher(torch.rand(1, 3, *PLANE), torch.randn(1, 3, *PLANE))
    assert not torch.allclose(logits[:, 1], logits[:, 2])


def test_a_pass_without_any_prompt_is_refused() -> None:
    teacher = SamTeacher(2, PLANE, TeacherConfig(), learnable_prompts=False)
    with pytest.raises(ValueError, match="fused_logits are the only prompts"):
        teacher(torch.rand(1, 3, *PLANE))


def test_a_pretrained_teacher_reports_loaded_resized_and_new_weights(weights: dict[str, Tensor]) -> None:
    provenance = SamTeacher(2, PLANE, PRETRAINED, weights=weights).provenance
    assert provenance.loaded == tuple(weights)
    assert provenance.resized == ("image_encoder.pos_embed", "image_encoder.blocks.1.attn.rel_pos_w")
    assert all("adapter" in name or name.startswith("prompt_heads.") for name in provenance.added)
    assert str(provenance) == (
        "SAM vit_b, 3.0 M parameters, pretrained and frozen except 0.3 M in adapters and prompt heads; "
        "2 of 174 tensors resized to the plane"
    )


def test_a_compact_teacher_is_reported_as_trained_from_scratch() -> None:
    provenance = SamTeacher(2, PLANE, TeacherConfig()).provenance
    assert not provenance.pretrained
    assert provenance.loaded == provenance.resized == ()
    assert provenance.trainable == provenance.parameters
    assert str(provenance).endswith("trained from scratch with the students")


def test_a_trained_teacher_is_restored_by_its_parameters_alone() -> None:
    trained, restored = SamTeacher(2, PLANE, TeacherConfig()), SamTeacher(2, PLANE, TeacherConfig())
    restored.load_state_dict(dict(trained.named_parameters()), strict=False)
    x, fused = torch.rand(1, 3, *PLANE), torch.randn(1, 2, *PLANE)
    assert torch.equal(restored(x, fused), trained(x, fused))


def test_bfloat16_arithmetic_stays_close() -> None:
    teacher = SamTeacher(2, PLANE, TeacherConfig())
    x, fused = torch.rand(1, 3, *PLANE), torch.randn(1, 2, *PLANE)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        reduced = teacher(x, fused)
    expected = teacher(x, fused)
    assert (reduced - expected).abs().max() < 0.05 * expected.abs().max()


def test_classes_without_any_prompt_are_refused() -> None:
    with pytest.raises(ConfigError, match="both off"):
        SamTeacher(2, PLANE, TeacherConfig(), learnable_prompts=False, mask_prompts=False)


def test_no_teacher_cannot_be_built() -> None:
    with pytest.raises(ConfigError, match="variant is none, but must be one of compact, vit_b"):
        SamTeacher(2, PLANE, TeacherConfig(variant="none"))


def test_a_large_variant_without_weights_is_refused() -> None:
    with pytest.raises(CheckpointError, match="Give the official weights of vit_b, or choose compact"):
        SamTeacher(2, PLANE, PRETRAINED)


@torch.no_grad()
def test_known_classes_are_seen_as_before_when_one_is_added() -> None:
    teacher = SamTeacher(2, (64, 64), TeacherConfig()).eval()
    x, fused = torch.rand(2, 3, 64, 64), torch.randn(2, 3, 64, 64)
    fused[:, 2] = -40.0
    before = teacher(x, fused[:, :2])
    teacher.change_classes((0, 1, None))
    after = teacher(x, fused)
    assert after.shape == (2, 3, 64, 64)
    torch.testing.assert_close(after[:, :2], before, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_classes_change_places_in_the_teacher() -> None:
    teacher = SamTeacher(3, (64, 64), TeacherConfig(), mask_prompts=False).eval()
    x = torch.rand(1, 3, 64, 64)
    before = teacher(x)
    teacher.change_classes((0, 2, 1))
    torch.testing.assert_close(teacher(x), before[:, [0, 2, 1]], rtol=1e-4, atol=1e-4)


def test_a_teacher_without_learnable_prompts_takes_other_classes_too() -> None:
    teacher = SamTeacher(2, (64, 64), TeacherConfig(), learnable_prompts=False)
    teacher.change_classes((0, None, 1))
    assert teacher(torch.rand(1, 3, 64, 64), torch.randn(1, 3, 64, 64)).shape == (1, 3, 64, 64)


@pytest.mark.parametrize(("adapted", "frozen"), [(0, 0), (1, 1), (2, 0), (9, 0)])
def test_only_the_last_blocks_of_a_pretrained_sam_get_adapters(
    weights: dict[str, Tensor], adapted: int, frozen: int
) -> None:
    teacher = SamTeacher(2, PLANE, TeacherConfig(variant="vit_b", adapted_blocks=adapted), weights=weights)
    assert teacher.frozen_blocks == frozen
    with_adapters = {name.split(".")[3] for name in teacher.provenance.added if "adapter" in name}
    assert with_adapters == {str(index) for index in range(frozen, 2)}
    taught = {name for name, parameter in teacher.named_parameters() if parameter.requires_grad}
    assert taught == set(teacher.provenance.added)


def test_a_sam_from_scratch_is_adapted_and_learns_everywhere() -> None:
    teacher = SamTeacher(2, PLANE, TeacherConfig(adapted_blocks=1))
    assert teacher.frozen_blocks == 0
    assert sum("0.attn.adapter" in name for name in teacher.provenance.added) == 4


@torch.no_grad()
def test_a_pass_can_be_taken_up_behind_the_frozen_blocks(weights: dict[str, Tensor]) -> None:
    teacher = SamTeacher(2, PLANE, TeacherConfig(variant="vit_b", adapted_blocks=1), weights=weights)
    x, fused = torch.rand(2, 3, *PLANE), torch.randn(2, 2, *PLANE)
    masks = teacher.masks(teacher.trunk(x), fused)
    assert masks.shape == (2, 2, *teacher.mask_size)
    assert torch.equal(teacher.upsampled(masks), teacher(x, fused))


@torch.no_grad()
def test_the_trunk_depends_on_its_frozen_state_and_on_nothing_else(weights: dict[str, Tensor]) -> None:
    teacher = SamTeacher(2, PLANE, TeacherConfig(variant="vit_b", adapted_blocks=1), weights=weights)
    x, frozen = torch.rand(1, 3, *PLANE), teacher.frozen_state()
    before = teacher.trunk(x)
    for name, parameter in teacher.sam.named_parameters():
        if name not in frozen:
            parameter.normal_()
    assert torch.equal(teacher.trunk(x), before)
    for name in frozen:
        tensor = teacher.sam.get_buffer(name) if name.startswith("pixel") else teacher.sam.get_parameter(name)
        kept = tensor.clone()
        tensor.copy_(torch.randn_like(tensor) + tensor)
        assert not torch.equal(teacher.trunk(x), before), name
        tensor.copy_(kept)
