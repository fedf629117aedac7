from __future__ import annotations

import math

import pytest
import torch
from pixel_students import PixelStudents, log_odds, method_of, same_everywhere, seen_by
from torch import Tensor

from knowsam.models.students import StudentLogits
from knowsam.training.semi_supervised.uncertainty_aware import PASSES, certain_below, masked_difference

LABELS = torch.zeros(1, 8, 8, dtype=torch.uint8)


@pytest.mark.parametrize("classes", [2, 4])
def test_at_first_what_has_three_quarters_of_the_largest_entropy_is_uncertain_and_at_last_nothing(classes: int) -> None:
    assert certain_below(0.0, classes) == pytest.approx((0.75 + 0.25 * math.exp(-5)) * math.log(classes))
    assert certain_below(1.0, classes) == pytest.approx(math.log(classes))
    assert certain_below(0.3, classes) < certain_below(0.6, classes)


def test_the_mean_is_over_certain_pixels_only() -> None:
    student = torch.tensor([0.9, 0.8, 0.1]).logit().view(1, 1, 1, 3)
    teacher = torch.tensor([0.5, 0.6, 0.1]).logit().view(1, 1, 1, 3)
    logits = [torch.cat([torch.zeros_like(one), one], dim=1) for one in (student, teacher)]
    certain = torch.tensor([[[True, False, True]]])
    assert masked_difference(*logits, certain).item() == pytest.approx(0.4**2 / 2, rel=1e-5)
    assert masked_difference(*logits, certain & False) == 0


def test_a_teacher_that_is_unsure_teaches_nothing_until_the_end() -> None:
    students = same_everywhere(*log_odds(0.9), *log_odds(0.9))
    teacher = same_everywhere(*log_odds(0.6), *log_odds(0.05))
    early, late = (
        method_of("ua_mt", teacher)(seen_by(students, torch.rand(3, 3, 8, 8), LABELS, progress=progress)).consistency
        for progress in (0.0, 1.0)
    )
    assert early is not None
    assert late is not None
    assert early.item() == pytest.approx(0.85**2 / 2, rel=1e-4)
    assert late.item() == pytest.approx((0.3**2 + 0.85**2) / 2, rel=1e-4)


class Flickering(PixelStudents):
    """Students that are sure each time, but of the other class in every second pass."""

    def __init__(self) -> None:
        super().__init__(2)
        self.passes = 0

    def forward(self, x: Tensor) -> StudentLogits:
        self.passes += 1
        sign = 1 - 2 * (self.passes % 2)
        logits = torch.tensor([0.0, 9.0 * sign]).view(1, 2, 1, 1).expand(len(x), -1, *x.shape[-2:])
        return StudentLogits(logits, logits, logits)


def test_uncertainty_is_that_of_the_mean_of_all_passes() -> None:
    students, teacher = same_everywhere(*log_odds(0.5), *log_odds(0.5)), Flickering()
    terms = method_of("ua_mt", teacher)(seen_by(students, torch.rand(3, 3, 8, 8), LABELS))
    assert teacher.passes == PASSES + 1
    assert terms.consistency == 0
