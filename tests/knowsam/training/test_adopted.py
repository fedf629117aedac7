"""Students that know nothing yet must not spoil what is carried, and are heard once they agree with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from knowsam.training.learner import Learner
from knowsam.training.schedule import Budget
from knowsam.training.session import TrainingSession
from knowsam.training.step import StepLosses

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.data.case import Case
    from knowsam.training.batch import Batch


@pytest.fixture
def carrying_config(still_config: Config) -> Config:
    return still_config.with_values(variant="none", shape_prior=True)


def last_of(case: Case, config: Config) -> TrainingSession:
    session = TrainingSession([case], budget=Budget(steps=2), config=config, device="cpu")
    for _ in session.run():
        pass
    return session


def test_students_that_see_the_structure_where_it_is_not_hardly_touch_what_is_carried(
    case: Case, carrying_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(self: Learner, batch: Batch, number: int, progress: float) -> StepLosses:
        with torch.no_grad():
            for head in (self.averaged.unet.head, self.averaged.vnet.head, self.averaged.fusion.head[-1]):
                head.weight.zero_()
                head.bias.copy_(torch.tensor([-9.0, 9.0]))
        return StepLosses(1.0, 0.0, 0.0, 0.0, 0.0, 0.0)

    monkeypatch.setattr(Learner, "step", step)
    session = last_of(case, carrying_config)
    predictor = session.predictor()
    found = predictor.volume().labels
    assert predictor.listening is not None
    assert predictor.listening.error > 0.2
    predictor.listening = None
    assert (found != predictor.volume().labels).mean() < 0.002


def test_students_that_see_what_is_carried_have_no_error(
    case: Case, carrying_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("knowsam.training.adopted.agreement", lambda *_: 1.0)
    listening = last_of(case, carrying_config).predictor().listening
    assert listening is not None
    assert listening.error == 0.0
