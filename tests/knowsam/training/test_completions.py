from __future__ import annotations

import numpy as np
import pytest
import torch

from knowsam.data.annotation import IGNORE, LabelSlice
from knowsam.data.window import Window
from knowsam.training import completions
from knowsam.training.completions import Completions

PLANES = torch.from_numpy(np.pad(np.ones((16, 16), np.float32), 8)).expand(9, -1, -1)
INNER = Window((8, 8), (24, 24), (32, 32))
WHOLE = Window((0, 0), (32, 32), (32, 32))


def scribbled(background: int, structure: int, index: int = 3) -> LabelSlice:
    """A row of each."""
    labels = np.full((32, 32), IGNORE, np.uint8)
    labels[background], labels[structure] = 0, 1
    return LabelSlice(0, index, labels)


@pytest.mark.parametrize(("background", "structure"), [(2, 16), (16, 2), (2, 4)])
def test_scribbles_of_which_the_window_shows_too_little_are_left_alone(background: int, structure: int) -> None:
    for window, indices in ((INNER, set()), (WHOLE, {3})):
        held = Completions(PLANES, window, 16.0)
        held.take(scribbled(background, structure), 2)
        assert set(held.beside({})) == indices


def test_a_slice_is_completed_once_until_it_is_annotated_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    complete = completions.completed
    monkeypatch.setattr(completions, "completed", lambda *given: asked.append(1) or complete(*given))
    held, scribbles = Completions(PLANES, WHOLE, 16.0), scribbled(2, 16)
    for _ in range(2):
        held.take(scribbles, 2)
        held.clear()
    held.take(scribbles, 3)
    assert len(held.beside({})[3].present) == 3
    assert len(asked) == 1
    held.take(scribbled(2, 17), 3)
    assert len(asked) == 2
    held.take(LabelSlice(0, 3, np.zeros((32, 32), np.uint8)), 3)
    assert held.beside({}) == {}


def test_a_class_that_two_slices_forget_between_others_that_hold_it_is_absent_in_neither() -> None:
    held = Completions(PLANES, WHOLE, 16.0)
    for index, values in ((1, (0, 1, 2)), (3, (0, 1)), (4, (0, 1)), (6, (0, 1, 2)), (8, (0, 1))):
        labels = np.full((32, 32), IGNORE, np.uint8)
        for value in values:
            labels[4 + 8 * value] = value
        held.take(LabelSlice(0, index, labels), 3)
    assert set(held.beside({})) == {1, 6, 8}
