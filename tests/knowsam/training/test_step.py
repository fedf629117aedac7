"""One step as the method figure has it: which terms there are, what they weigh, and whom each of them teaches."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from pixel_students import PixelStudents, method_of
from torch import Tensor, nn

from knowsam.config import Config
from knowsam.data.annotation import IGNORE
from knowsam.models.sam_teacher import SamTeacher
from knowsam.models.students import Students
from knowsam.training.batch import Batch
from knowsam.training.losses import (
    consistency_loss,
    consistency_weight,
    distillation_loss,
    entropy_loss,
    supervised_loss,
)
from knowsam.training.mixing import mix
from knowsam.training.step import StepLosses, step_losses, uses_unlabelled
from knowsam.training.teaching import EveryImageTeaching, Taught

TERMS = [term.name for term in fields(StepLosses)]
CONFIG = Config().with_values(grid=2, cells=1, distillation=True, mixing=True)
LATE = 0.9
MC, RANDOM = method_of("mc", nn.Identity()), np.random.default_rng(0)


class PixelTeacher(nn.Module):
    """A teacher that sees one pixel of image and mask prompt, without stopping any gradient itself."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(3 + classes, classes, kernel_size=1)

    def forward(self, x: Tensor, fused_logits: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.cat([x, fused_logits], dim=1))
        return logits


@pytest.fixture(params=[2, 4], ids=["two classes", "four classes"])
def classes(request: pytest.FixtureRequest) -> int:
    count: int = request.param
    return count


@pytest.fixture
def batch(classes: int) -> Batch:
    """Two labelled slices with some unlabelled pixels, and three unlabelled ones."""
    labels = torch.randint(classes, (2, 32, 32)).to(torch.uint8)
    labels[:, :4] = IGNORE
    return Batch(torch.rand(2, 3, 32, 32), labels, torch.rand(3, 3, 32, 32))


@pytest.fixture
def students(classes: int) -> PixelStudents:
    return PixelStudents(classes)


@pytest.fixture
def teacher(classes: int) -> PixelTeacher:
    return PixelTeacher(classes)


def terms_of(
    students: nn.Module, teacher: nn.Module | None, batch: Batch, progress: float = LATE, **values: Any
) -> dict[str, Tensor]:
    """Return the weighted terms by name."""
    config = CONFIG.with_values(**values)
    teaching = None if teacher is None else EveryImageTeaching(teacher)
    terms = step_losses(students, teaching, MC, batch, progress, config, torch.float32, random=RANDOM)
    return dict(zip(TERMS, terms, strict=True))


def learners_from(loss: Tensor, students: PixelStudents, teacher: PixelTeacher) -> set[str]:
    """Return who gets a gradient from a loss."""
    parts = {"unet": students.unet, "vnet": students.vnet, "fused": students.fused, "teacher": teacher.head}
    gradients = torch.autograd.grad(loss, [part.weight for part in parts.values()], allow_unused=True)
    return {name for name, gradient in zip(parts, gradients, strict=True) if gradient is not None and gradient.any()}


@pytest.mark.parametrize(
    ("term", "learners"),
    [
        ("supervised", {"unet", "vnet", "fused"}),
        ("consistency", {"unet", "vnet"}),
        ("entropy", {"unet", "vnet"}),
        ("distillation", {"unet", "vnet"}),
        ("mixing", {"unet", "vnet", "fused"}),
        ("teacher", {"teacher"}),
    ],
)
def test_each_term_teaches_only_those_it_should(
    students: PixelStudents, teacher: PixelTeacher, batch: Batch, term: str, learners: set[str]
) -> None:
    assert learners_from(terms_of(students, teacher, batch)[term], students, teacher) == learners


