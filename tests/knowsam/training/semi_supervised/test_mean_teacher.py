from __future__ import annotations

import pytest
import torch
from pixel_students import PixelStudents, log_odds, method_of, same_everywhere, seen_by

LABELS = torch.zeros(1, 8, 8, dtype=torch.uint8)


def test_the_loss_is_the_mean_squared_difference_of_the_probabilities() -> None:
    students = same_everywhere(*log_odds(0.9), *log_odds(0.5))
    teacher = same_everywhere(*log_odds(0.6), *log_odds(0.4))
    loss = method_of("mean_teacher", teacher)(seen_by(students, torch.rand(3, 3, 8, 8), LABELS)).consistency
    assert loss is not None
    assert loss.item() == pytest.approx((0.3**2 + 0.1**2) / 2, rel=1e-4)


def test_where_student_and_teacher_agree_the_loss_is_zero() -> None:
    students = same_everywhere(*log_odds(0.9), *log_odds(0.2))
    terms = method_of("mean_teacher", students)(seen_by(students, torch.rand(3, 3, 8, 8), LABELS))
    assert terms.consistency == 0
    assert terms.entropy is None


def test_noise_alone_makes_students_that_look_at_the_image_disagree_with_themselves() -> None:
    students = PixelStudents(2)
    loss = method_of("mean_teacher", students)(seen_by(students, torch.rand(3, 3, 8, 8), LABELS)).consistency
    assert loss is not None
    assert loss > 0
