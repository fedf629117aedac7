"""A volume with known answers, and classes to paint in it."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from nibabel.affines import from_matvec

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass
from knowsam.data.volume import Grid, Volume


def pytest_collection_finish() -> None:
    """Keep the garbage collector from looking through all that was imported, again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _same_chance() -> None:
    """Draw the same weights in every run, so that a test fails always or never."""
    torch.manual_seed(0)


@pytest.fixture
def tiny() -> Volume:
    """(6, 8, 10) voxels of 4 x 2 x 1.5 mm that count from 0; its file grows to the right, anterior and superior."""
    grid = Grid((10, 8, 6), from_matvec(np.diag([1.5, 2.0, 4.0]), [-7.0, 5.0, 30.0]))
    return Volume(np.arange(480, dtype=np.int16).reshape(6, 8, 10), grid, "tiny")


@pytest.fixture
def classes() -> tuple[LabelClass, ...]:
    """Background, and two classes whose values are not their indices."""
    return BACKGROUND_CLASS, LabelClass(2, "liver", (230, 75, 53)), LabelClass(5, "spleen", (77, 187, 213))
