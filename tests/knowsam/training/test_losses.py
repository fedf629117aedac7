"""Every loss against numbers worked out by hand, and every stop-gradient stopped."""

from __future__ import annotations

import math
from collections.abc import Callable
from math import exp, log
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from knowsam.data.annotation import IGNORE
from knowsam.training.losses import (
    consistency_loss,
    consistency_weight,
    cross_entropy_loss,
    dice_loss,
    distillation_loss,
    entropy_loss,
    pseudo_label_loss,
    supervised_loss,
)

SupervisedTerm = Callable[[Tensor, Tensor], Tensor]
SUPERVISED_TERMS = [cross_entropy_loss, dice_loss, supervised_loss]


def pixels(*values: list[float]) -> Tensor:
    """Return maps (1, C, 1, N) from one list of C values for each pixel."""
    return torch.tensor(values).T.view(1, -1, 1, len(values))


def labels_of(*labels: int) -> Tensor:
    return torch.tensor(labels, dtype=torch.uint8).view(1, 1, -1)


QUARTER = [0.0, log(3)]
"""Logits of the probabilities 1/4 and 3/4."""


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_cross_entropy_is_the_mean_over_annotated_pixels() -> None:
    logits, labels = pixels(QUARTER, QUARTER, QUARTER), labels_of(1, 0, IGNORE)
    assert cross_entropy_loss(logits, labels).item() == pytest.approx((-log(0.75) - log(0.25)) / 2)


def test_cross_entropy_of_four_equal_classes() -> None:
    logits, labels = pixels([0.0] * 4, [0.0] * 4), labels_of(3, 1)
    assert cross_entropy_loss(logits, labels).item() == pytest.approx(log(4))


def test_dice_has_a_squared_denominator_and_counts_annotated_pixels_only() -> None:
    """Class 1: overlap 3/4, size 9/16 + 9/16 + 1. Class 0: overlap 1/4, size 1/16 + 1/16 + 1."""
    logits, labels = pixels(QUARTER, QUARTER, QUARTER), labels_of(1, 0, IGNORE)
    expected = ((1 - 1.5 / 2.125) + (1 - 0.5 / 1.125)) / 2
    assert dice_loss(logits, labels).item() == pytest.approx(expected, abs=1e-4)


def test_dice_of_four_equal_classes() -> None:
    """Each class: overlap 1/4, size 4/16 + 1."""
    logits, labels = pixels(*[[0.0] * 4] * 4), labels_of(0, 1, 2, 3)
    assert dice_loss(logits, labels).item() == pytest.approx(1 - 0.5 / 1.25, abs=1e-4)


def test_dice_is_taken_over_the_batch_and_not_image_by_image() -> None:
    logits, labels = pixels(QUARTER, [0.0, 0.0]), labels_of(1, 0)
    as_batch = dice_loss(logits.transpose(0, 3), labels.transpose(0, 2))
    torch.testing.assert_close(as_batch, dice_loss(logits, labels))


@pytest.mark.parametrize("classes", [2, 4])
def test_supervision_is_cross_entropy_plus_dice(classes: int, generator: torch.Generator) -> None:
    logits = torch.randn(2, classes, 5, 7, generator=generator)
    labels = torch.randint(classes, (2, 5, 7), generator=generator).to(torch.uint8)
    expected = cross_entropy_loss(logits, labels) + dice_loss(logits, labels)
    torch.testing.assert_close(supervised_loss(logits, labels), expected)


@pytest.mark.parametrize("classes", [2, 4])
def test_a_perfect_prediction_costs_nothing(classes: int, generator: torch.Generator) -> None:
    labels = torch.randint(classes, (2, 5, 7), generator=generator).to(torch.uint8)
    logits = 50 * torch.nn.functional.one_hot(labels.long(), classes).movedim(-1, 1).float()
    assert supervised_loss(logits, labels).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("term", SUPERVISED_TERMS)
