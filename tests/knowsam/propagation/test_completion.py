from __future__ import annotations

import numpy as np
import pytest

from knowsam.data.annotation import IGNORE, LabelArray
from knowsam.propagation.completion import completed

SIZE = 24
IMAGE = np.zeros((SIZE, SIZE), np.float32)
IMAGE[6:18, 4:12] = 0.5
IMAGE[6:18, 12:20] = 1.0
TISSUE: LabelArray = (2 * IMAGE).astype(np.uint8)


def scribbled(*strokes: tuple[int, int, int]) -> LabelArray:
    """Three pixels of each class, from a row and a column on."""
    scribbles = np.full((SIZE, SIZE), IGNORE, np.uint8)
    for value, row, column in strokes:
        scribbles[row, column : column + 3] = value
    return scribbles


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.1])
def test_scribbles_fill_what_looks_alike_and_hangs_together(noise: float) -> None:
    image = IMAGE + noise * np.random.default_rng(0).normal(size=IMAGE.shape)
    found = completed(scribbled((0, 1, 2), (0, 21, 12), (1, 12, 6), (2, 9, 14)), image)
    assert found.dtype == np.uint8
    assert (found != TISSUE).mean() < 0.01


def test_beside_the_body_next_to_nothing_is_no_noise() -> None:
    rng = np.random.default_rng(0)
    image = IMAGE + np.where(TISSUE > 0, 0.1, 1e-6) * rng.normal(size=IMAGE.shape)
    found = completed(scribbled((0, 1, 2), (0, 21, 12), (1, 12, 6), (2, 9, 14)), image)
    assert (found != TISSUE).mean() < 0.01


def test_an_image_without_any_edge_is_divided_halfway() -> None:
    found = completed(scribbled((0, 1, 2), (1, 22, 2)), np.zeros_like(IMAGE))
    assert set(np.unique(found)) == {0, 1}
    assert (found[:11, 3] == 0).all()
    assert (found[13:, 3] == 1).all()


def test_scribbles_themselves_stay_and_classes_that_nobody_scribbled_are_not_found() -> None:
    scribbles = scribbled((0, 1, 2), (2, 12, 6))
    found = completed(scribbles, IMAGE)
    assert set(np.unique(found)) == {0, 2}
    assert (found == scribbles)[scribbles != IGNORE].all()
