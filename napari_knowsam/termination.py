"""Actions before a signal ends napari, as from a scheduler, a closed terminal or the end of a session."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

if TYPE_CHECKING:
    from types import FrameType

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


def before_termination(do: Callable[[], object]) -> None:
    """Call a bound method, as long as its object lives, when a signal is about to end the program."""
    if threading.current_thread() is not threading.main_thread():
        return
    method = WeakMethod(do)
    for number in _SIGNALS:
        previous = signal.getsignal(number)
        if previous is signal.SIG_DFL or callable(previous):
            signal.signal(number, _handler(method, previous))


def _handler(method: WeakMethod[Callable[[], object]], previous: Any) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, _frame: FrameType | None) -> None:
        try:
            if (do := method()) is not None:
                do()
        finally:
            signal.signal(number, previous)
            signal.raise_signal(number)

    return handle
