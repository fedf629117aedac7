"""What is shown while nobody trains, before a training and after one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sessions import Steps, session_of

from knowsam.data.annotation import BACKGROUND_CLASS, IGNORE, Annotation, LabelArray, LabelClass, LabelSlice
from knowsam.data.case import Case
from knowsam.data.ends import End, Side
from knowsam.data.volume import Grid, Volume
from knowsam.training.events import (
    ClassesChanged,
    Event,
    Finished,
    Notice,
    PredictionReady,
    PredictionsGone,
    SliceAnnotated,
    Source,
    Stop,
    Watch,
)
from knowsam.training.propagation_session import PropagationSession
from knowsam.training.volume_propagation import VolumePropagation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from knowsam.config import Config
    from knowsam.training.display import Display
    from knowsam.training.events import Message

SQUARE = np.pad(np.ones((8, 8), np.uint8), 12)


@pytest.fixture
def config(still_config: Config) -> Config:
    """Students alone."""
    return still_config.with_values(variant="none", shape_prior=True)


def predictions_of(session: PropagationSession, *messages: Message) -> list[PredictionReady]:
    """Send messages to the session, and return its predictions once all slices are shown."""
    for message in messages:
        session.submit(message)
    shown = []
    for event in session.run():
        assert isinstance(event, PredictionReady)
        shown.append(event)
        if _has_predicted_all(session):
            session.submit(Stop())
    return shown


def latest(shown: list[PredictionReady]) -> dict[int, LabelArray]:
    return {one.index: one.labels for ready in shown for one in ready.slices}


def test_before_a_training_the_painted_slices_are_propagated_to_all_others(case: Case, config: Config) -> None:
    shown = predictions_of(PropagationSession(case, config), Watch(5))
    assert [one.index for one in shown[0].slices] == [5]
    assert set(latest(shown)) == set(range(12))
    assert {(ready.shown.source, ready.shown.student_weight) for ready in shown} == {(Source.PROPAGATION, 0.0)}
    training = session_of(case, config=config, steps=1)
    training.submit(Watch(5))
    first = next(event for event in training.run() if isinstance(event, PredictionReady))
    np.testing.assert_array_equal(latest(shown)[5], first.slices[0].labels)


def test_a_painted_slice_changes_only_those_beside_it_and_erasing_it_changes_them_back(
    case: Case, config: Config
) -> None:
    session = PropagationSession(case, config)
    session.submit(Watch(5))
    events = session.run()
    before = latest([ready for _, ready in zip(range(12), _until_shown(session, events), strict=False)])
    session.submit(SliceAnnotated(LabelSlice(0, 7, SQUARE)))
    changed = latest(list(_until_shown(session, events)))
    assert set(changed) == set(range(4, 12))
    np.testing.assert_array_equal(changed[7], SQUARE)
    assert (changed[6] != before[6]).any()
    session.submit(SliceAnnotated(case.annotation.slices[7]))
    again = latest(list(_until_shown(session, events)))
    for index, labels in again.items():
        np.testing.assert_array_equal(labels, before[index])


def test_of_all_that_was_annotated_meanwhile_only_the_latest_of_each_slice_is_propagated(
    case: Case, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accepting every slice and undoing that costs no more than doing nothing."""
    propagated = []
    annotate = VolumePropagation.annotate
    monkeypatch.setattr(
        VolumePropagation,
        "annotate",
        lambda self, one, classes: propagated.append(one.index) or annotate(self, one, classes),
    )
    session = PropagationSession(case, config)
    session.submit(Watch(5))
    events = session.run()
    before = latest(list(_until_shown(session, events)))
    nothing = np.full_like(SQUARE, IGNORE)
    for labels in (SQUARE, nothing):
        for index in (5, 6, 8, 9):
            session.submit(SliceAnnotated(LabelSlice(0, index, labels)))
    session.submit(Watch(6))
    session.submit(SliceAnnotated(case.annotation.slices[7]))
    again = [one for ready in _until_shown(session, events) for one in ready.slices]
    assert propagated == [5, 6, 8, 9, 7]
    for one in again:
        np.testing.assert_array_equal(one.labels, before[one.index])


def test_a_marked_end_clears_the_slices_beyond_it_at_once_and_taking_it_away_fills_them_again(
    case: Case, config: Config
) -> None:
    session = PropagationSession(case, config)
    session.submit(Watch(5))
    events = session.run()
    before = latest(list(_until_shown(session, events)))
    assert before[8].any()
    last = case.annotation.slices[7]
    session.submit(SliceAnnotated(replace(last, ends=frozenset({End(1, Side.ABOVE)}))))
    marked = [one for ready in _until_shown(session, events) for one in ready.slices]
    assert {one.index for one in marked if not one.labels.any()} >= {8, 9, 10, 11}
    assert max(one.uncertainty_percent.max() for one in marked if one.index > 7) == 0
    session.submit(SliceAnnotated(last))
    again = latest(list(_until_shown(session, events)))
    np.testing.assert_array_equal(again[8], before[8])


