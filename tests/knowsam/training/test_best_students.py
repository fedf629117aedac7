"""Students that know nothing yet must not spoil propagated labels, and get a weight once they agree with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sessions import session_of

from knowsam.inference.ensemble import StudentWeight
from knowsam.training.events import Validated

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.data.case import Case
    from knowsam.training.session import TrainingSession


@pytest.fixture
def propagating_config(still_config: Config) -> Config:
    return still_config.with_values(variant="none", shape_prior=True)


def last_of(case: Case, config: Config) -> TrainingSession:
    session = session_of(case, config=config, steps=2)
    list(session.run())
    return session


@pytest.mark.usefixtures("painters")
def test_students_that_see_the_structure_everywhere_leave_propagated_labels_alone(
    case: Case, propagating_config: Config
) -> None:
    session = last_of(case, propagating_config)
    predictor = session.predictor()
    assert session.students is not None
    assert predictor.weight is None


@pytest.mark.usefixtures("steps")
@pytest.mark.parametrize(("found", "weighed"), [(0.0, False), (0.55, False), (0.65, True), (1.0, True)])
def test_students_have_a_part_from_an_error_on_that_is_small_enough(
    case: Case, propagating_config: Config, monkeypatch: pytest.MonkeyPatch, found: float, weighed: bool
) -> None:
    monkeypatch.setattr("knowsam.training.best_students.agreement", lambda *_: found)
    assert (last_of(case, propagating_config).predictor().weight is not None) == weighed


@pytest.mark.usefixtures("steps")
def test_students_that_see_what_is_propagated_have_no_error(
    case: Case, propagating_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("knowsam.training.best_students.agreement", lambda *_: 1.0)
    weight = last_of(case, propagating_config).predictor().weight
    assert weight is not None
    assert weight.student_variance == 0.0


@pytest.mark.usefixtures("steps")
@pytest.mark.parametrize(("chosen", "limits"), [(0.5, (0.5, 0.3)), (0.2, (0.2, 0.2))])
def test_students_are_weighed_by_the_square_of_their_error_over_that_of_the_propagator(
    case: Case,
    propagating_config: Config,
    monkeypatch: pytest.MonkeyPatch,
    chosen: float,
    limits: tuple[float, float],
) -> None:
    monkeypatch.setattr("knowsam.training.best_students.agreement", lambda *_: 0.9)
    weight = last_of(case, propagating_config.with_values(student_weight=chosen)).predictor().weight
    assert isinstance(weight, StudentWeight)
    # The propagator errs by 0.06.
    assert weight.student_variance == pytest.approx((0.1**2 / 0.06) ** 2)
    assert (weight.limit, weight.limit_beyond) == limits
    assert weight.shared_variance == 0.1


@pytest.mark.usefixtures("steps")
def test_without_held_out_slices_students_that_agree_less_with_propagated_labels_do_not_predict(
    case: Case, propagating_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter([0.7, 0.9, 0.8])
    monkeypatch.setattr("knowsam.training.best_students.agreement", lambda *_: next(found))
    config = propagating_config.with_values(validations=3)
    session = session_of(case, config=config, steps=3)
    assert [event.adopted for event in session.run() if isinstance(event, Validated)] == [False, True, False]


@pytest.mark.usefixtures("painters")
def test_a_model_holds_the_dice_of_its_students_without_propagated_labels(
    case: Case, propagating_config: Config
) -> None:
    """They see the structure everywhere."""
    session = last_of(case, propagating_config)
    dice = session.model().dice
    assert dice is not None
    assert 0 < dice < 0.6
    assert session.continuation().model.dice == pytest.approx(dice)