def test_all_terms_but_mixing_are_those_of_the_method(
    students: PixelStudents, teacher: PixelTeacher, batch: Batch
) -> None:
    z = students(torch.cat([batch.labelled, batch.unlabelled]))
    z_sam = teacher(torch.cat([batch.labelled, batch.unlabelled]), z.fused)
    p, q = z.unet.softmax(1), z.vnet.softmax(1)
    ramp = consistency_weight(LATE, peak=2.0, steepness=5.0)
    sup_u, sup_v, sup_f = (supervised_loss(logits[:2], batch.labels) for logits in z)
    expected = {
        "supervised": (sup_u + sup_v) / 2 + sup_f,
        "consistency": ramp * (consistency_loss(z.unet, q) + consistency_loss(z.vnet, p)) / 2,
        "entropy": 0.7 * (entropy_loss(p) + entropy_loss(q)) / 2,
        "distillation": 3.0 * (distillation_loss(z.unet, z_sam, 4.0) + distillation_loss(z.vnet, z_sam, 4.0)) / 2,
        "teacher": supervised_loss(z_sam[:2], batch.labels),
    }
    weights = {"consistency_peak": 2.0, "entropy_weight": 0.7, "distillation_weight": 3.0, "temperature": 4.0}
    found = terms_of(students, teacher, batch, **weights)
    for term, value in expected.items():
        assert found[term].item() == pytest.approx(value.item(), rel=1e-5), term


def test_the_mixed_phase_is_that_of_the_method(students: PixelStudents, teacher: PixelTeacher, batch: Batch) -> None:
    images = torch.cat([batch.labelled, batch.unlabelled])
    p_fused = students(images).fused.softmax(1)
    pseudo = teacher(images, students(images).fused)[2:].argmax(1)
    mixed = mix(*batch[:3], p_fused[:2], p_fused[2:], pseudo, grid=2, cells=1)
    labels = torch.cat([mixed.labels_into_labelled, mixed.labels_into_unlabelled])
    z = students(torch.cat([mixed.into_labelled, mixed.into_unlabelled]))
    sup_u, sup_v, sup_f = (supervised_loss(logits, labels) for logits in z)
    p, q = z.unet.softmax(1), z.vnet.softmax(1)
    by_fusion = z.fused[3:].argmax(1)
    student_terms = (
        sup_u
        + sup_v
        + 0.9 * (entropy_loss(p) + entropy_loss(q))
        + consistency_weight(LATE, peak=1.0, steepness=5.0)
        * (
            consistency_loss(z.unet, q)
            + consistency_loss(z.vnet, p)
            + supervised_loss(z.unet[3:], by_fusion)
            + supervised_loss(z.vnet[3:], by_fusion)
        )
    )
    torch.testing.assert_close(terms_of(students, teacher, batch)["mixing"], student_terms / 2 + sup_f)


@pytest.mark.parametrize("progress", [0.0, 0.23, 0.24, 1.0])
def test_mixing_begins_at_its_share_of_the_training(
    students: PixelStudents, teacher: PixelTeacher, batch: Batch, progress: float
) -> None:
    mixing = terms_of(students, teacher, batch, progress)["mixing"]
    assert (mixing > 0) == (progress >= 0.24)


def test_unlabelled_pixels_of_the_labelled_slices_do_not_enter_supervision(
    students: PixelStudents, teacher: PixelTeacher, batch: Batch
) -> None:
    before = terms_of(students, teacher, batch)
    batch.labelled[:, :, :4] = torch.rand(2, 3, 4, 32)
    after = terms_of(students, teacher, batch)
    for term in ("supervised", "teacher"):
        torch.testing.assert_close(after[term], before[term])
    assert after["entropy"] != before["entropy"]


def test_unlabelled_slices_do_not_enter_supervision(
    students: PixelStudents, teacher: PixelTeacher, batch: Batch
) -> None:
    without = terms_of(students, teacher, batch._replace(unlabelled=batch.unlabelled[:0]))
    with_them = terms_of(students, teacher, batch)
    for term in ("supervised", "teacher"):
        torch.testing.assert_close(with_them[term], without[term])
    assert without["mixing"] == 0


@pytest.mark.parametrize(("every", "mixed"), [(1, [0, 1, 2, 3, 4]), (2, [0, 2, 4]), (3, [0, 3])])
def test_mixing_can_be_left_out_of_some_steps(
    students: PixelStudents, batch: Batch, every: int, mixed: list[int]
) -> None:
    config = CONFIG.with_values(mix_every=every)
    terms = [
        step_losses(students, None, MC, batch, LATE, config, torch.float32, random=RANDOM, number=number)
        for number in range(5)
    ]
    assert [number for number in range(5) if terms[number][TERMS.index("mixing")] > 0] == mixed