def test_an_end_marked_between_two_propagations_is_taken_in(case: Case, config: Config) -> None:
    session = PropagationSession(case, config)
    predictions_of(session, Watch(5))
    last = replace(case.annotation.slices[7], ends=frozenset({End(1, Side.ABOVE)}))
    later = predictions_of(PropagationSession(case.with_slice(last), config, display=session.display), Watch(5))
    assert not latest(later)[8].any()


def _until_shown(session: PropagationSession, events: Iterator[Event]) -> Iterator[PredictionReady]:
    for event in events:
        assert isinstance(event, PredictionReady)
        yield event
        if _has_predicted_all(session):
            return


def _has_predicted_all(session: PropagationSession) -> bool:
    """Tell whether even those slices are predicted in which that is not seen, and which do not count as outdated."""
    display = session.display
    return display is not None and not (display.made_by[0] < display.version).any()


def test_with_too_few_slices_left_the_predictions_are_taken_back_until_there_are_enough(
    case: Case, config: Config
) -> None:
    session = PropagationSession(case, config)
    session.submit(Watch(5))
    events = session.run()
    list(_until_shown(session, events))
    erased = LabelSlice(0, 7, np.full_like(SQUARE, IGNORE))
    session.submit(SliceAnnotated(erased))
    assert next(events) == PredictionsGone(0)
    session.submit(SliceAnnotated(case.annotation.slices[7]))
    assert set(latest(list(_until_shown(session, events)))) == set(range(12))


def test_students_say_something_however_few_slices_are_left(case: Case, config: Config, display: Display) -> None:
    session = PropagationSession(case, config, display=display)
    erased = LabelSlice(0, 7, np.full_like(SQUARE, IGNORE))
    assert predictions_of(session, Watch(5), SliceAnnotated(erased))[-1].shown.source is Source.STUDENTS


def test_a_partly_painted_slice_is_not_propagated(case: Case, config: Config) -> None:
    session = PropagationSession(case, config)
    partly = np.where(SQUARE == 1, SQUARE, np.uint8(IGNORE))
    shown = predictions_of(session, Watch(5), SliceAnnotated(LabelSlice(0, 5, partly)))
    assert not np.array_equal(latest(shown)[5], SQUARE)


@pytest.fixture
def display(case: Case, config: Config, steps: Steps) -> Display:
    session = session_of(case, config=config, steps=2)
    list(session.run())
    assert session.display is not None
    _follow(session.display, case, config)
    return session.display


def _follow(display: Display, case: Case, config: Config) -> list[PredictionReady]:
    """Bring all predictions up to date after a training."""
    return predictions_of(PropagationSession(case, config, display=display), Watch(6))


def test_after_a_training_a_correction_changes_the_slices_beside_it_and_no_others(
    case: Case, config: Config, display: Display
) -> None:
    corrected = Case(case.volume, case.annotation.with_slice(LabelSlice(0, 7, SQUARE)))
    shown = predictions_of(PropagationSession(corrected, config, display=display), Watch(6))
    assert set(latest(shown)) == set(range(4, 12))
    np.testing.assert_array_equal(latest(shown)[7], SQUARE)


@pytest.mark.usefixtures("steps")
def test_after_a_training_the_slices_it_left_are_predicted_once_the_watched_one_first(
    case: Case, config: Config
) -> None:
    session = session_of(case, config=config, steps=2)
    session.submit(Watch(6))
    *_, finished = session.run()
    assert isinstance(finished, Finished)
    assert session.display is not None
    rest = [one.index for ready in _follow(session.display, case, config) for one in ready.slices]
    assert (rest[0], sorted(rest)) == (6, list(range(12)))
    # All but the two that are painted.
    assert finished.outdated == 10


def test_slices_that_are_painted_or_accepted_do_not_wait_for_a_prediction(
    case: Case, config: Config, ball_labels: LabelArray, display: Display
) -> None:
    accepted = Case(case.volume, Annotation.from_labels(ball_labels, 0, range(12)))
    session = PropagationSession(accepted, config, display=display)
    session.submit(Watch(6))
    events = session.run()
    ready = next(events)
    session.submit(Stop())
    assert isinstance(ready, PredictionReady)
    assert ready.outdated == 0


@pytest.mark.usefixtures("steps")
def test_after_a_training_a_painted_slice_goes_before_the_refresh_and_nothing_is_predicted_in_vain(
    case: Case, config: Config
) -> None:
    session = session_of(case, config=config, steps=2)
    session.submit(Watch(0))
    list(session.run())
    after = PropagationSession(case, config, display=session.display)
    after.submit(Watch(0))
    events = after.run()
    first = next(events)
    after.submit(SliceAnnotated(LabelSlice(0, 7, SQUARE)))
    rest = [ready.slices for ready in _until_shown(after, events)]
    beside = [one.index for slices in rest for one in slices]
    assert isinstance(first, PredictionReady)
    assert first.outdated > 0
    assert set(beside[:8]) == set(range(4, 12))


