"""A training that goes on is, but for its pause, one longer training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from knowsam.data.annotation import Annotation, LabelClass
from knowsam.data.case import Case
from knowsam.training import model_selection
from knowsam.training.events import PredictionReady, StepDone, Validated, Watch
from knowsam.training.learner import Learner
from knowsam.training.schedule import Budget
from knowsam.training.session import TrainingSession
from knowsam.training.step import StepLosses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from knowsam.config import Config
    from knowsam.data.annotation import LabelArray
    from knowsam.data.volume import Volume
    from knowsam.training.batch import Batch


@pytest.fixture
def config(still_config: Config) -> Config:
    """Students alone."""
    return still_config.with_values(variant="none", shape_prior=False, validations=1)


def session_of(case: Case, config: Config, budget: Budget | None = None, **given: Any) -> TrainingSession:
    return TrainingSession([case], budget=budget or Budget(steps=4), config=config, device="cpu", **given)


def run(session: TrainingSession) -> TrainingSession:
    list(session.run())
    return session


@pytest.fixture
def schedule(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, float]]]:
    """Note number and progress of each step, which learns nothing."""
    noted: list[tuple[int, float]] = []

    def note(self: Learner, batch: Batch, number: int, progress: float) -> StepLosses:
        noted.append((number, progress))
        return StepLosses(1.0, 0.0, 0.0, 0.0, 0.0, 0.0)

    with monkeypatch.context() as patched:
        patched.setattr(Learner, "step", note)
        yield noted


def test_the_schedule_goes_on_as_if_the_budget_had_been_longer(
    case: Case, config: Config, schedule: list[tuple[int, float]]
) -> None:
    last = run(session_of(case, config)).continuation()
    again = session_of(case, config, last=last)
    done = [event for event in again.run() if isinstance(event, StepDone)]
    assert schedule[4:] == [(4, 0.5), (5, 0.625), (6, 0.75), (7, 0.875)]
    assert [(event.step, event.progress) for event in done] == [(1, 0.25), (2, 0.5), (3, 0.75), (4, 1.0)]
    assert again.model().steps == 8
    assert again.continuation().seconds >= last.seconds


def test_seconds_that_were_trained_count_in_a_budget_of_seconds(
    case: Case, config: Config, schedule: list[tuple[int, float]]
) -> None:
    last = replace(run(session_of(case, config)).continuation(), seconds=30.0)
    next(
        event
        for event in session_of(case, config, Budget(seconds=10.0), last=last).run()
        if isinstance(event, StepDone)
    )
    assert schedule[-1] == (4, pytest.approx(0.75, abs=0.01))


@pytest.mark.usefixtures("small_sam")
def test_students_their_average_and_what_the_optimisers_know_go_on(case: Case, still_config: Config) -> None:
    first = run(session_of(case, still_config, Budget(steps=2)))
    last = first.continuation()
    again = session_of(case, still_config, last=last)
    again.trainer.prepare()
    state = again.trainer.learner.state()
    for found, expected in ((state.students, last.learning.students), (state.averaged, last.learning.averaged)):
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    for moments, known in (
        (state.moments, last.learning.moments),
        (state.teacher_moments, last.learning.teacher_moments),
    ):
        assert moments.keys() == known.keys() != set()
        assert all(torch.equal(moments[name][key], known[name][key]) for name in known for key in known[name])
    assert not torch.equal(last.learning.students["unet.head.weight"], last.learning.averaged["unet.head.weight"])


def test_the_best_students_are_shown_and_the_last_ones_learn_on(
    ball: Volume, ball_labels: LabelArray, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last validation found students that were worse."""
    case = Case(ball, Annotation.from_labels(ball_labels, axis=0))
    scores = iter([0.9, 0.1, 0.9, 0.9])
    monkeypatch.setattr(model_selection, "holdout_dice", lambda *_: next(scores))
    first = session_of(case, config.with_values(validations=2, holdout_noise=0.0))
    assert [event.adopted for event in first.run() if isinstance(event, Validated)] == [True, False]
    again = session_of(case, config, last=first.continuation())
    again.trainer.prepare()
    shown, best = again.trainer.display.students, first.trainer.display.students
    assert shown is not None
    assert best is not None
    assert torch.equal(shown.unet.head.weight, best.unet.head.weight)
    assert torch.equal(again.trainer.learner.averaged.unet.head.weight, first.trainer.learner.averaged.unet.head.weight)
    assert not torch.equal(shown.unet.head.weight, again.trainer.learner.averaged.unet.head.weight)


@pytest.mark.usefixtures("small_sam")
def test_classes_may_have_changed_meanwhile(case: Case, still_config: Config) -> None:
    first = run(session_of(case, still_config, Budget(steps=1)))
    classes = (*case.annotation.classes, LabelClass(2, "cyst", (4, 5, 6)))
    again = session_of(case.with_classes(classes), still_config, Budget(steps=1), last=first.continuation())
    again.submit(Watch(5))
    ready = next(event for event in again.run() if isinstance(event, PredictionReady))
    assert ready.classes == classes
    head = again.trainer.learner.state().moments["unet.head.weight"]["exp_avg"]
    assert len(head) == 3
    assert np.any(head[:2].numpy())
    assert len(run_on(again).model().classes) == 3


def run_on(session: TrainingSession) -> TrainingSession:
    """Take one more step."""
    session.trainer.step(0.5)
    return session
