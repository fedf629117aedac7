"""What is urgent breaks off work, and nobody who paints keeps it from ever being finished."""

from __future__ import annotations

import numpy as np
import pytest

from knowsam.data.annotation import LabelSlice
from knowsam.training.events import Message, Pause, Resume, SliceAnnotated, Stop, Watch
from knowsam.training.interruption import Interrupted, Interruption
from knowsam.training.mailbox import Mailbox

PAINTED = SliceAnnotated(LabelSlice(0, 3, np.ones((4, 4), np.uint8)))


@pytest.fixture
def interruption() -> Interruption:
    return Interruption()


@pytest.fixture
def mailbox(interruption: Interruption) -> Mailbox:
    return Mailbox(interruption)


def breaks_off(mailbox: Mailbox, interruption: Interruption, message: Message) -> bool:
    mailbox.put(message)
    try:
        interruption.check()
    except Interrupted:
        return True
    finally:
        mailbox.heed()
    return False


@pytest.mark.parametrize(
    ("message", "expected"), [(Pause(), True), (Stop(), True), (Resume(), False), (Watch(3), False), (PAINTED, False)]
)
def test_pause_and_stop_are_urgent(
    mailbox: Mailbox, interruption: Interruption, message: Message, expected: bool
) -> None:
    assert breaks_off(mailbox, interruption, message) is expected
    assert mailbox.get() is message


def test_what_is_painted_is_urgent_once_for_each_time_it_is_allowed(
    mailbox: Mailbox, interruption: Interruption
) -> None:
    found = []
    for _ in range(2):
        mailbox.labels_interrupt = True
        found += [breaks_off(mailbox, interruption, PAINTED) for _ in range(3)]
    assert found == 2 * [True, False, False]


def test_a_stop_is_urgent_until_it_is_read_whatever_lies_before_it(
    mailbox: Mailbox, interruption: Interruption
) -> None:
    for message in (PAINTED, Watch(3), Stop()):
        mailbox.put(message)
    for _ in range(2):
        mailbox.get()
        with pytest.raises(Interrupted):
            interruption.check()
    assert mailbox.get() == Stop()
    interruption.check()
