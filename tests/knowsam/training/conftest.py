"""Steps that learn nothing: most of what a session does needs no better students."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sessions import Steps, see_the_ball_everywhere

from knowsam.data.annotation import Annotation, LabelArray
from knowsam.data.case import Case
from knowsam.training import model_selection, session
from knowsam.training.learner import Learner
from knowsam.training.optimizers import load_ahead

if TYPE_CHECKING:
    from knowsam.data.volume import Volume
    from knowsam.training.batch import Batch


def pytest_collection_modifyitems() -> None:
    """Import at once what is otherwise imported within a test, so that it is frozen with the rest."""
    load_ahead()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Let steps only note what they are given."""
    steps = Steps()
    # They know no more after ten of them than after one.
    monkeypatch.setattr(session, "_FEWEST_STEPS", 1)
    monkeypatch.setattr(Learner, "step", lambda learner, *given: steps.take(learner, *given))
    return steps


@pytest.fixture
def batches(steps: Steps) -> list[Batch]:
    """Let steps only note their batches."""
    return steps.batches


@pytest.fixture
def painters(steps: Steps) -> None:
    """Let a step turn the averaged students into ones that see class 1 everywhere."""
    steps.happens = see_the_ball_everywhere


@pytest.fixture
def holdout_scores(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The scores that the next validations find, whatever the students predict."""
    scores: list[float] = []
    monkeypatch.setattr(model_selection, "holdout_dice", lambda *_: scores.pop(0))
    return scores


@pytest.fixture
def many(ball: Volume, ball_labels: LabelArray) -> Case:
    """All eight slices of the ball are painted, so that one is held out."""
    return Case(ball, Annotation.from_labels(ball_labels, axis=0))
