"""The learner: one flag for each part of the method, the same seed the same step, and no trace left outside."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from knowsam.data.annotation import default_classes
from knowsam.models.sam import SamVariant, build_sam
from knowsam.training.learner import Learner
from knowsam.training.step import Batch, StepLosses
from knowsam.training.trained_model import TrainedModel

if TYPE_CHECKING:
    from knowsam.config import Config

pytestmark = pytest.mark.usefixtures("small_sam")

PLANE = (32, 32)
CPU = torch.device("cpu")


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    labels = torch.zeros(2, *PLANE, dtype=torch.uint8)
    labels[:, 8:24, 8:24] = 1
    images = torch.rand(4, 3, *PLANE, generator=generator)
    images[:, :, 8:24, 8:24] += 1
    return Batch(images[:2] / 2, labels, images[2:] / 2)


def learner(config: Config, seed: int = 0, classes: int = 2, **given: Any) -> Learner:
    return Learner(classes, PLANE, config, device=CPU, seed=seed, **given)


def first_step(config: Config, batch: Batch, progress: float = 0.9) -> StepLosses:
    return learner(config).step(batch, 0, progress)


def model_of(trained: Learner) -> TrainedModel:
    return TrainedModel(
        students=trained.students,
        teacher=trained.teacher_state(),
        config=trained.config,
        classes=default_classes([1]),
        axis=0,
        pixel_mm=1.0,
        steps=1,
    )


def state_of(trained: Learner) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in trained.students.state_dict().items()}


def test_with_all_parts_every_term_counts(tiny_config: Config, batch: Batch) -> None:
    assert min(asdict(first_step(tiny_config, batch)).values()) > 0


@pytest.mark.parametrize(
    ("switch", "gone"),
    [
        ("cotraining", {"consistency", "entropy"}),
        ("distillation", {"distillation", "teacher"}),
        ("mixing", {"mixing"}),
    ],
)
def test_a_switch_removes_its_own_terms_and_no_other(
    tiny_config: Config, batch: Batch, switch: str, gone: set[str]
) -> None:
    full = asdict(first_step(tiny_config, batch))
    reduced = asdict(first_step(tiny_config.with_values(**{switch: False}), batch))
    assert {term for term, value in reduced.items() if value == 0} == gone
    for term in full.keys() - gone - {"mixing"}:
        assert reduced[term] == pytest.approx(full[term], rel=1e-6), term


def test_without_cotraining_the_mixed_phase_keeps_supervision_only(tiny_config: Config, batch: Batch) -> None:
    full, alone = first_step(tiny_config, batch), first_step(tiny_config.with_values(cotraining=False), batch)
    assert 0 < alone.mixing < full.mixing


@pytest.mark.parametrize(("switch", "parts"), [("learnable_prompts", (False, True)), ("mask_prompts", (True, False))])
def test_each_kind_of_prompt_has_its_own_switch(tiny_config: Config, switch: str, parts: tuple[bool, bool]) -> None:
    teacher = learner(tiny_config.with_values(**{switch: False})).teacher
    assert teacher is not None
    assert (teacher.prompt_heads is not None, teacher.mask_prompts) == parts


def test_no_teacher_is_built_where_none_is_wanted(tiny_config: Config) -> None:
    assert learner(tiny_config.with_values(distillation=False)).teacher is None
    assert learner(tiny_config.with_values(variant="none")).teacher is None


def test_supervision_alone_needs_no_unlabelled_slice(tiny_config: Config, batch: Batch) -> None:
    supervised = tiny_config.with_values(cotraining=False, distillation=False, mixing=False)
    losses = first_step(supervised, batch._replace(unlabelled=batch.unlabelled[:0]))
    assert not learner(supervised).uses_unlabelled
    assert losses.total == losses.supervised > 0


def test_four_classes_are_learnt_as_two_are(tiny_config: Config, batch: Batch) -> None:
    batch.labels[:, 8:16, 8:16], batch.labels[:, 16:24, 16:24] = 2, 3
    losses = learner(tiny_config, classes=4).step(batch, 0, 0.9)
    assert min(asdict(losses).values()) > 0


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_loss_falls_when_one_batch_is_seen_again_and_again(
    tiny_config: Config, batch: Batch, optimizer: str
) -> None:
    config = tiny_config.with_values(optimizer=optimizer, learning_rate=0.01, dropout=0.0, variant="none", mixing=False)
    trained = learner(config)
    losses = [trained.step(batch, number, 0.0).supervised for number in range(8)]
    assert losses[-1] < 0.8 * losses[0]


def test_the_same_seed_gives_the_same_steps_and_another_one_does_not(tiny_config: Config, batch: Batch) -> None:
    first, again, other = (learner(tiny_config, seed) for seed in (1, 1, 2))
    steps = [[trained.step(batch, number, 0.5) for number in range(2)] for trained in (first, again, other)]
    assert steps[0] == steps[1]
    assert steps[0] != steps[2]


def test_the_random_numbers_of_others_are_left_alone(tiny_config: Config, batch: Batch) -> None:
    before = torch.random.get_rng_state()
    learner(tiny_config).step(batch, 0, 0.9)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_teacher_does_not_follow_what_the_students_are_taught(tiny_config: Config, batch: Batch) -> None:
    """Its gradient is the same however much the distillation weighs."""
    light, heavy = (learner(tiny_config.with_values(distillation_weight=weight)) for weight in (1.0, 10.0))
    gradients = []
    for trained in (light, heavy):
        trained.step(batch, 0, 0.9)
        assert trained.teacher is not None
        gradients.append([p.grad for p in trained.teacher.trainable_parameters() if p.grad is not None])
    assert len(gradients[0]) > 0
    for one, other in zip(*gradients, strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(light.students.unet.head.weight, heavy.students.unet.head.weight)


def test_at_the_end_of_training_no_weight_moves_any_more(tiny_config: Config, batch: Batch) -> None:
    trained = learner(tiny_config)
    before = [parameter.clone() for parameter in trained.students.parameters()]
    trained.step(batch, 0, 1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, trained.students.parameters(), strict=True))


def test_without_averaging_the_averaged_students_are_the_last_ones(tiny_config: Config, batch: Batch) -> None:
    trained = learner(tiny_config.with_values(averaging=0.0, variant="none"))
    trained.step(batch, 0, 0.0)
    for name, tensor in trained.averaged.state_dict().items():
        torch.testing.assert_close(tensor, trained.students.state_dict()[name])


def test_the_averaged_students_follow_at_first_by_nine_tenths_of_the_way(tiny_config: Config, batch: Batch) -> None:
    trained = learner(tiny_config.with_values(averaging=0.98, variant="none"))
    start = state_of(trained)
    trained.step(batch, 0, 0.0)
    name = "unet.head.weight"
    expected = 0.1 * start[name] + 0.9 * state_of(trained)[name]
    torch.testing.assert_close(trained.averaged.state_dict()[name], expected)
    assert not any(parameter.requires_grad for parameter in trained.averaged.parameters())


def test_a_step_that_ran_out_of_memory_leaves_no_gradient(tiny_config: Config, batch: Batch) -> None:
    trained = learner(tiny_config)
    trained.step(batch, 0, 0.0)
    trained.forget_step()
    assert trained.teacher is not None
    assert all(p.grad is None for p in [*trained.students.parameters(), *trained.teacher.parameters()])


def test_training_goes_on_from_an_earlier_model(tiny_config: Config, batch: Batch) -> None:
    earlier = learner(tiny_config, seed=1)
    earlier.step(batch, 0, 0.0)
    later = learner(tiny_config, seed=2, start_from=model_of(earlier))
    images, fused = torch.rand(1, 3, *PLANE), torch.randn(1, 2, *PLANE)
    assert all(torch.equal(state_of(later)[name], tensor) for name, tensor in state_of(earlier).items())
    assert earlier.teacher is not None
    assert later.teacher is not None
    assert torch.equal(later.teacher.eval()(images, fused), earlier.teacher.eval()(images, fused))


def test_on_a_plane_of_another_size_the_teacher_starts_anew_only_in_its_positions(
    tiny_config: Config, batch: Batch
) -> None:
    earlier = learner(tiny_config, seed=1)
    later = Learner(2, (48, 32), tiny_config, device=CPU, seed=2, start_from=model_of(earlier))
    assert earlier.teacher is not None
    assert later.teacher is not None
    own, taken = later.teacher.state_dict(), earlier.teacher.state_dict()
    anew = {name for name in own if own[name].shape != taken[name].shape}
    assert anew
    assert all("pos" in name or "_pe" in name for name in anew)
    assert all(torch.equal(own[name], taken[name]) for name in own.keys() - anew)


def test_frozen_weights_of_sam_do_not_belong_to_what_was_learnt(tiny_config: Config) -> None:
    small = SamVariant(32, 2, 2, global_attention=(1,), decoder_mlp_dim=32)
    trained = learner(tiny_config.with_values(variant="vit_b"), sam_weights=build_sam(small, PLANE).state_dict())
    assert trained.teacher is not None
    frozen = {name for name, parameter in trained.teacher.named_parameters() if not parameter.requires_grad}
    learnt = {name for name, parameter in trained.teacher.named_parameters() if parameter.requires_grad}
    assert frozen
    assert frozen.isdisjoint(trained.teacher_state())
    assert learnt <= trained.teacher_state().keys()


def test_without_a_teacher_its_state_is_empty(tiny_config: Config) -> None:
    assert learner(tiny_config.with_values(variant="none")).teacher_state() == {}
