"""Where messages to a session wait, and how the urgent ones break off what is going on."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

from knowsam.training.events import Message, Pause, SliceAnnotated, Stop
from knowsam.training.processes import Processes

if TYPE_CHECKING:
    from knowsam.training.interruption import Interruption


class Mailbox:
    """Messages in the order they were sent, from any thread; pause and stop are urgent.

    Parameters
    ----------
    processes : that train together; all read what was sent to the first one. By default there is but this one.

    Attributes
    ----------
    labels_interrupt : whether the next annotation is urgent too. Those after it are not until this is set again, so
        that somebody who paints all the time does not keep work from ever being finished.
    """

    def __init__(self, interruption: Interruption, processes: Processes | None = None) -> None:
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._interruption, self._processes = interruption, processes or Processes()
        self._putting = threading.Lock()
        self._urgent = 0
        self.labels_interrupt = False

    def put(self, message: Message) -> None:
        """Leave a message; returns at once."""
        with self._putting:
            self._messages.put(message)
            is_label = self.labels_interrupt and isinstance(message, SliceAnnotated)
            self._urgent += isinstance(message, (Pause, Stop))
            if is_label or isinstance(message, (Pause, Stop)):
                self.labels_interrupt = False
                self._interruption.request()

    def get(self) -> Message:
        """Take the next message, wait for one if there is none."""
        message = self._processes.first_decides(self._take)
        self.heed()
        return message

    def _take(self) -> Message:
        message = self._messages.get()
        with self._putting:
            self._urgent -= isinstance(message, (Pause, Stop))
        return message

    def heed(self) -> None:
        """Let interrupted work go on, unless a pause or stop still waits behind other messages."""
        with self._putting:
            if not self._urgent:
                self._interruption.clear()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to read."""
        return self._processes.first_decides(self._messages.empty)
