"""A proposal of finished volumes stays where nobody has painted."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from knowsam.atlas.proposal import Proposal
from knowsam.data.annotation import IGNORE, Annotation, LabelArray, LabelSlice
from knowsam.data.case import Case
from knowsam.data.proposed_mask import ProposedMask
from knowsam.errors import InputError
from knowsam.training import proposal_session
from knowsam.training.events import (
    Applied,
    Notice,
    PredictionReady,
    Proposed,
    SliceAnnotated,
    Source,
    Stage,
    StageChanged,
    Stop,
    Watch,
)
from knowsam.training.proposal_session import ProposalSession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from knowsam.config import Config
    from knowsam.data.volume import Volume
    from knowsam.training.events import Event
    from knowsam.training.interruption import Interruption

ATLASES = ("first", "second")
SLICES = 12


@pytest.fixture
def proposed(ball: Volume) -> LabelArray:
    """(12, 32, 32), a column through all slices."""
    labels = np.zeros(ball.shape, np.uint8)
    labels[:, 10:20, 10:20] = 1
    return labels


@pytest.fixture
def kept() -> list[object]:
    """What a session leaves for the next one."""
    return []


@pytest.fixture
def session(
    case: Case, still_config: Config, proposed: LabelArray, kept: list[object], monkeypatch: pytest.MonkeyPatch
) -> ProposalSession:
    """The ball, of which nothing is painted; two finished volumes of which the second is of no use."""

    def propose(_volume: Volume, _atlases: object, progress: Callable[[int], object]) -> Proposal:
        progress(1)
        values = np.where(proposed > 0, 1, 0).astype(np.int32)
        return Proposal(values, np.full(values.shape, 0.75, np.float16), (0.5, None))

    monkeypatch.setattr(proposal_session, "propose", propose)
    unpainted = Case(case.volume, Annotation(case.volume.shape, 0, case.annotation.classes))
    config = still_config.with_values(variant="none", shape_prior=True)
    volumes = [type("Finished", (), {"image": type("Image", (), {"name": name})}) for name in ATLASES]
    return ProposalSession(unpainted, config, volumes, keep=kept.append)  # type: ignore[arg-type]


def shown_after(session: ProposalSession, events: Iterator[Event], slices: list[LabelSlice]) -> dict[int, LabelArray]:
    """Annotate slices; return what is shown until nothing is left to do."""
    for one in slices:
        session.submit(SliceAnnotated(one))
    found: dict[int, LabelArray] = {}
    for event in events:
        assert isinstance(event, PredictionReady)
        found |= {one.index: one.labels for one in event.slices}
        # Annotated slices, in which no prediction is seen, may come after all that wait to be seen.
        if event.outdated == 0 and len(found) == SLICES:
            break
    return found


def test_the_proposal_is_shown_at_once_and_what_is_of_no_use_is_said(
    session: ProposalSession, proposed: LabelArray
) -> None:
    session.submit(Watch(5))
    events = session.run()
    assert next(events) == StageChanged(Stage.PROPOSING)
    notice, mask, ready, applied = (next(events) for _ in range(4))
    assert isinstance(notice, Notice)
    assert notice.text.startswith("second could not be registered")
    assert isinstance(mask, Proposed)
    np.testing.assert_array_equal(mask.mask.labels, proposed)
    assert isinstance(ready, PredictionReady)
    assert ready.shown.source is Source.PROPOSAL
    np.testing.assert_array_equal(np.stack([one.labels for one in ready.slices]), proposed)
    assert {int(one.uncertainty_percent.max()) for one in ready.slices} == {25}
    assert applied == Applied(stopped=False)
    session.submit(Stop())
    assert list(events) == []


def test_annotated_slices_count_near_them_and_the_proposal_far_from_them(
    session: ProposalSession, proposed: LabelArray, ball_labels: LabelArray
) -> None:
    session.submit(Watch(5))
    events = session.run()
    for event in events:
        if isinstance(event, Applied):
            break
    found = shown_after(session, events, [LabelSlice(0, index, ball_labels[index]) for index in (4, 7)])
    assert set(found) == set(range(12))
    for index in (5, 6):
        both = (found[index] == 1) & (ball_labels[index] == 1)
        assert 2 * both.sum() / ((found[index] == 1).sum() + (ball_labels[index] == 1).sum()) > 0.9
    for index in (0, 11):
        np.testing.assert_array_equal(found[index], proposed[index])
    nothing = LabelSlice(0, 7, np.full(ball_labels.shape[1:], IGNORE, np.uint8))
    session.submit(SliceAnnotated(nothing))
    ready = next(events)
    assert isinstance(ready, PredictionReady)
    assert {one.index for one in ready.slices} == set(range(12))
    for one in ready.slices:
        np.testing.assert_array_equal(one.labels, proposed[one.index])


def test_a_stop_ends_the_comparison(session: ProposalSession) -> None:
    session.submit(Stop())
    assert list(session.run()) == [StageChanged(Stage.PROPOSING), Applied(stopped=True, outdated=12)]


class Learnt:
    """A correction that empties the first slices, or does not help."""

    sentence = "Corrected by what was learnt."

    def __init__(self, *, helps: bool) -> None:
        self.helps = helps

    def corrected(self, _volume: Volume, mask: ProposedMask, _check: object) -> ProposedMask:
        labels = mask.labels.copy()
        labels[:3] = 0
        return ProposedMask(labels, mask.agreement)


@pytest.fixture
def learning(session: ProposalSession, monkeypatch: pytest.MonkeyPatch) -> Callable[[object], Iterator[Event]]:
    """Begin a session of three finished volumes, up to the notice that something is being learnt."""

    def begin(learn: object) -> Iterator[Event]:
        monkeypatch.setattr(proposal_session, "learn_correction", learn)
        monkeypatch.setattr(proposal_session, "FEWEST_FINISHED", len(ATLASES))
        session.submit(Watch(5))
        events = session.run()
        for event in events:
            if isinstance(event, Notice) and "Meanwhile the finished volumes teach" in event.text:
                break
        return events

    return begin


def test_the_correction_replaces_the_proposal(
    session: ProposalSession,
    kept: list[object],
    learning: Callable[[object], Iterator[Event]],
    proposed: LabelArray,
) -> None:
    events = learning(lambda *_, **__: Learnt(helps=True))
    assert next(events) == Notice(Learnt.sentence)
    assert len(kept) == 1
    mask, ready = next(events), next(events)
    assert isinstance(mask, Proposed)
    assert isinstance(ready, PredictionReady)
    shown = np.stack([one.labels for one in ready.slices])
    np.testing.assert_array_equal(shown, mask.mask.labels)
    np.testing.assert_array_equal(shown[3:], proposed[3:])
    assert not shown[:3].any()
    session.submit(Stop())
    assert list(events) == []


def test_the_correction_counts_beside_what_was_painted_meanwhile(
    session: ProposalSession, learning: Callable[[object], Iterator[Event]], ball_labels: LabelArray
) -> None:
    go_on = threading.Event()

    def learn(*_: object, **__: object) -> Learnt:
        go_on.wait()
        return Learnt(helps=True)

    events = learning(learn)
    before = shown_after(session, events, [LabelSlice(0, index, ball_labels[index]) for index in (4, 7)])
    assert before[0].any()
    go_on.set()
    assert next(events) == Notice(Learnt.sentence)
    assert isinstance(next(events), Proposed)
    after = shown_after(session, events, [])
    assert not after[0].any()
    assert after[5].any()


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (InputError("2 finished volumes are of use."), "2 finished volumes are of use."),
        (RuntimeError("out of luck"), "could not be learnt"),
        (OverflowError("too large"), "could not be learnt"),
    ],
)
def test_the_reason_for_no_training_is_reported(
    session: ProposalSession, learning: Callable[[object], Iterator[Event]], fault: Exception, text: str
) -> None:
    def learn(*_: object, **__: object) -> Learnt:
        raise fault

    events = learning(learn)
    notice = next(events)
    assert isinstance(notice, Notice)
    assert text in notice.text
    session.submit(Stop())
    assert list(events) == []


def test_a_stop_ends_the_learning(session: ProposalSession, learning: Callable[[object], Iterator[Event]]) -> None:
    ended = []

    def learn(*_: object, interruption: Interruption, **__: object) -> Learnt:
        try:
            while True:
                interruption.check()
                time.sleep(0.01)
        finally:
            ended.append(True)

    events = learning(learn)
    session.submit(Stop())
    assert list(events) == []
    assert ended == [True]