@pytest.mark.usefixtures("steps")
def test_after_a_training_its_students_have_the_weight_they_ended_with(
    case: Case, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("knowsam.training.best_students.agreement", lambda *_: 1.0)
    session = session_of(case, config=config, steps=2)
    list(session.run())
    assert session.display is not None
    _follow(session.display, case, config)
    weight = session.predictor().weight
    assert weight is not None
    after = PropagationSession(case, config, display=session.display)
    shown = predictions_of(after, Watch(6), SliceAnnotated(LabelSlice(0, 7, SQUARE)))
    assert {(ready.shown.source, ready.shown.student_weight) for ready in shown} == {(Source.ENSEMBLE, weight.limit)}
    expected = session.display.predictor(0)
    for prediction in expected.slices([5]):
        np.testing.assert_array_equal(latest(shown)[5], prediction.labels)


@pytest.mark.parametrize("is_trained", [False, True])
def test_a_new_class_is_propagated_with_or_without_students(
    case: Case, config: Config, display: Display, is_trained: bool
) -> None:
    classes = (BACKGROUND_CLASS, LabelClass(1, "ball", (1, 2, 3)), LabelClass(2, "cyst", (4, 5, 6)))
    session = PropagationSession(case, config, display=display if is_trained else None)
    shown = predictions_of(session, Watch(6), ClassesChanged(classes), SliceAnnotated(LabelSlice(0, 7, 2 * SQUARE)))
    assert shown[-1].classes == classes
    np.testing.assert_array_equal(latest(shown)[7], 2 * SQUARE)
    assert set(latest(shown)) == set(range(12))


@pytest.mark.parametrize("is_trained", [False, True])
def test_the_region_grows_with_what_is_painted(ball: Volume, config: Config, is_trained: bool) -> None:
    labels = np.zeros((5, 80, 80), np.uint8)
    labels[[1, 3], 10:40, 10:40] = 1
    volume = Volume(np.random.default_rng(0).random(labels.shape, np.float32), Grid(labels.shape, ball.grid.affine))
    case = Case(volume, Annotation.from_labels(labels, axis=0))
    tight = config.with_values(margin=0.0, min_margin_px=0)
    display = None
    if is_trained:
        training = session_of(case, config=tight, steps=1)
        list(training.run())
        display = training.display
    beyond = np.zeros((80, 80), np.uint8)
    beyond[60:70, 60:70] = 1
    session = PropagationSession(case, tight, display=display)
    shown = predictions_of(session, Watch(3), SliceAnnotated(LabelSlice(0, 3, beyond)))
    # At its corners a square is rounder on coarser planes.
    assert (latest(shown)[3] == beyond).mean() > 0.999


def test_a_slice_that_does_not_belong_is_reported_and_skipped(case: Case, config: Config) -> None:
    session = PropagationSession(case, config)
    session.submit(SliceAnnotated(LabelSlice(0, 99, SQUARE)))
    events = session.run()
    event = next(events)
    assert isinstance(event, Notice)
    assert "Slice 99" in event.text
    session.submit(Stop())
    assert list(events) == []


def test_a_stop_breaks_the_registration_off(case: Case, config: Config) -> None:
    session = PropagationSession(case, config)
    session.submit(Stop())
    assert list(session.run()) == []
    assert session.display is None


def test_where_nobody_watches_nothing_is_predicted(case: Case, config: Config) -> None:
    session = PropagationSession(case, config)
    session.submit(Watch(None))
    session.submit(Stop())
    assert list(session.run()) == []


def test_no_network_is_loaded_before_a_training() -> None:
    code = "import sys, knowsam.training.propagation_session; print(*sys.modules)"
    loaded: Any = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert {"knowsam.models.students", "knowsam.models.sam"}.isdisjoint(loaded.split())


def test_a_stop_behind_many_annotated_slices_ends_it_before_they_are_propagated(
    case: Case, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = PropagationSession(case, config)
    for index in (5, 6):
        session.submit(SliceAnnotated(LabelSlice(0, index, SQUARE)))
    session.submit(Stop())
    assert list(session.run()) == []
    assert session.display is None
    later = PropagationSession(case, config)
    events = later.run()
    later.submit(Watch(5))
    next(events)
    monkeypatch.setattr(VolumePropagation, "annotate", lambda *_: pytest.fail("propagated"))
    for index in (5, 6):
        later.submit(SliceAnnotated(LabelSlice(0, index, SQUARE)))
    later.submit(Stop())
    assert all(isinstance(event, PredictionReady) for event in events)
