"""Sessions that really learn, on the sample: training makes what is shown better, never worse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest

from knowsam.config import Config
from knowsam.data.annotation import Annotation
from knowsam.data.case import Case
from knowsam.inference.metrics import dice_score
from knowsam.io.image import read_image
from knowsam.io.labels import read_labels
from knowsam.io.sample import sample_folder
from knowsam.training.events import Stage, StageChanged
from knowsam.training.schedule import Budget
from knowsam.training.session import TrainingSession

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelArray

SMALL = Config().with_values(width=8, max_side_px=64, variant="none", precision="float32", learning_rate=0.005)
NOISE = 0.005
"""Dice that a few voxels at an edge make."""


@pytest.fixture(scope="module")
def truth() -> LabelArray:
    """(32, 80, 96): liver 1, kidneys 2, lesion 3."""
    return read_labels(sample_folder() / "phantom_labels.nii.gz").array.astype(np.uint8)


def before_and_after(truth: LabelArray, painted: range, config: Config, steps: int) -> Iterator[float]:
    """Give the mean Dice in the slices that are not painted, before the first step and after the last one."""
    case = Case(read_image(sample_folder() / "phantom.nii.gz"), Annotation.from_labels(truth, axis=0, indices=painted))
    session = TrainingSession([case], budget=Budget(steps=steps), config=config, device="cpu")
    hidden = [index for index in range(painted.start, painted[-1]) if index not in painted]

    def dice() -> float:
        labels = session.predictor().volume().labels[hidden]
        return float(np.mean([dice_score(labels, truth[hidden], value) for value in (1, 2, 3)]))

    events = session.run()
    while next(events) != StageChanged(Stage.TRAINING):
        pass
    yield dice()
    list(events)
    yield dice()


@pytest.mark.slow
def test_students_alone_learn_organs_that_they_knew_nothing_of(truth: LabelArray) -> None:
    before, after = before_and_after(truth, range(2, 32, 3), SMALL.with_values(shape_prior=False), steps=60)
    assert before < 0.2
    assert after > 0.4


@pytest.mark.parametrize("painted", [range(4, 30, 8), range(2, 32, 3)], ids=["few slices", "with held-out slices"])
def test_what_is_shown_is_no_worse_after_training_than_before_it_and_than_interpolation(
    truth: LabelArray, painted: range
) -> None:
    before, after = before_and_after(truth, painted, SMALL, steps=8)
    interpolated = next(before_and_after(truth, painted, SMALL.with_values(registration=False), steps=8))
    assert before > 0.6
    assert after >= before - NOISE
    assert after >= interpolated - NOISE
