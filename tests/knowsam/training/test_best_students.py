"""Students that know nothing yet must not spoil propagated labels, and get a weight once they agree with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from knowsam.training.events import Validated
from knowsam.training.learner import Learner
from knowsam.training.schedule import Budget
from knowsam.training.session import TrainingSession
from knowsam.training.step import StepLosses

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.data.case import Case
    from knowsam.training.batch import Batch


@pytest.fixture
def propagating_config(still_config: Config) -> Config:
    return still_config.with_values(variant="none", shape_prior=True)


def last_of(case: Case, config: Config) -> TrainingSession:
    session = TrainingSession([case], budget=Budget(steps=2), config=config, device="cpu")
    for _ in session.run():
        pass
    return session


def test_students_that_see_the_structure_everywhere_leave_propagated_labels_alone(
    case: Case, propagating_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(self: Learner, batch: Batch, number: int, progress: float) -> StepLosses:
        with torch.no_grad():
            for head in (self.averaged.unet.head, self.averaged.vnet.head, self.averaged.fusion.head[-1]):
                head.weight.zero_()
                head.bias.copy_(torch.tensor([-9.0, 9.0]))
        return StepLosses(1.0, 0.0, 0.0, 0.0, 0.0, 0.0)

    monkeypatch.setattr(Learner, "step", step)
    session = last_of(case, propagating_config)
    predictor = session.predictor()
    assert session.students is not None
    assert predictor.weight is None


@pytest.mark.parametrize(("found", "weighed"), [(0.0, False), (0.55, False), (0.65, True), (1.0, True)])
def test_students_have_a_part_from_an_error_on_that_is_small_enough(
    case: Case, propagating_config: Config, monkeypatch: pytest.MonkeyPatch, found: float, weighed: bool
) -> None:
    monkeypatch.setattr("knowsam.training.best_students.agreement", lambda *_: found)
    assert (last_of(case, propagating_config).predictor().weight is not None) == weighed


def test_students_that_see_what_is_propagated_have_no_error(
    case: Case, propagating_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("knowsam.training.best_students.agreement", lambda *_: 1.0)
    weight = last_of(case, propagating_config).predictor().weight
    assert weight is not None
    assert weight.student_error == 0.0


def test_without_held_out_slices_students_that_agree_less_with_propagated_labels_do_not_predict(
    case: Case, propagating_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter([0.7, 0.9, 0.8])
    monkeypatch.setattr("knowsam.training.best_students.agreement", lambda *_: next(found))
    config = propagating_config.with_values(validations=3)
    session = TrainingSession([case], budget=Budget(steps=3), config=config, device="cpu")
    assert [event.adopted for event in session.run() if isinstance(event, Validated)] == [False, True, False]