class SomeTeaching(EveryImageTeaching):
    """Knows some slices of a batch only, and what it says of the others is nonsense."""

    def __init__(self, teacher: PixelTeacher, known: list[float]) -> None:
        super().__init__(teacher)
        self.known = torch.tensor(known)

    def __call__(self, batch: Batch, fused: Tensor) -> Taught:
        taught = super().__call__(batch, fused)
        nonsense = torch.where(self.known.view(-1, 1, 1, 1) > 0, taught.logits, -100 * fused)
        return taught._replace(logits=nonsense, known=self.known)


def test_of_slices_the_teacher_has_not_seen_it_distils_nothing_and_the_fused_prediction_labels_the_mix(
    students: PixelStudents, teacher: PixelTeacher, batch: Batch
) -> None:
    def terms(teaching: EveryImageTeaching | None) -> Tensor:
        return step_losses(students, teaching, MC, batch, LATE, CONFIG, torch.float32, random=RANDOM)

    distillation, mixing = TERMS.index("distillation"), TERMS.index("mixing")
    nobody, alone, everybody = terms(SomeTeaching(teacher, [0] * 5)), terms(None), terms(EveryImageTeaching(teacher))
    assert nobody[distillation] == 0
    torch.testing.assert_close(nobody[mixing], alone[mixing])
    annotated = terms(SomeTeaching(teacher, [1, 1, 0, 0, 0]))
    torch.testing.assert_close(annotated[mixing], alone[mixing])
    assert annotated[distillation] > 0
    unlabelled = terms(SomeTeaching(teacher, [0, 0, 1, 1, 1]))
    torch.testing.assert_close(unlabelled[mixing], everybody[mixing])
    torch.testing.assert_close(
        2 / 5 * annotated[distillation] + 3 / 5 * unlabelled[distillation], everybody[distillation]
    )


def test_without_a_teacher_nothing_is_distilled_and_the_fused_prediction_labels_the_mix(
    students: PixelStudents, teacher: PixelTeacher, batch: Batch
) -> None:
    alone, taught = terms_of(students, None, batch), terms_of(students, teacher, batch)
    assert alone["distillation"] == alone["teacher"] == 0
    assert alone["mixing"] > 0
    for term in ("supervised", "consistency", "entropy"):
        torch.testing.assert_close(alone[term], taught[term])


@pytest.mark.usefixtures("small_sam")
def test_in_a_whole_step_every_part_of_the_students_learns_and_the_teacher_by_its_own_loss_alone(
    tiny_config: Config, batch: Batch, classes: int
) -> None:
    students = Students(classes, config=tiny_config.students).train()
    teacher = SamTeacher(classes, (32, 32), tiny_config.teacher).train()
    terms = step_losses(
        students, EveryImageTeaching(teacher), MC, batch, LATE, tiny_config, torch.float32, random=RANDOM
    )
    own = torch.autograd.grad(
        terms[TERMS.index("teacher")], teacher.trainable_parameters(), retain_graph=True, allow_unused=True
    )
    terms.sum().backward()
    assert [name for name, p in students.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert any(gradient is not None and gradient.any() for gradient in own)
    for parameter, gradient in zip(teacher.trainable_parameters(), own, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_losses_in_bfloat16_arithmetic_are_float32_and_close(
    students: PixelStudents, teacher: PixelTeacher, batch: Batch
) -> None:
    exact, reduced = (
        step_losses(students, EveryImageTeaching(teacher), MC, batch, 0.1, CONFIG, dtype, random=RANDOM)
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert reduced.dtype == torch.float32
    torch.testing.assert_close(reduced, exact, rtol=0.05, atol=0.01)


@pytest.mark.parametrize(
    "part", [{"semi_supervised": "cps"}, {"distillation": True}, {"mixing": True}, {"shape_prior": True}]
)
def test_any_single_part_beyond_supervision_looks_at_unlabelled_slices(part: dict[str, Any]) -> None:
    nothing = CONFIG.with_values(semi_supervised="none", distillation=False, mixing=False, shape_prior=False)
    assert not uses_unlabelled(nothing)
    assert uses_unlabelled(nothing.with_values(**part))


def test_the_total_is_the_sum_of_all_terms() -> None:
    assert StepLosses(1, 2, 4, 8, 16, 32, 64).total == 127
