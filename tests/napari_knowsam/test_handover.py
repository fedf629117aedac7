from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from knowsam.data.annotation import LabelClass, SliceState
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.training.events import Message, SliceAnnotated
from napari_knowsam import handover
from napari_knowsam.handover import Handover

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from knowsam.data.volume import Volume


class Session:
    """Notes what it is told, like a controller whose session goes on with a document."""

    def __init__(self, work: AnnotationDocument | None) -> None:
        self.work = work
        self.received: list[Message] = []

    def submit(self, message: Message) -> None:
        self.received.append(message)

    @property
    def states(self) -> dict[int, SliceState]:
        return {m.label_slice.index: m.label_slice.state for m in self.received if isinstance(m, SliceAnnotated)}


@pytest.fixture
def document(tiny: Volume, classes: tuple[LabelClass, ...]) -> AnnotationDocument:
    document = AnnotationDocument(tiny, 0, classes)
    for index in range(6):
        document.mark(index, SliceState.BACKGROUND_ONLY)
    return document


@pytest.fixture
def session(document: AnnotationDocument) -> Session:
    return Session(document)


@pytest.fixture
def handed(session: Session, monkeypatch: pytest.MonkeyPatch) -> Handover:
    """Hands one slice over at a time, as if each took long."""
    monkeypatch.setattr(handover, "monotonic", map(float, itertools.count()).__next__)
    monkeypatch.setattr(handover, "_AT_ONCE_S", 1.5)
    return Handover(session)  # type: ignore[arg-type]


def test_one_slice_is_handed_over_at_once_and_many_one_after_the_other(
    handed: Handover, session: Session, qtbot: QtBot
) -> None:
    handed.add([3])
    assert list(session.states) == [3]
    handed.add(range(6))
    assert len(session.received) == 2
    qtbot.waitUntil(lambda: len(session.received) == 7)
    assert set(session.states.values()) == {SliceState.BACKGROUND_ONLY}


def test_a_slice_is_handed_over_as_it_is_when_its_turn_comes(
    handed: Handover, session: Session, document: AnnotationDocument, qtbot: QtBot
) -> None:
    handed.add(range(6))
    document.undo()
    assert document.state(5) is SliceState.UNLABELLED
    handed.add([5])
    qtbot.waitUntil(lambda: len(session.received) == 6)
    assert session.states[5] is SliceState.UNLABELLED


def test_nothing_more_is_handed_to_a_session_of_other_work(handed: Handover, session: Session, qtbot: QtBot) -> None:
    handed.add(range(6))
    session.work = None
    qtbot.wait(50)
    assert list(session.states) == [0]
