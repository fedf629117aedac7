"""A small world with known answers: a bright ball 16 mm wide, two of its slices painted, and tiny networks."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from nibabel.affines import from_matvec

from knowsam.config import AugmentConfig, Config
from knowsam.data.annotation import Annotation, LabelArray
from knowsam.data.case import Case
from knowsam.data.volume import Grid, Volume
from knowsam.models import sam_teacher
from knowsam.models.sam import VARIANTS, SamVariant

SHAPE = (12, 32, 32)
SPACING_MM = (2.0, 1.0, 1.0)
RADIUS_MM = 8.0


@pytest.fixture
def ball_labels() -> LabelArray:
    """(12, 32, 32): 1 in the ball, which lies in slices 2 to 9 and rows and columns 8 to 23; else 0."""
    z, y, x = ((np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(SHAPE, SPACING_MM, strict=True))
    distance_mm = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
    return np.where(distance_mm < RADIUS_MM, np.uint8(1), np.uint8(0))


@pytest.fixture
def ball(ball_labels: LabelArray) -> Volume:
    """The ball at 300 on a ground of 100, with noise of 10; its file has the axis order of the working array."""
    noise = np.random.default_rng(0).normal(scale=10.0, size=SHAPE)
    to_inferior_posterior_left = np.array([[0.0, 0.0, -1.0], [0.0, -1.0, 0.0], [-2.0, 0.0, 0.0]])
    grid = Grid(SHAPE, from_matvec(to_inferior_posterior_left))
    return Volume((100 + 200 * ball_labels + noise).astype(np.float32), grid, "ball")


@pytest.fixture
def case(ball: Volume, ball_labels: LabelArray) -> Case:
    """The ball, painted in slices 4 and 7; its window is the whole slice, pixel for pixel."""
    return Case(ball, Annotation.from_labels(ball_labels, axis=0, indices=[4, 7]))


@pytest.fixture(scope="session")
def tiny_config() -> Config:
    """All parts of the method, in the smallest networks and in float32."""
    return Config().with_values(
        width=4, max_side_px=32, precision="float32", variant="compact", distillation=True, mixing=True
    )


@pytest.fixture(scope="session")
def still_config(tiny_config: Config) -> Config:
    """The same without augmentation: a batch shows the slices as they are."""
    return replace(tiny_config, augment=AugmentConfig(**{change.name: 0.0 for change in fields(AugmentConfig)}))


@pytest.fixture
def small_sam(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build every SAM with two blocks of 32 channels."""
    small = SamVariant(32, 2, 2, global_attention=(1,), decoder_mlp_dim=32)
    monkeypatch.setattr(sam_teacher, "VARIANTS", dict.fromkeys(VARIANTS, small))