@pytest.mark.parametrize("classes", [2, 4])
def test_ignored_pixels_have_no_influence_and_get_no_gradient(
    term: SupervisedTerm, classes: int, generator: torch.Generator
) -> None:
    logits = torch.randn(2, classes, 6, 6, generator=generator, requires_grad=True)
    labels = torch.randint(classes, (2, 6, 6), generator=generator).to(torch.uint8)
    ignored = torch.rand((2, 6, 6), generator=generator) < 0.5
    labels[ignored] = IGNORE
    loss = term(logits, labels)
    loss.backward()

    other = logits.detach() + 7 * torch.randn(logits.shape, generator=generator) * ignored.unsqueeze(1)
    torch.testing.assert_close(term(other, labels), loss.detach())
    assert logits.grad is not None
    by_pixel = logits.grad.abs().sum(1)
    assert (by_pixel[ignored] == 0).all()
    assert (by_pixel[~ignored] > 0).all()


@pytest.mark.parametrize("term", SUPERVISED_TERMS)
def test_without_an_annotated_pixel_the_loss_is_zero_and_so_is_its_gradient(term: SupervisedTerm) -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = term(logits, torch.full((1, 4, 4), IGNORE, dtype=torch.uint8))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        (pixels([0.5, 0.5]), 1.0),
        (pixels([0.25] * 4), 1.0),
        (pixels([1.0, 0.0, 0.0, 0.0]), 0.0),
        (pixels([0.5, 0.5, 0.0, 0.0], [0.25] * 4), 0.75),
        (pixels([0.25, 0.75]), (0.25 * log(4) + 0.75 * log(4 / 3)) / log(2)),
    ],
)
def test_entropy_is_relative_to_its_maximum(probabilities: Tensor, expected: float) -> None:
    assert entropy_loss(probabilities).item() == pytest.approx(expected, abs=1e-6)


def test_consistency_is_the_cross_entropy_of_every_class() -> None:
    """Two classes give the same term twice, four do not."""
    two = consistency_loss(pixels([0.75, 0.25]).log(), pixels([0.5, 0.5]))
    assert two.item() == pytest.approx(-0.5 * log(0.75) - 0.5 * log(0.25))
    p, q = [0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]
    expected = sum(-b * log(a) - (1 - b) * log(1 - a) for a, b in zip(p, q, strict=True)) / 4
    assert consistency_loss(pixels(p).log(), pixels(q)).item() == pytest.approx(expected)


@pytest.mark.parametrize("gap", [1.0, 15.0, 18.0, 25.0, 60.0])
def test_the_gradient_of_consistency_stays_exact_however_certain_a_student_is(gap: float) -> None:
    logits = pixels([gap, 0.0]).requires_grad_()
    consistency_loss(logits, pixels([0.5, 0.5])).backward()
    assert logits.grad is not None
    slope = 1 / (1 + math.exp(-gap)) - 0.5
    assert logits.grad.flatten().tolist() == pytest.approx([slope, -slope], rel=1e-4)


def test_consistency_of_tied_and_of_certain_students_is_exact(generator: torch.Generator) -> None:
    z = 20 * torch.randn(2, 5, 4, 4, generator=generator)
    z[:, 1, :2] = z[:, 0, :2]
    q = torch.rand(2, 5, 4, 4, generator=generator)
    p = z.double().softmax(1)
    others = torch.stack([p[:, [d for d in range(5) if d != c]].sum(1) for c in range(5)], 1)
    expected = -(q * p.log() + (1 - q) * others.log()).mean()
    assert consistency_loss(z, q).item() == pytest.approx(expected.item(), rel=1e-5)


