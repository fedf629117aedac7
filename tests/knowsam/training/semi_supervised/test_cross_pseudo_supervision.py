from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from pixel_students import log_odds, method_of, same_everywhere, seen_by

if TYPE_CHECKING:
    from knowsam.training.semi_supervised.method import SemiSupervisedMethod

IMAGES, LABELS = torch.rand(3, 3, 8, 8), torch.zeros(1, 8, 8, dtype=torch.uint8)


@pytest.fixture
def method() -> SemiSupervisedMethod:
    return method_of("cps", same_everywhere(0, 0, 0, 0))


def test_each_student_is_taught_the_most_probable_class_of_the_other_one(method: SemiSupervisedMethod) -> None:
    students = same_everywhere(*log_odds(0.9), *log_odds(0.3))
    loss = method(seen_by(students, IMAGES, LABELS)).consistency
    assert loss is not None
    # The VNet says the first class, of which the UNet gives 0.1, and the UNet the second, of which the VNet gives 0.3.
    assert loss.item() == pytest.approx(-(math.log(0.1) + math.log(0.3)) / 2, rel=1e-5)


def test_students_that_are_sure_of_the_same_teach_each_other_nothing(method: SemiSupervisedMethod) -> None:
    loss = method(seen_by(same_everywhere(0, 30, 0, 40), IMAGES, LABELS)).consistency
    assert loss is not None
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_annotated_slices_count_as_others_do(method: SemiSupervisedMethod) -> None:
    students = same_everywhere(*log_odds(0.9), *log_odds(0.3))
    every = torch.zeros(3, 8, 8, dtype=torch.uint8)
    first, second = (method(seen_by(students, IMAGES, labels)).consistency for labels in (LABELS, every))
    assert first is not None
    assert second is not None
    torch.testing.assert_close(first, second)
