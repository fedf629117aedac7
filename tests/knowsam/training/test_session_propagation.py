"""What a session shows before anything is learnt, and what a correction changes at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sessions import session_of

from knowsam.data.annotation import IGNORE, LabelArray, LabelSlice
from knowsam.training.events import (
    Event,
    Pause,
    PredictionReady,
    PredictionsGone,
    Resume,
    SliceAnnotated,
    Stage,
    StageChanged,
    StepDone,
    Watch,
)

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.data.case import Case
    from knowsam.training.session import TrainingSession

pytestmark = pytest.mark.usefixtures("steps")

SQUARE = np.pad(np.ones((8, 8), np.uint8), 12)


@pytest.fixture(params=[True, False], ids=["registered", "interpolated"])
def quick_config(still_config: Config, request: pytest.FixtureRequest) -> Config:
    """Students alone, that are validated at the end only."""
    return still_config.with_values(variant="none", validations=1, shape_prior=True, registration=request.param)


def watched(case: Case, config: Config, index: int = 5) -> TrainingSession:
    session = session_of(case, config=config, steps=6)
    session.submit(Watch(index))
    return session


def shown_before_next_step(events: Iterator[Event]) -> dict[int, LabelArray]:
    """Return the last prediction of each slice that is sent before another step is done."""
    latest: dict[int, LabelArray] = {}
    for event in events:
        if isinstance(event, StepDone):
            return latest
        if isinstance(event, PredictionReady):
            latest |= {predicted.index: predicted.labels for predicted in event.slices}
    return latest


def test_the_whole_volume_is_shown_before_the_first_step(
    case: Case, ball_labels: LabelArray, quick_config: Config
) -> None:
    latest = shown_before_next_step(watched(case, quick_config).run())
    assert set(latest) == set(range(12))
    for index in (4, 7):
        np.testing.assert_array_equal(latest[index], ball_labels[index])
    assert latest[5].any()


def test_the_watched_slice_is_shown_first(case: Case, quick_config: Config) -> None:
    ready = next(event for event in watched(case, quick_config, 9).run() if isinstance(event, PredictionReady))
    assert [predicted.index for predicted in ready.slices] == [9]


def test_a_correction_is_seen_in_the_slices_beside_it_before_the_next_step(case: Case, quick_config: Config) -> None:
    session = watched(case, quick_config)
    events = session.run()
    before = shown_before_next_step(events)
    session.submit(SliceAnnotated(LabelSlice(0, 4, SQUARE)))
    after = shown_before_next_step(events)
    assert set(after) >= set(range(8))
    np.testing.assert_array_equal(after[4], SQUARE)
    for index in (3, 5):
        assert (after[index] != before[index]).any(), index


def test_a_correction_is_seen_before_slices_that_waited_longer(case: Case, quick_config: Config) -> None:
    session = watched(case, quick_config)
    events = session.run()
    first = next(event for event in events if isinstance(event, PredictionReady))
    session.submit(SliceAnnotated(LabelSlice(0, 5, SQUARE)))
    second = next(event for event in events if isinstance(event, PredictionReady))
    assert first.outdated > 0
    assert {one.index for one in second.slices} <= {3, 6}
    np.testing.assert_array_equal(session.cases[0].annotation.slices[5].labels, SQUARE)


def test_a_correction_is_seen_while_training_stands_still(case: Case, quick_config: Config) -> None:
    session = watched(case, quick_config)
    events = session.run()
    before = shown_before_next_step(events)
    session.submit(Pause())
    while next(events) != StageChanged(Stage.PAUSED):
        pass
    session.submit(SliceAnnotated(LabelSlice(0, 4, SQUARE)))
    after: dict[int, LabelArray] = {}
    while not set(after) >= set(range(8)):
        event = next(events)
        assert isinstance(event, PredictionReady)
        after |= {predicted.index: predicted.labels for predicted in event.slices}
    np.testing.assert_array_equal(after[4], SQUARE)
    assert (after[5] != before[5]).any()
    session.submit(Resume())
    assert StageChanged(Stage.TRAINING) in list(events)
    np.testing.assert_array_equal(session.cases[0].annotation.slices[4].labels, SQUARE)


def test_predictions_are_taken_back_in_a_pause_where_too_few_slices_are_left(case: Case, quick_config: Config) -> None:
    session = watched(case, quick_config)
    events = session.run()
    next(event for event in events if isinstance(event, PredictionReady))
    session.submit(Pause())
    session.submit(SliceAnnotated(LabelSlice(0, 7, np.full_like(SQUARE, IGNORE))))
    while (event := next(events)) != PredictionsGone(0):
        assert not isinstance(event, StepDone)


def test_without_propagated_labels_nothing_is_shown_before_the_first_step(case: Case, quick_config: Config) -> None:
    assert shown_before_next_step(watched(case, quick_config.with_values(shape_prior=False)).run()) == {}