class LargestTensor(TorchDispatchMode):
    """Notes how many elements the largest result of any operation has."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self.elements = max(self.elements, *sizes, 0)
        return result


@pytest.mark.parametrize("classes", [2, 105])
def test_no_term_makes_anything_larger_than_the_logits_and_their_gradient(classes: int) -> None:
    logits, labels = torch.randn(2, classes, 8, 8, requires_grad=True), torch.ones(2, 8, 8, dtype=torch.uint8)
    with LargestTensor() as largest:
        p = logits.softmax(1)
        loss = supervised_loss(logits, labels) + entropy_loss(p) + distillation_loss(logits, p, 10.0)
        (loss + consistency_loss(logits, p) + pseudo_label_loss(logits, p, p[:, :1])).backward()
    assert largest.elements == logits.numel()


def test_the_target_of_consistency_gets_no_gradient() -> None:
    p, q = pixels([0.75, 0.25]).requires_grad_(), pixels([0.5, 0.5]).requires_grad_()
    consistency_loss(p, q).backward()
    assert p.grad is not None
    assert p.grad.any()
    assert q.grad is None


@pytest.mark.parametrize("classes", [2, 4])
def test_distillation_is_the_divergence_of_the_softened_classes(classes: int) -> None:
    """The teacher says 10 for class 0, the student nothing: at T = 10 the teacher's odds are e to 1."""
    teacher, student = pixels([10.0] + [0.0] * (classes - 1)), pixels([0.0] * classes)
    p = [e / (exp(1) + classes - 1) for e in [exp(1)] + [1.0] * (classes - 1)]
    expected = 100 * sum(a * log(a * classes) for a in p)
    assert distillation_loss(student, teacher, temperature=10.0).item() == pytest.approx(expected, rel=1e-5)


def test_distillation_is_a_mean_over_pixels_and_zero_where_both_agree() -> None:
    teacher, student = pixels([10.0, 0.0], [3.0, 1.0]), pixels([0.0, 0.0], [5.0, 3.0])
    one_pixel = distillation_loss(pixels([0.0, 0.0]), pixels([10.0, 0.0]), 10.0)
    assert distillation_loss(student, teacher, 10.0).item() == pytest.approx(one_pixel.item() / 2, rel=1e-5)


def test_the_teacher_gets_no_gradient_from_distillation() -> None:
    student, teacher = pixels([0.0, 0.0]).requires_grad_(), pixels([10.0, 0.0]).requires_grad_()
    distillation_loss(student, teacher, 10.0).backward()
    assert student.grad is not None
    assert student.grad.any()
    assert teacher.grad is None


@pytest.mark.parametrize(("progress", "expected"), [(0.0, exp(-5)), (0.5, exp(-1.25)), (1.0, 1.0)])
def test_the_consistency_weight_is_a_gaussian_ramp(progress: float, expected: float) -> None:
    assert consistency_weight(progress, peak=1.0, steepness=5.0) == pytest.approx(expected)
    assert consistency_weight(progress, peak=3.0, steepness=5.0) == pytest.approx(3 * expected)


def test_losses_of_half_precision_logits_are_float32() -> None:
    logits, labels = pixels(QUARTER, QUARTER).bfloat16(), labels_of(1, 0)
    p = logits.softmax(1)
    losses = [supervised_loss(logits, labels), entropy_loss(p), consistency_loss(logits, p)]
    assert {loss.dtype for loss in [*losses, distillation_loss(logits, logits, 10.0)]} == {torch.float32}


def test_slices_the_teacher_knows_nothing_of_take_no_part_in_the_distillation() -> None:
    student, teacher = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    known = torch.tensor([1.0, 0.0, 1.0])
    expected = distillation_loss(student[[0, 2]], teacher[[0, 2]], 2.0)
    torch.testing.assert_close(distillation_loss(student, teacher, 2.0, known), expected)
    all_known = distillation_loss(student, teacher, 2.0, torch.ones(3))
    torch.testing.assert_close(all_known, distillation_loss(student, teacher, 2.0))
    assert distillation_loss(student, teacher, 2.0, torch.zeros(3)) == 0
