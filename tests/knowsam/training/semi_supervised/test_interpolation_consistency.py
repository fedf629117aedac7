from __future__ import annotations

import numpy as np
import pytest
import torch
from pixel_students import PixelStudents, log_odds, method_of, same_everywhere, seen_by
from torch import Tensor

from knowsam.models.students import StudentLogits
from knowsam.training.semi_supervised.interpolation_consistency import ALPHA, between

LABELS = torch.zeros(1, 8, 8, dtype=torch.uint8)


def test_each_slice_is_mixed_with_the_next_one() -> None:
    mixed = between(torch.tensor([[0.0], [1.0], [3.0]]), 0.75)
    torch.testing.assert_close(mixed, torch.tensor([[0.25], [1.5], [2.25]]))


class Grey(PixelStudents):
    """Students for whom the probability of the second class is the grey value: what they say can be interpolated."""

    def forward(self, x: Tensor) -> StudentLogits:
        p = x[:, :1].clamp(1e-6, 1 - 1e-6)
        logits = torch.cat([(1 - p).log(), p.log()], dim=1)
        return StudentLogits(logits, logits, logits)


def test_students_that_interpolate_have_no_loss() -> None:
    students = Grey(2)
    loss = method_of("ict", students)(seen_by(students, torch.rand(3, 3, 8, 8), LABELS)).consistency
    assert loss is not None
    assert loss.item() == pytest.approx(0, abs=1e-10)


def test_the_teacher_is_interpolated_by_the_share_of_the_images() -> None:
    students = same_everywhere(*log_odds(0.5), *log_odds(0.5))
    images = torch.zeros(3, 3, 8, 8)
    images[1] = 1.0
    share = np.random.default_rng(0).beta(ALPHA, ALPHA)
    loss = method_of("ict", Grey(2))(seen_by(students, images, LABELS)).consistency
    assert loss is not None
    # Two unlabelled slices, all one and all zero: the teacher says `share` of one of them and the rest of the other.
    assert loss.item() == pytest.approx((share - 0.5) ** 2, rel=1e-3)
    assert 0 < share < 1
