"""A student comes to see and to answer like its teacher, in slices from which it has not learnt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

import pytest
import torch
from sam2_folder import save_silently, tiny_sam2
from torch import Tensor

from knowsam.distillation import distillation
from knowsam.distillation.distillation import Distillation, answer_loss
from knowsam.distillation.prompts import clicked
from knowsam.errors import CheckpointError
from knowsam.models.prompted_sam import PromptedSam
from knowsam.models.teachers import read_folder
from knowsam.pretraining.prompting import PromptSource
from knowsam.pretraining.sam_training import untrained_sam
from knowsam.training.schedule import Budget

if TYPE_CHECKING:
    from knowsam.distillation.agreement import Agreement
    from knowsam.distillation.image_slices import ImageSlices

CPU = torch.device("cpu")
DICE = ("one_click", "three_clicks", "box", "mask")


def untrained(teacher: Mapping[str, Tensor], slices: ImageSlices) -> Distillation:
    """Return the distillation of a teacher into a SAM that knows nothing."""
    return Distillation("vit_b", teacher, slices, device=CPU, start=untrained_sam().state_dict())


def mean_dice(found: Agreement) -> float:
    return mean(getattr(found, name) for name in DICE)


def test_a_student_reaches_the_masks_of_its_teacher_on_slices_it_has_not_learnt_from(
    teacher: Mapping[str, Tensor], slices: ImageSlices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distillation, "_BATCH_SLICES", 4)
    monkeypatch.setattr(distillation, "_LEARNING_RATE", 1e-2)
    learning = untrained(teacher, slices)
    before = learning.agreement()
    for _ in learning.learn(Budget(steps=40)):
        pass
    after = learning.agreement()
    assert after.embedding_error < 0.7 * before.embedding_error
    for name in DICE:
        assert getattr(after, name) > getattr(before, name) + 0.1
    assert mean_dice(before) < 0.3
    assert mean_dice(after) > 0.5


def test_a_student_that_is_its_teacher_agrees_fully(small: None, slices: ImageSlices) -> None:
    weights = untrained_sam().state_dict()
    found = Distillation("compact", weights, slices, device=CPU, start=weights).agreement()
    assert found.embedding_error < 1e-3
    assert min(getattr(found, name) for name in DICE) > 0.97


@pytest.mark.parametrize("is_blind", [True, False])
def test_an_encoder_that_gives_the_same_for_all_images_is_learnt_anew(
    teacher: Mapping[str, Tensor], slices: ImageSlices, caplog: pytest.LogCaptureFixture, is_blind: bool
) -> None:
    start = untrained_sam().state_dict()
    if is_blind:
        start["image_encoder.neck.3.weight"].zero_()
    learning = Distillation("compact", start, slices, device=CPU, start=start)
    if is_blind:
        learning = Distillation("vit_b", teacher, slices, device=CPU, start=start)
    with caplog.at_level("INFO"):
        next(learning.learn(Budget(steps=2)))
    assert ("The encoder is learnt anew" in caplog.text) == is_blind


def test_one_seed_gives_one_student(teacher: Mapping[str, Tensor], slices: ImageSlices) -> None:
    start, found = untrained_sam().state_dict(), []
    for _ in range(2):
        learning = Distillation("vit_b", teacher, slices, device=CPU, seed=3, start=start)
        losses = [step.loss for step in learning.learn(Budget(steps=2))]
        found.append((losses, learning.sam.state_dict()))
    (one, own), (other, its_own) = found
    assert one == other
    assert all(torch.equal(own[name], its_own[name]) for name in own)


def test_whoever_leaves_off_early_keeps_the_model(teacher: Mapping[str, Tensor], slices: ImageSlices) -> None:
    learning = untrained(teacher, slices)
    before = {name: tensor.clone() for name, tensor in learning.sam.state_dict().items()}
    for step in learning.learn(Budget(steps=100)):
        if step.number == 2:
            break
    assert any(not torch.equal(tensor, before[name]) for name, tensor in learning.sam.state_dict().items())


def test_the_teacher_sees_each_slice_once(
    teacher: Mapping[str, Tensor], slices: ImageSlices, monkeypatch: pytest.MonkeyPatch
) -> None:
    learning, seen, embed = untrained(teacher, slices), [], PromptedSam.embed

    def counted(sam: PromptedSam, images: Tensor) -> Tensor:
        seen.extend([len(images)] * (sam.width == 32))
        return embed(sam, images)

    monkeypatch.setattr(PromptedSam, "embed", counted)
    assert sum(learning.embed()) == sum(seen) == len(slices.learnt) + len(slices.held_out)
    for _ in learning.learn(Budget(steps=2)):
        pass
    learning.agreement()
    assert sum(seen) == len(slices.learnt) + len(slices.held_out)


def test_teacher_and_student_answer_on_the_same_plane(teacher: Mapping[str, Tensor], slices: ImageSlices) -> None:
    images = slices.images([0, 1])
    prompts = clicked(PromptSource(torch.Generator().manual_seed(0), CPU), images[:, :1])
    for name, weights in (("vit_b", teacher), ("compact", untrained_sam().state_dict())):
        sam = PromptedSam.loaded(name, weights, slices.plane)
        embedding = sam.embed(images)
        assert embedding.shape == (2, sam.width, 8, 8)
        assert sam.masks(embedding, prompts)[0].shape == (2, 1, 32, 32)


def test_weights_of_another_variant_are_refused(teacher: Mapping[str, Tensor], slices: ImageSlices) -> None:
    with pytest.raises(CheckpointError, match="Choose the SAM variant that these weights belong to"):
        Distillation("compact", teacher, slices, device=CPU, start=untrained_sam().state_dict())


def test_the_loss_is_least_where_both_masks_agree_however_unsure() -> None:
    target = torch.rand(3, 1, 8, 8)
    least = answer_loss(target.logit(), target)
    for change in (-0.5, 0.5):
        assert answer_loss(target.logit() + change, target) > least
    entropy = -(target * target.log() + (1 - target) * (1 - target).log()).mean()
    torch.testing.assert_close(least, entropy)


def test_a_student_comes_nearer_to_a_sam2(
    small: None, slices: ImageSlices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distillation, "_BATCH_SLICES", 4)
    monkeypatch.setattr(distillation, "_LEARNING_RATE", 1e-2)
    variant, weights = read_folder(save_silently(tiny_sam2(), tmp_path))
    learning = Distillation(variant, weights, slices, device=CPU, start=untrained_sam().state_dict())
    before = learning.agreement()
    losses = [step.loss for step in learning.learn(Budget(steps=40))]
    assert learning.agreement().embedding_error < 0.9 * before.embedding_error
    assert mean(losses[-5:]) < 0.8 * mean(losses[:5])
