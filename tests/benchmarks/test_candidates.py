"""Which pairs of masks are asked about, in which order, and what follows from an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from candidates import SHOWN, Answer, answers

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelArray


def mask(*labels: int) -> LabelArray:
    return np.array([labels], np.uint8)


MASKS = {
    SHOWN: np.stack([mask(0, 0, 0), mask(0, 0, 0)]),
    "two wrong": np.stack([mask(1, 1, 0), mask(0, 1, 1)]),
    "one wrong": np.stack([mask(1, 0, 0), mask(0, 0, 0)]),
}
SLICES, PAINTED = [5, 7], [4, 10]
"""The second slice lies three slices from a painted one, the first one only one."""


def described(given: list[Answer]) -> list[tuple[int, list[int], list[int]]]:
    return [(one.slice_index, one.chosen[0].tolist(), one.rejected[0].tolist()) for one in given]


def test_pairs_with_much_in_dispute_far_from_painted_slices_come_first() -> None:
    given = list(answers(MASKS, SLICES, PAINTED, lambda *_: False))
    assert described(given) == [
        (7, [0, 0, 0], [0, 1, 1]),
        (5, [0, 0, 0], [1, 1, 0]),
        (5, [0, 0, 0], [1, 0, 0]),
    ]


def test_the_mask_that_won_stands_against_the_next_one() -> None:
    given = list(answers(MASKS, SLICES, PAINTED, lambda index, _, other: bool(other.any()) and index == 5))
    assert described(given)[1:] == [(5, [1, 1, 0], [0, 0, 0]), (5, [1, 0, 0], [1, 1, 0])]


@pytest.mark.parametrize("name", ["two wrong", "one wrong"])
def test_masks_that_are_the_same_are_no_question(name: str) -> None:
    same = {SHOWN: MASKS[name], "the same": MASKS[name].copy()}
    assert not list(answers(same, SLICES, PAINTED, lambda *_: True))
