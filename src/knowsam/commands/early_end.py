"""Signals that end work early and keep its results."""

from __future__ import annotations

import signal
from collections.abc import Callable
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING

from knowsam.training.processes import ENDING_SIGNALS

if TYPE_CHECKING:
    from types import FrameType

ENDING_SENTENCE = "Finishing with what was learnt so far; press Ctrl-C again to abort."

_ECHO_S = 1.0
"""A closed terminal sends its signal more than once, within this time."""


class EarlyEnd:
    """Within its `with` block, the first signal asks for an early end; a second one aborts.

    Parameters
    ----------
    ask : called once, in a thread of its own.
    """

    def __init__(self, ask: Callable[[], None]) -> None:
        self._ask = ask
        self._interrupted_at: float | None = None
        self._asking: Thread | None = None

    @property
    def is_asked(self) -> bool:
        """Whether a signal has asked for an early end."""
        return self._interrupted_at is not None

    def __enter__(self) -> EarlyEnd:
        """Install the handlers."""
        # Under nohup, and in the background of a script, some signals are ignored and must stay so.
        caught = [number for number in ENDING_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        self._previous = {number: signal.signal(number, self._on_signal) for number in caught}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore_signals()
        if self._asking is not None:
            self._asking.join()

    def _restore_signals(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._interrupted_at is None:
            self._interrupted_at = monotonic()
            # Not here: the interrupted code may hold the lock of a mailbox or be writing.
            self._asking = Thread(target=self._ask)
            self._asking.start()
        elif number in (signal.SIGINT, signal.SIGTERM) or monotonic() - self._interrupted_at > _ECHO_S:
            self._restore_signals()
            signal.raise_signal(number)
