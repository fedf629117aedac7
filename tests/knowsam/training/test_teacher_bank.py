from __future__ import annotations

import pytest
import torch
from torch import Tensor

from knowsam.training.teacher_bank import TeacherBank

BLANK = torch.zeros(2, 4, 6)


def logits(*values: float) -> Tensor:
    return torch.stack([torch.full_like(BLANK, value) for value in values])


@pytest.fixture
def bank() -> TeacherBank:
    """A bank that saw slices 3 and 7 in its first step and slice 5 in its second."""
    bank = TeacherBank()
    for rows in ((3, 7), (5,)):
        bank.begin_step()
        bank.store(rows, logits(*rows))
        bank.end_step()
    return bank


def test_what_was_stored_is_found_and_what_was_not_is_blank_and_unknown(bank: TeacherBank) -> None:
    found, known = bank.look_up([7, 4, 3, 7], BLANK)
    assert torch.equal(found, logits(7, 0, 3, 7))
    assert known.tolist() == [1, 0, 1, 1]
    assert [row in bank for row in (3, 4)] == [True, False]


def test_what_is_stored_in_a_step_is_found_in_the_same_step(bank: TeacherBank) -> None:
    bank.begin_step()
    bank.store([3, 4], logits(30, 40))
    found, known = bank.look_up([3, 4], BLANK)
    assert torch.equal(found, logits(30, 40))
    assert known.all()


def test_a_step_that_is_broken_off_leaves_nothing_behind(bank: TeacherBank) -> None:
    bank.begin_step()
    bank.store([3, 4], logits(30, 40))
    bank.begin_step()
    found, known = bank.look_up([3, 4], BLANK)
    assert torch.equal(found, logits(3, 0))
    assert known.tolist() == [1, 0]


def test_slices_never_seen_come_first_and_then_those_seen_longest_ago(bank: TeacherBank) -> None:
    assert bank.due([5, 3, 4, 7, 6], 10, after=1) == [4, 6, 3, 7, 5]
    assert bank.due([5, 3, 4, 7, 6], 3, after=1) == [4, 6, 3]


def test_a_slice_seen_lately_is_not_due(bank: TeacherBank) -> None:
    assert bank.due([3, 5, 7], 10, after=2) == [3, 7]
    assert bank.due([3, 5, 7], 10, after=3) == []


def test_a_cleared_bank_knows_nothing(bank: TeacherBank) -> None:
    bank.clear()
    assert not bank.look_up([3, 5, 7], BLANK)[1].any()
    assert bank.due([3, 5], 10, after=100) == [3, 5]


def test_logits_are_kept_without_gradient_in_half_the_memory() -> None:
    bank = TeacherBank()
    made = logits(1.0).requires_grad_()
    bank.store([0], made)
    bank.end_step()
    assert bank._entries[0].logits.dtype == torch.bfloat16
    found, _ = bank.look_up([0], BLANK)
    assert found.dtype == torch.float32
    assert not found.requires_grad
