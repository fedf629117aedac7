"""The teacher in turn: exact where it saw something, silent where it did not, and no more work than it was given."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from knowsam.models.sam import SamVariant, build_sam
from knowsam.models.sam_teacher import SamTeacher
from knowsam.models.students import Students
from knowsam.propagation.sampling import warp
from knowsam.training.augment import augment_strongly
from knowsam.training.batch import Batch, Origin
from knowsam.training.losses import supervised_loss
from knowsam.training.teaching import EveryImageTeaching, RoundRobinTeaching

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from knowsam.config import Config

pytestmark = pytest.mark.usefixtures("small_sam")

PLANE = (32, 32)
SLICES = 8
LABELLED = 2
FUSED = torch.zeros(4, 2, *PLANE)
"""Fused logits of the students in an augmented batch."""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_, **__: str(tmp_path))


@pytest.fixture
def planes() -> tuple[Tensor, ...]:
    return (torch.rand(SLICES, *PLANE),)


def batch_of(planes: tuple[Tensor, ...], rows: Sequence[int] = (0, 1, 2, 3), **given: Any) -> Batch:
    """Return a batch of slices, the first two of them annotated, bent by a grid."""
    plain = planes[0][list(rows)].unsqueeze(1).expand(-1, 3, -1, -1)
    labels = (plain[:LABELLED, 0] > 0.5).to(torch.uint8)
    theta = torch.eye(2, 3).expand(len(rows), -1, -1) * 0.9
    grid = F.affine_grid(theta, [len(rows), 1, *PLANE], align_corners=False)
    images = warp(plain, grid)
    return Batch(
        images[:LABELLED], labels, images[LABELLED:], Origin(tuple(rows), planes, plain, labels, grid, **given)
    )


def pretrained(config: Config, **values: Any) -> tuple[RoundRobinTeaching, SamTeacher, Students]:
    """Return a teacher whose first block of two is frozen."""
    config = config.with_values(**{"variant": "vit_b", "adapted_blocks": 1} | values)
    sam: nn.Module = build_sam(SamVariant(32, 2, 2, global_attention=(1,), decoder_mlp_dim=32), PLANE)
    teacher = SamTeacher(2, PLANE, config.teacher, weights=sam.state_dict())
    students = Students(2, config=config.students).requires_grad_(False).eval()
    return RoundRobinTeaching(teacher, students, config), teacher, students


def from_scratch(config: Config, **values: Any) -> tuple[RoundRobinTeaching, SamTeacher, Students]:
    config = config.with_values(variant="compact", **values)
    teacher = SamTeacher(2, PLANE, config.teacher)
    students = Students(2, config=config.students).requires_grad_(False).eval()
    return RoundRobinTeaching(teacher, students, config), teacher, students


def calls_of(module: nn.Module) -> list[int]:
    """Note the size of every batch a module is given from now on."""
    sizes: list[int] = []
    module.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    return sizes


def seen(teacher: SamTeacher, students: Students, batch: Batch, position: int) -> Tensor:
    """Return what the teacher makes of a slice as it is, warped as the image was: (C, H, W)."""
    assert batch.origin is not None
    plain = batch.origin.images[[position]]
    with torch.no_grad():
        masks = teacher.masks(teacher.trunk(plain), students(plain).fused)
    return warp(masks, batch.origin.grid[[position]])[0]


def assert_close(found: Tensor, expected: Tensor) -> None:
    """Compare logits that were once rounded to bfloat16, and whose tokens were."""
    assert (found - expected).abs().max() < 0.02 * expected.abs().max()


def test_logits_from_a_cached_trunk_are_those_without_a_cache(tiny_config: Config, planes: tuple[Tensor, ...]) -> None:
    teaching, teacher, students = pretrained(tiny_config, teacher_slices=2, teacher_refreshes=2)
    batch = batch_of(planes)
    for _ in range(2):
        taught = teaching(batch, FUSED)
        teaching.end_step()
        assert taught.known.tolist() == [1, 1, 1, 1]
        for position in range(4):
            assert_close(taught.logits[position], seen(teacher, students, batch, position))


def test_a_teacher_with_a_cached_trunk_is_freed_at_once(tiny_config: Config, planes: tuple[Tensor, ...]) -> None:
    teaching, teacher, _ = pretrained(tiny_config)
    teaching(batch_of(planes), FUSED)
    gone = weakref.ref(teacher)
    gc.disable()
    try:
        del teaching, teacher
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("memory_mib", [1, 0])
def test_each_slice_passes_the_frozen_blocks_once_in_memory_and_on_disk(
    tiny_config: Config, planes: tuple[Tensor, ...], memory_mib: int
) -> None:
    teaching, teacher, _ = pretrained(tiny_config, teacher_refresh_after=1, trunk_memory_mib=memory_mib)
    frozen, learning = (calls_of(block) for block in teacher.sam.image_encoder.blocks)
    for _ in range(6):
        teaching(batch_of(planes), FUSED)
        teaching.end_step()
    assert sum(frozen) == 4
    assert sum(learning) == 6 * 2


def test_the_loss_of_a_pretrained_teacher_is_that_of_the_slices_as_they_are(
    tiny_config: Config, planes: tuple[Tensor, ...]
) -> None:
    teaching, teacher, students = pretrained(tiny_config, teacher_slices=2)
    batch = batch_of(planes)
    assert batch.origin is not None
    plain = batch.origin.images[:2]
    expected = supervised_loss(teacher(plain, students(plain).fused), batch.origin.labels)
    taught = teaching(batch, FUSED)
    assert taught.loss.item() == pytest.approx(expected.item(), rel=0.01)
    taught.loss.backward()
    assert any(p.grad is not None and p.grad.any() for p in teacher.trainable_parameters())
    assert not taught.logits.requires_grad


def test_a_teacher_from_scratch_learns_in_all_its_blocks(tiny_config: Config, planes: tuple[Tensor, ...]) -> None:
    teaching, teacher, _ = from_scratch(tiny_config)
    taught = teaching(batch_of(planes), FUSED)
    assert all(p.grad is None for p in teacher.parameters())
    taught.loss.backward()
    assert teacher.sam.image_encoder.patch_embed.proj.weight.grad is not None


@pytest.mark.parametrize("values", [{"cache_trunk": False}, {"adapted_blocks": 0}])
def test_without_a_cache_the_teacher_sees_the_same_and_its_frozen_blocks_work_each_time(
    tiny_config: Config, planes: tuple[Tensor, ...], values: dict[str, Any]
) -> None:
    teaching, teacher, students = pretrained(tiny_config, **values)
    first = calls_of(teacher.sam.image_encoder.blocks[0])
    batch = batch_of(planes)
    for _ in range(3):
        taught = teaching(batch, FUSED)
        teaching.end_step()
    assert sum(first) == 2 + 2 + 2
    assert_close(taught.logits[0], seen(teacher, students, batch, 0))


@pytest.mark.parametrize("make", [pretrained, from_scratch])
def test_slices_the_teacher_has_not_seen_yet_are_not_known(
    tiny_config: Config, planes: tuple[Tensor, ...], make: Any
) -> None:
    teaching, _, _ = make(tiny_config)
    known = []
    for _ in range(3):
        known.append(teaching(batch_of(planes), FUSED).known.sum().item())
        teaching.end_step()
    assert known == [2, 3, 4]


def test_a_slice_seen_before_is_known_wherever_it_is_drawn_and_warped_anew(
    tiny_config: Config, planes: tuple[Tensor, ...]
) -> None:
    teaching, teacher, students = pretrained(tiny_config, teacher_refreshes=2)
    teaching(batch_of(planes, (0, 1, 2, 3)), FUSED)
    teaching.end_step()
    later = batch_of(planes, (4, 5, 6, 0))
    assert later.origin is not None
    _, grid = augment_strongly(later.origin.images, tiny_config.augment, torch.Generator().manual_seed(1))
    later = later._replace(origin=later.origin._replace(grid=grid))
    taught = teaching(later, FUSED)
    assert taught.known.tolist() == [1, 1, 1, 1]
    assert_close(taught.logits[3], seen(teacher, students, later, 3))


def test_only_as_many_slices_are_looked_at_as_are_asked_for_and_due(
    tiny_config: Config, planes: tuple[Tensor, ...]
) -> None:
    teaching, teacher, _ = from_scratch(tiny_config, teacher_refreshes=2, teacher_refresh_after=100)
    encoded = calls_of(teacher.sam.image_encoder.patch_embed)
    for _ in range(4):
        teaching(batch_of(planes), FUSED)
        teaching.end_step()
    assert encoded == [1 + 2, 1 + 1, 1, 1]


def test_smaller_batches_leave_the_teacher_less_work(tiny_config: Config, planes: tuple[Tensor, ...]) -> None:
    teaching, teacher, _ = from_scratch(tiny_config, teacher_slices=8, teacher_refreshes=8)
    encoded = calls_of(teacher.sam.image_encoder.patch_embed)
    batch = batch_of(planes, (0, 1, 2))
    teaching(batch, FUSED[:3])
    assert encoded == [2 + 1]


def test_propagated_labels_are_the_mask_prompts_where_there_are_any(
    tiny_config: Config, planes: tuple[Tensor, ...]
) -> None:
    propagated = torch.randn(4, 2, *PLANE)
    looking = {"teacher_slices": 2, "teacher_refreshes": 2, "teacher_refresh_after": 1}
    teaching, teacher, students = pretrained(tiny_config, **looking)
    batch = batch_of(planes, mask_prompts=propagated)
    assert batch.origin is not None
    asked = calls_of(students)
    with torch.no_grad():
        shown = teacher.masks(teacher.trunk(batch.origin.images), propagated)
    expected = supervised_loss(teacher.upsampled(shown[:2]), batch.origin.labels)
    for _ in range(2):
        taught = teaching(batch, FUSED)
        assert_close(taught.logits, warp(shown, batch.origin.grid))
        assert taught.loss.item() == pytest.approx(expected.item(), rel=0.01)
        teaching.end_step()
    assert asked == []


def test_other_planes_are_seen_anew(tiny_config: Config, planes: tuple[Tensor, ...]) -> None:
    teaching, teacher, students = pretrained(tiny_config)
    teaching(batch_of(planes), FUSED)
    teaching.end_step()
    other = batch_of((torch.rand(SLICES, *PLANE),))
    taught = teaching(other, FUSED)
    assert taught.known.sum() == 2
    for position in taught.known.nonzero():
        assert_close(taught.logits[position[0]], seen(teacher, students, other, int(position[0])))


def test_other_classes_are_seen_anew_but_the_frozen_blocks_see_the_same(
    tiny_config: Config, planes: tuple[Tensor, ...]
) -> None:
    teaching, teacher, _ = pretrained(tiny_config, teacher_slices=2, teacher_refreshes=2)
    frozen = calls_of(teacher.sam.image_encoder.blocks[0])
    teaching(batch_of(planes), FUSED)
    teaching.end_step()
    teacher.change_classes((0, None, 1))
    teaching.change_classes(Students(3, config=tiny_config.students).eval())
    taught = teaching(batch_of(planes, (0, 1, 2, 4)), FUSED)
    assert taught.logits.shape == (4, 3, *PLANE)
    assert sum(frozen) == 5


def test_without_mask_prompts_the_students_are_not_asked(tiny_config: Config, planes: tuple[Tensor, ...]) -> None:
    config = tiny_config.with_values(variant="compact")
    teacher = SamTeacher(2, PLANE, config.teacher, mask_prompts=False)
    students = Students(2, config=config.students).eval()
    asked = calls_of(students)
    RoundRobinTeaching(teacher, students, config)(batch_of(planes), FUSED)
    assert asked == []


def test_a_batch_of_unknown_origin_cannot_be_taught_in_turn(tiny_config: Config, planes: tuple[Tensor, ...]) -> None:
    teaching, _, _ = from_scratch(tiny_config)
    with pytest.raises(ValueError, match="where the images of a batch come from"):
        teaching(batch_of(planes)._replace(origin=None), FUSED)


def test_the_published_way_sees_every_augmented_image(tiny_config: Config, planes: tuple[Tensor, ...]) -> None:
    _, teacher, _ = from_scratch(tiny_config)
    batch, fused = batch_of(planes), torch.randn(4, 2, *PLANE)
    taught = EveryImageTeaching(teacher)(batch, fused)
    expected = teacher(torch.cat([batch.labelled, batch.unlabelled]), fused)
    torch.testing.assert_close(taught.logits, expected.detach(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(taught.loss, supervised_loss(expected[:2], batch.labels))
    assert taught.known.tolist() == [1, 1, 1, 1]
