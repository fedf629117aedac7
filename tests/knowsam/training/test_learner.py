"""The learner: one flag for each part of the method, the same seed the same step, and no trace left outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from weights import are_same, copied

from knowsam.data.annotation import default_classes
from knowsam.errors import TrainingError
from knowsam.models.prompts import PromptHeads
from knowsam.models.sam import SamVariant, build_sam
from knowsam.models.students import Fusion
from knowsam.training.batch import Batch, Origin, PseudoLabels
from knowsam.training.interruption import Interrupted, Interruption
from knowsam.training.learner import Learner
from knowsam.training.trained_model import TrainedModel

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.training.step import StepLosses

pytestmark = pytest.mark.usefixtures("small_sam")

PLANE = (32, 32)
CPU = torch.device("cpu")


@pytest.fixture
def tiny_config(tiny_config: Config) -> Config:
    """Without propagated labels, which depend on the classes; tests that are about them use `carrying`."""
    return tiny_config.with_values(shape_prior=False)


@pytest.fixture
def carrying_config(tiny_config: Config) -> Config:
    return tiny_config.with_values(shape_prior=True)


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    labels = torch.zeros(2, *PLANE, dtype=torch.uint8)
    labels[:, 8:24, 8:24] = 1
    images = torch.rand(4, 3, *PLANE, generator=generator)
    images[:, :, 8:24, 8:24] += 1
    images = images / 2
    origin = Origin((3, 7, 4, 6), (images,), images, labels, still_grid(*PLANE))
    return Batch(images[:2], labels, images[2:], origin)


def carrying(batch: Batch, classes: int = 2) -> Batch:
    """Return the batch with labels propagated to its slices, which say that the bright square is the last class."""
    channels = torch.linspace(-1, 1, 4 * classes).view(1, -1, 1, 1).expand(2, -1, *PLANE)
    probabilities = torch.zeros(2, classes, *PLANE)
    probabilities[:, 0] = 1.0
    probabilities[:, :, 8:24, 8:24] = torch.eye(classes)[-1].view(-1, 1, 1)
    return batch._replace(
        labelled=torch.cat([batch.labelled, channels], dim=1),
        unlabelled=torch.cat([batch.unlabelled, channels], dim=1),
        pseudo_labels=PseudoLabels(probabilities, torch.ones(2, 1, *PLANE)),
    )


def still_grid(height: int, width: int) -> Tensor:
    """Return the sampling grid of a batch that is not augmented."""
    return F.affine_grid(torch.eye(2, 3).expand(4, -1, -1), [4, 1, height, width], align_corners=False)


def learner(config: Config, seed: int = 0, classes: int = 2, **given: Any) -> Learner:
    return Learner(classes, PLANE, config, device=CPU, seed=seed, **given)


def first_step(config: Config, batch: Batch, progress: float = 0.9) -> StepLosses:
    return learner(config).step(batch, 0, progress)


def small_weights() -> dict[str, Tensor]:
    """Return weights to begin with for the SAM of `small_sam`."""
    small = SamVariant(32, 2, 2, global_attention=(1,), decoder_mlp_dim=32)
    weights: dict[str, Tensor] = build_sam(small, PLANE).state_dict()
    return weights


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


def test_with_all_parts_every_term_counts(carrying_config: Config, batch: Batch) -> None:
    assert min(asdict(first_step(carrying_config, carrying(batch))).values()) > 0


def test_without_weight_propagated_labels_are_no_labels(carrying_config: Config, batch: Batch) -> None:
    full = first_step(carrying_config, carrying(batch))
    reduced = first_step(carrying_config.with_values(pseudo_label_weight=0.0), carrying(batch))
    assert reduced.propagation == 0
    assert full.total == pytest.approx(reduced.total + full.propagation)


def test_propagated_labels_are_learnt_as_labels_of_unlabelled_slices(carrying_config: Config, batch: Batch) -> None:
    config = carrying_config.with_values(
        learning_rate=0.01, dropout=0.0, variant="none", mixing=False, semi_supervised="none"
    )
    trained = learner(config)
    losses = [trained.step(carrying(batch), number, 0.0).propagation for number in range(8)]
    assert losses[-1] < 0.8 * losses[0]


def test_with_a_new_class_propagated_labels_are_seen_and_learnt_from(carrying_config: Config, batch: Batch) -> None:
    trained = learner(carrying_config)
    trained.step(carrying(batch), 0, 0.5)
    trained.change_classes((0, 1, None))
    trained.step(carrying(batch, classes=3), 1, 0.5)
    assert trained.students.prior is not None
    assert trained.students.prior.weight[:, 2::3].any()


def test_by_default_a_step_is_what_it_was_before_there_were_other_methods(
    carrying_config: Config, batch: Batch
) -> None:
    assert asdict(first_step(carrying_config, carrying(batch))) == pytest.approx(
        {
            "supervised": 2.3658268,
            "consistency": 0.7227826,
            "entropy": 0.8245422,
            "distillation": 0.0682819,
            "mixing": 5.0104165,
            "teacher": 1.0689044,
            "propagation": 0.4616365,
        },
        rel=1e-3,
    )


@pytest.mark.parametrize(
    ("switch", "off", "gone"),
    [
        ("semi_supervised", "none", {"consistency", "entropy"}),
        ("distillation", False, {"distillation", "teacher"}),
        ("mixing", False, {"mixing"}),
    ],
)
def test_a_switch_removes_its_own_terms_and_no_other(
    carrying_config: Config, batch: Batch, switch: str, off: Any, gone: set[str]
) -> None:
    full = asdict(first_step(carrying_config, carrying(batch)))
    reduced = asdict(first_step(carrying_config.with_values(**{switch: off}), carrying(batch)))
    assert {term for term, value in reduced.items() if value == 0} == gone
    for term in full.keys() - gone - {"mixing"}:
        assert reduced[term] == pytest.approx(full[term], rel=1e-6), term


@pytest.mark.parametrize("name", ["none", "mean_teacher", "cps"])
def test_with_another_method_the_mixed_phase_keeps_supervision_only(
    tiny_config: Config, batch: Batch, name: str
) -> None:
    full, alone = first_step(tiny_config, batch), first_step(tiny_config.with_values(semi_supervised=name), batch)
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
    supervised = tiny_config.with_values(semi_supervised="none", distillation=False, mixing=False)
    losses = first_step(supervised, batch._replace(unlabelled=batch.unlabelled[:0]))
    assert not learner(supervised).uses_unlabelled
    assert losses.total == losses.supervised > 0


def test_four_classes_are_learnt_as_two_are(carrying_config: Config, batch: Batch) -> None:
    batch.labels[:, 8:16, 8:16], batch.labels[:, 16:24, 16:24] = 2, 3
    losses = learner(carrying_config, classes=4).step(carrying(batch, classes=4), 0, 0.9)
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
    last = trained.students.state_dict()
    for name, tensor in trained.averaged.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, last[name])


def test_the_averaged_students_follow_at_first_by_nine_tenths_of_the_way(tiny_config: Config, batch: Batch) -> None:
    trained = learner(tiny_config.with_values(averaging=0.98, variant="none"))
    start = trained.students.unet.head.weight.clone()
    trained.step(batch, 0, 0.0)
    expected = 0.1 * start + 0.9 * trained.students.unet.head.weight
    torch.testing.assert_close(trained.averaged.unet.head.weight, expected)
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
    assert are_same(later.students.state_dict(), earlier.students.state_dict())
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


def test_frozen_weights_of_sam_do_not_belong_to_the_model(tiny_config: Config) -> None:
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


ADDED = (0, 1, None)


def steps(trained: Learner, batch: Batch, *numbers: int) -> None:
    for number in numbers:
        trained.step(batch, number, 0.5)


def after_steps(config: Config, batch: Batch, count: int = 2, **given: Any) -> Learner:
    trained = learner(config, **given)
    steps(trained, batch, *range(count))
    return trained


@pytest.mark.parametrize(("optimizer", "moment"), [("adamw", "exp_avg"), ("sgd", "momentum_buffer")])
def test_with_a_new_class_the_optimiser_knows_what_it_knew_of_the_others(
    tiny_config: Config, batch: Batch, optimizer: str, moment: str
) -> None:
    trained = after_steps(tiny_config.with_values(optimizer=optimizer, variant="none"), batch)
    before, known = dict(trained.students.named_parameters()), trained.state().moments
    trained.change_classes(ADDED)
    now = trained.state().moments
    for name, parameter in trained.students.named_parameters():
        assert now[name].keys() == known[name].keys()
        assert now[name][moment].shape == parameter.shape
        if parameter.shape == before[name].shape:
            assert torch.equal(now[name][moment], known[name][moment]), name
    head = now["unet.head.weight"][moment]
    assert known["unet.head.weight"][moment].any()
    assert torch.equal(head[:2], known["unet.head.weight"][moment])
    assert not head[2].any()


def test_steps_go_on_as_they_would_have_where_classes_only_stay(tiny_config: Config, batch: Batch) -> None:
    config = tiny_config.with_values(variant="none")
    changed, plain = after_steps(config, batch), after_steps(config, batch)
    changed.change_classes((0, 1))
    assert changed.step(batch, 2, 0.5) == plain.step(batch, 2, 0.5)
    torch.testing.assert_close(changed.students.state_dict(), plain.students.state_dict())


@pytest.mark.parametrize(
    ("sources", "optimizer", "steps"),
    [
        (ADDED, "adamw", 0),
        (ADDED, "sgd", 0),
        (ADDED, "sgd", 1),
        ((0, None), "adamw", 1),
        ((1, 0), "sgd", 1),
        ((0, None, 1, None), "adamw", 1),
    ],
)
def test_a_step_can_be_taken_with_other_classes(
    tiny_config: Config, batch: Batch, sources: tuple[int | None, ...], optimizer: str, steps: int
) -> None:
    trained = after_steps(tiny_config.with_values(optimizer=optimizer), batch, steps)
    trained.change_classes(sources)
    assert trained.step(batch, steps, 0.9).total > 0
    assert trained.students.state_dict().keys() == trained.averaged.state_dict().keys()
    assert trained.averaged.unet.head.out_channels == len(sources)


def test_a_new_class_is_learnt_by_students_and_teacher(tiny_config: Config, batch: Batch) -> None:
    trained = after_steps(tiny_config.with_values(mixing=False), batch)
    trained.change_classes(ADDED)
    weight = trained.students.unet.head.weight[2].clone()
    assert trained.teacher is not None
    assert trained.teacher.prompt_heads is not None
    head = trained.teacher.prompt_heads.heads["2"][-2].weight
    prompt = head.clone()
    batch.labels[:, 8:16] = 2
    trained.step(batch, 2, 0.0)
    assert not torch.equal(trained.students.unet.head.weight[2], weight)
    assert not torch.equal(head, prompt)


def test_with_a_new_class_the_averaged_students_stay_averaged_and_untrained(tiny_config: Config, batch: Batch) -> None:
    trained = after_steps(tiny_config.with_values(variant="none"), batch)
    before = trained.averaged.unet.head.weight.clone()
    trained.change_classes(ADDED)
    assert torch.equal(trained.averaged.unet.head.weight[:2], before)
    assert not torch.equal(trained.students.unet.head.weight[:2], before)
    assert not trained.averaged.training
    assert not any(parameter.requires_grad for parameter in trained.averaged.parameters())


def test_the_teacher_keeps_the_prompts_and_the_optimiser_of_known_classes(tiny_config: Config, batch: Batch) -> None:
    trained = after_steps(tiny_config, batch)
    assert trained.teacher is not None
    assert trained.teacher.prompt_heads is not None
    head = trained.teacher.prompt_heads.heads["1"]
    known = trained.state().teacher_moments
    trained.change_classes((0, None, 1))
    changed = trained.teacher.prompt_heads.heads
    assert changed["2"] is head
    assert changed["1"] is not head
    now = trained.state().teacher_moments
    before, after = ({n for n in moments if not n.startswith("prompt_heads")} for moments in (known, now))
    assert before == after != set()
    for name in before:
        assert now[name].keys() == known[name].keys()
        assert all(torch.equal(now[name][key], known[name][key]) for key in known[name]), name
    old, new = "prompt_heads.heads.1.10.weight", "prompt_heads.heads.2.10.weight"
    assert torch.equal(now[new]["exp_avg"], known[old]["exp_avg"])
    assert old not in now


def test_a_change_of_classes_leaves_the_random_numbers_of_others_alone(tiny_config: Config) -> None:
    trained = learner(tiny_config)
    before = torch.random.get_rng_state()
    trained.change_classes(ADDED)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_on_another_plane_everything_that_fits_is_kept(tiny_config: Config, batch: Batch) -> None:
    trained = after_steps(tiny_config, batch)
    students, taught = copied(trained.students), trained.teacher_state()
    trained.change_plane((48, 32))
    now = trained.teacher_state()
    assert trained.teacher is not None
    assert trained.teacher.plane == (48, 32)
    assert now.keys() == taught.keys()
    anew = {name for name in now if now[name].shape != taught[name].shape}
    assert all("pos" in name or "_pe" in name for name in anew)
    assert all(torch.equal(now[name], taught[name]) for name in now.keys() - anew)
    assert are_same(trained.students.state_dict(), students)


def test_a_step_can_be_taken_on_another_plane(tiny_config: Config, batch: Batch) -> None:
    trained = after_steps(tiny_config, batch)
    trained.change_plane((48, 32))
    images, labels, unlabelled, origin = batch[:4]
    images, labels, unlabelled = (torch.cat([t, t[..., :16, :]], dim=-2) for t in (images, labels, unlabelled))
    plain = torch.cat([images, unlabelled])
    assert origin is not None
    larger = Batch(images, labels, unlabelled, Origin(origin.rows, (plain,), plain, labels, still_grid(48, 32)))
    assert trained.step(larger, 2, 0.9).total > 0


def test_on_another_plane_the_teacher_goes_on_with_its_present_classes(tiny_config: Config) -> None:
    trained = learner(tiny_config)
    trained.change_classes(ADDED)
    trained.change_plane((48, 32))
    assert trained.teacher is not None
    assert trained.teacher.classes == 3


def test_on_the_same_plane_the_teacher_stays_the_same(tiny_config: Config) -> None:
    trained = learner(tiny_config)
    teacher = trained.teacher
    trained.change_plane(PLANE)
    assert trained.teacher is teacher


def test_a_frozen_sam_is_loaded_again_for_another_plane(tiny_config: Config) -> None:
    small = SamVariant(32, 2, 2, global_attention=(1,), decoder_mlp_dim=32)
    weights = build_sam(small, PLANE).state_dict()
    trained = learner(tiny_config.with_values(variant="vit_b"), sam_weights=weights)
    trained.change_plane((48, 32))
    assert trained.teacher is not None
    assert torch.equal(trained.teacher.sam.mask_decoder.iou_token.weight, weights["mask_decoder.iou_token.weight"])
    assert not trained.teacher.sam.mask_decoder.iou_token.weight.requires_grad


def test_without_a_teacher_classes_and_plane_can_change(tiny_config: Config, batch: Batch) -> None:
    trained = after_steps(tiny_config.with_values(variant="none"), batch)
    trained.change_plane((48, 32))
    trained.change_classes(ADDED)
    assert trained.teacher is None
    assert trained.step(batch, 2, 0.9).total > 0


def ask_in(
    monkeypatch: pytest.MonkeyPatch, network: type[Fusion | PromptHeads], ask: Callable[[], None], way: str
) -> None:
    """Let a network ask for an interruption when it is reached on one of the two ways."""
    forward = network.forward

    def asking(self: Any, *args: Tensor) -> Tensor:
        out: Tensor = forward(self, *args)
        if way == "forward":
            ask()
        elif out.requires_grad:
            out.register_hook(lambda _: ask())
        return out

    monkeypatch.setattr(network, "forward", asking)


@pytest.mark.parametrize(
    ("network", "way", "changed"),
    [
        (Fusion, "forward", False),
        (Fusion, "back", True),
        (PromptHeads, "forward", True),
        (PromptHeads, "back", False),
    ],
)
def test_a_step_that_is_broken_off_changes_no_weight_and_can_be_taken_again(
    tiny_config: Config,
    batch: Batch,
    monkeypatch: pytest.MonkeyPatch,
    network: type[Fusion | PromptHeads],
    way: str,
    changed: bool,
) -> None:
    """The students are looked at alone, or the teacher's layers would break the step off for them.

    Networks that got another class are watched anew.
    """
    interruption = Interruption()
    config = tiny_config if network is PromptHeads else tiny_config.with_values(variant="none")
    trained = after_steps(config, batch, 1, interruption=interruption)
    if changed:
        trained.change_classes(ADDED)
    networks = [one for one in (trained.students, trained.averaged, trained.teacher) if one is not None]
    before = [parameter.clone() for one in networks for parameter in one.parameters()]
    averaged = copied(trained.averaged)
    with monkeypatch.context() as patched:
        ask_in(patched, network, interruption.request, way)
        with pytest.raises(Interrupted):
            trained.step(batch, 1, 0.9)
    after = [parameter for one in networks for parameter in one.parameters()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert are_same(trained.averaged.state_dict(), averaged)
    interruption.clear()
    assert trained.step(batch, 1, 0.9).total > 0
    assert any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("norm", ["group", "instance"])
def test_a_step_that_was_broken_off_is_the_same_when_it_is_taken_again(
    tiny_config: Config, batch: Batch, monkeypatch: pytest.MonkeyPatch, norm: str
) -> None:
    interruption = Interruption()
    config = tiny_config.with_values(norm=norm)
    broken_off, plain = learner(config, interruption=interruption), learner(config)
    with monkeypatch.context() as patched:
        ask_in(patched, Fusion, interruption.request, "back")
        with pytest.raises(Interrupted):
            broken_off.step(batch, 0, 0.9)
    interruption.clear()
    assert broken_off.step(batch, 0, 0.9) == plain.step(batch, 0, 0.9)
    assert are_same(broken_off.students.state_dict(), plain.students.state_dict())


def test_losses_that_come_late_are_those_of_the_step_before_and_the_weights_the_same(
    tiny_config: Config, batch: Batch
) -> None:
    # Where a gradient is nearly zero, AdamW makes much of how it was rounded.
    config = tiny_config.with_values(optimizer="sgd", variant="none")
    at_once, late = learner(config), learner(config, late=True)
    losses = [[trained.step(batch, number, 0.5) for number in range(3)] for trained in (at_once, late)]
    assert losses[1][1].total == pytest.approx(losses[0][0].total)
    assert losses[1][2].total == pytest.approx(losses[0][1].total, rel=1e-4)
    torch.testing.assert_close(late.students.state_dict(), at_once.students.state_dict(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("late", [False, True])
def test_a_loss_that_is_not_finite_never_reaches_a_weight_or_the_average(
    tiny_config: Config, batch: Batch, late: bool, norm: str
) -> None:
    """Where that is known a step late only, the average goes on following the weights, which stay."""
    trained = learner(tiny_config.with_values(norm=norm), late=late)
    trained.step(batch, 0, 0.5)
    before = [parameter.clone() for parameter in trained.students.parameters()]
    average = copied(trained.averaged)
    followed = [one.lerp(other, 1 - 2 / 11) for one, other in zip(trained.averaged.parameters(), before, strict=True)]
    broken = batch._replace(labelled=torch.full_like(batch.labelled, torch.nan))
    with pytest.raises(TrainingError, match="The loss of step 2 is nan"):
        steps(trained, broken, 1, 2)
    assert all(map(torch.equal, trained.students.parameters(), before))
    if late:
        torch.testing.assert_close(list(trained.averaged.parameters()), followed)
    moved = {name for name, _ in trained.averaged.named_parameters()} if late else set()
    for name, tensor in trained.averaged.state_dict().items():
        assert name in moved or torch.equal(tensor, average[name]), name


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_students_with_batch_normalisation_are_laid_out_channels_last(
    tiny_config: Config, batch: Batch, norm: str
) -> None:
    trained = learner(tiny_config.with_values(norm=norm, variant="none"))
    trained.change_classes(ADDED)
    for students in (trained.students, trained.averaged):
        weight = students.unet.down[1][0].weight
        assert weight.is_contiguous(memory_format=torch.channels_last) == (norm == "batch")


@pytest.mark.parametrize(
    ("variant", "in_turn", "expected"),
    [
        ("compact", "pretrained", [2, 2]),
        ("compact", "always", [2]),
        ("vit_b", "pretrained", [2]),
        ("vit_b", "always", [2]),
        ("vit_b", "never", [2, 2]),
    ],
)
def test_the_teacher_works_in_turn_or_looks_at_every_image(
    tiny_config: Config, batch: Batch, variant: str, in_turn: str, expected: list[int]
) -> None:
    config = tiny_config.with_values(variant=variant, teacher_in_turn=in_turn, teacher_refresh_after=1)
    trained = learner(config, sam_weights=None if variant == "compact" else small_weights())
    assert trained.teacher is not None
    sizes: list[int] = []
    trained.teacher.sam.image_encoder.patch_embed.register_forward_pre_hook(
        lambda _, given: sizes.append(len(given[0]))
    )
    for number in range(2):
        assert trained.step(batch, number, 0.5).distillation > 0
    assert sizes == expected * 2


def test_a_pretrained_teacher_learns_in_turn_from_its_cached_trunk(tiny_config: Config, batch: Batch) -> None:
    config = tiny_config.with_values(variant="vit_b", adapted_blocks=1, teacher_refresh_after=1, mixing=False)
    trained = learner(config, sam_weights=small_weights())
    assert trained.teacher is not None
    passes: list[int] = []
    trained.teacher.sam.image_encoder.blocks[0].register_forward_pre_hook(lambda _, x: passes.append(len(x[0])))
    losses = [trained.step(batch, number, 0.0) for number in range(24)]
    assert sum(passes) == 4
    assert losses[-1].teacher < losses[0].teacher
    trained.change_classes(ADDED)
    assert trained.step(batch, 24, 0.0).distillation > 0
    assert sum(passes) == 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("in_turn", ["always", "never"])
@pytest.mark.parametrize("variant", ["compact", "vit_b"])
def test_on_cuda_a_step_does_not_wait_for_the_device(
    tiny_config: Config, batch: Batch, variant: str, in_turn: str
) -> None:
    config = tiny_config.with_values(variant=variant, adapted_blocks=1, teacher_in_turn=in_turn)
    weights = None if variant == "compact" else small_weights()
    cuda = torch.device("cuda")
    trained = Learner(2, PLANE, config, device=cuda, seed=0, sam_weights=weights)
    assert batch.origin is not None
    origin = Origin(
        batch.origin.rows,
        tuple(planes.to(cuda) for planes in batch.origin.planes),
        *(tensor.to(cuda) for tensor in batch.origin[2:5] if tensor is not None),
    )
    there = Batch(*(tensor.to(cuda) for tensor in batch[:3]), origin)
    steps(trained, there, 0, 1, 2, 3)
    torch.cuda.set_sync_debug_mode("error")
    try:
        trained.step(there, 4, 0.5)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(("optimizer", "variant"), [("adamw", "compact"), ("sgd", "none")])
def test_a_learner_goes_on_as_if_there_had_been_no_pause(
    tiny_config: Config, batch: Batch, optimizer: str, variant: str
) -> None:
    config = tiny_config.with_values(optimizer=optimizer, variant=variant, teacher_in_turn="never")
    whole = after_steps(config, batch)
    second = learner(config, start_from=model_of(whole))
    second.go_on(whole.state())
    steps(whole, batch, 2)
    steps(second, batch, 2)
    for one, other in ((whole.students, second.students), (whole.averaged, second.averaged)):
        assert are_same(other.state_dict(), one.state_dict())
    assert are_same(second.teacher_state(), whole.teacher_state())
