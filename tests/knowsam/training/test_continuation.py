"""A training that goes on is, but for its pause, one longer training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from sessions import Steps, session_of

from knowsam.data.annotation import LabelClass
from knowsam.errors import CheckpointError
from knowsam.training.continuation import read_continuation, write_continuation
from knowsam.training.events import PredictionReady, StepDone, Validated, Watch
from knowsam.training.schedule import Budget

if TYPE_CHECKING:
    from pathlib import Path

    from knowsam.config import Config
    from knowsam.data.case import Case
    from knowsam.training.session import TrainingSession


@pytest.fixture
def config(still_config: Config) -> Config:
    """Students alone."""
    return still_config.with_values(variant="none", shape_prior=False, validations=1)


def run(session: TrainingSession) -> TrainingSession:
    list(session.run())
    return session


@pytest.fixture
def schedule(steps: Steps) -> list[tuple[int, float]]:
    """Number and progress of each step, which learns nothing."""
    return steps.schedule


def test_the_schedule_goes_on_as_if_the_budget_had_been_longer(
    case: Case, config: Config, schedule: list[tuple[int, float]]
) -> None:
    last = run(session_of(case, config=config)).continuation()
    again = session_of(case, config=config, last=last)
    done = [event for event in again.run() if isinstance(event, StepDone)]
    assert schedule[4:] == [(4, 0.5), (5, 0.625), (6, 0.75), (7, 0.875)]
    assert [(event.step, event.progress) for event in done] == [(1, 0.25), (2, 0.5), (3, 0.75), (4, 1.0)]
    assert again.model().steps == 8
    assert again.continuation().seconds >= last.seconds


def test_seconds_that_were_trained_count_in_a_budget_of_seconds(
    case: Case, config: Config, schedule: list[tuple[int, float]]
) -> None:
    last = replace(run(session_of(case, config=config)).continuation(), seconds=30.0)
    next(
        event
        for event in session_of(case, config=config, budget=Budget(seconds=10.0), last=last).run()
        if isinstance(event, StepDone)
    )
    assert schedule[-1] == (4, pytest.approx(0.75, abs=0.01))


@pytest.mark.usefixtures("small_sam")
def test_students_their_average_and_what_the_optimisers_know_go_on(case: Case, still_config: Config) -> None:
    first = run(session_of(case, config=still_config, steps=2))
    last = first.continuation()
    again = session_of(case, config=still_config, last=last)
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
    many: Case, config: Config, holdout_scores: list[float]
) -> None:
    """The last validation found students that were worse."""
    holdout_scores[:] = [0.9, 0.1, 0.9, 0.9]
    first = session_of(many, config=config.with_values(validations=2, holdout_noise=0.0))
    assert [event.adopted for event in first.run() if isinstance(event, Validated)] == [True, False]
    again = session_of(many, config=config, last=first.continuation())
    again.trainer.prepare()
    shown, best = again.trainer.display.students, first.trainer.display.students
    assert shown is not None
    assert best is not None
    assert torch.equal(shown.unet.head.weight, best.unet.head.weight)
    assert torch.equal(again.trainer.learner.averaged.unet.head.weight, first.trainer.learner.averaged.unet.head.weight)
    assert not torch.equal(shown.unet.head.weight, again.trainer.learner.averaged.unet.head.weight)


@pytest.mark.usefixtures("small_sam")
def test_classes_may_have_changed_meanwhile(case: Case, still_config: Config) -> None:
    first = run(session_of(case, config=still_config, steps=1))
    classes = (*case.annotation.classes, LabelClass(2, "cyst", (4, 5, 6)))
    again = session_of(case.with_classes(classes), config=still_config, steps=1, last=first.continuation())
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


@pytest.mark.usefixtures("small_sam")
def test_what_a_training_leaves_comes_back_from_its_file(case: Case, still_config: Config, tmp_path: Path) -> None:
    chosen = still_config.with_values(variant="compact", mixing=None)
    left = run(session_of(case, config=chosen, steps=2)).continuation()
    write_continuation(tmp_path / "kept.training.safetensors", left)
    found = read_continuation(tmp_path / "kept.training.safetensors")
    assert (found.seconds, found.holdout, found.trained) == (left.seconds, left.holdout, left.trained)
    assert found.chosen == left.chosen == chosen
    assert (found.model.steps, found.model.classes, found.model.config) == (2, left.model.classes, left.model.config)
    pairs = [
        (found.learning.students, left.learning.students),
        (found.learning.averaged, left.learning.averaged),
        (found.model.teacher, left.model.teacher),
        *((found.learning.moments[name], own) for name, own in left.learning.moments.items()),
        *((found.learning.teacher_moments[name], own) for name, own in left.learning.teacher_moments.items()),
    ]
    assert len(pairs) > 20
    for one, other in pairs:
        torch.testing.assert_close(dict(one), dict(other), rtol=0, atol=0)


def test_training_goes_on_from_a_file_as_it_would_have_without_one_and_leaves_it_as_it_was(
    case: Case, config: Config, tmp_path: Path
) -> None:
    left = run(session_of(case, config=config, steps=2)).continuation()
    write_continuation(tmp_path / "kept", left)
    ends = [
        run(session_of(case, config=config, steps=2, last=last)).model().students.state_dict()
        for last in (left, left, read_continuation(tmp_path / "kept"))
    ]
    for end in ends[1:]:
        torch.testing.assert_close(end, ends[0], rtol=0, atol=0)


def test_a_damaged_file_of_a_model_is_refused(case: Case, config: Config, tmp_path: Path) -> None:
    path = tmp_path / "kept"
    write_continuation(path, run(session_of(case, config=config, steps=1)).continuation())
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="its checksum does not fit"):
        read_continuation(path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="not a usable"):
        read_continuation(path)
