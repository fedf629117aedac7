"""The background thread a session runs in: at low priority, so that the window stays smooth, and never in the way."""

from __future__ import annotations

import atexit
import logging
import math
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar
from weakref import WeakSet

from knowsam.errors import KnowSAMError, TrainingError
from knowsam.training.events import Downloading, Stop, Validated
from napari_knowsam.torch_loading import load_torch

if TYPE_CHECKING:
    from knowsam.models.download import Progress
    from knowsam.training.continuation import Continuation
    from knowsam.training.display import Display
    from knowsam.training.events import Event, Message
    from knowsam.training.propagation_session import PropagationSession
    from knowsam.training.session import TrainingSession

logger = logging.getLogger(__name__)

THREAD = "KnowSAM training"
"""Name of every thread of a session."""

_NICENESS = 10
"""Chosen by `benchmarks/gui_latency.py`: what makes a window stutter is competition for cores, not the GIL."""

_REPORT_EVERY_S = 0.5
_KEEP_EVERY_S = 60.0
"""Writing the 100 MB of what was learnt takes about half a second, in another thread."""


_LONGEST_EXIT_S = 5.0

_threads: WeakSet[threading.Thread] = WeakSet()


@atexit.register
def _let_threads_end() -> None:
    """Give threads that were asked to stop the time to; torch aborts a program that ends while one still computes."""
    latest = time.monotonic() + _LONGEST_EXIT_S
    for thread in tuple(_threads):
        if thread.is_alive():
            thread.join(max(latest - time.monotonic(), 0.0))


class Session(Protocol):
    """A session as a worker runs it: a generator of events with a mailbox."""

    @property
    def display(self) -> Display | None:
        """What it shows; None before there is anything."""

    def submit(self, message: Message) -> None:
        """Leave a message; returns at once."""

    def run(self) -> Iterator[Event]:
        """Yield events."""


S = TypeVar("S", bound=Session)


class SessionWorker(Generic[S]):
    """Runs one session in a thread; `take` fetches its events.

    It knows no Qt: an object of Qt that is deleted while another thread emits its signal takes the program with it.

    Parameters
    ----------
    make_session : called in the thread, since it imports torch and may load or download weights.
    """

    def __init__(self, make_session: Callable[[], S]) -> None:
        self._session: S | None = None
        self._outcomes: queue.SimpleQueue[Event | Exception] = queue.SimpleQueue()
        self._waiting: list[Message] = []
        self._lock = threading.Lock()
        # A daemon: whatever it does, it never keeps a closed napari alive for long. What makes the session often refers
        # to this worker; the thread forgets it when it ends, so that the networks are freed with the worker.
        self._thread = threading.Thread(target=self._run, args=(make_session,), name=THREAD, daemon=True)

    def start(self) -> None:
        """Begin."""
        _threads.add(self._thread)
        self._thread.start()

    def submit(self, message: Message) -> None:
        """Leave a message for the session, also before there is one; returns at once."""
        with self._lock:
            if self._session is None:
                self._waiting.append(message)
            else:
                self._session.submit(message)

    def take(self) -> Iterator[Event | Exception]:
        """Yield what is new since the last call: events, and last of all the error that ended the session."""
        # No more than there are now: a fast training would never let the window go.
        for _ in range(self._outcomes.qsize()):
            yield self._outcomes.get()

    @property
    def has_session(self) -> bool:
        """Whether the session is made."""
        return self._session is not None

    @property
    def display(self) -> Display | None:
        """What the session shows; None unless networks have a part in it, without which it is as quickly made anew."""
        display = None if self._session is None else self._session.display
        return display if display is not None and display.has_learnt else None

    @property
    def is_done(self) -> bool:
        """Whether the thread has ended; after that, no more events come."""
        return not self._thread.is_alive()

    def wait(self, seconds: float) -> bool:
        """Wait for the thread to end; return whether it has."""
        if self._thread.ident is not None:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self, make_session: Callable[[], S]) -> None:
        try:
            lower_priority()
            session = self._open_session(make_session)
            for event in session.run():
                self._outcomes.put(event)
                self._heed(event)
        except KnowSAMError as error:
            self._outcomes.put(error)
        except Exception as error:  # whatever it is, the window shows it
            logger.exception("Training ended with an unexpected error.")
            self._outcomes.put(error)
        finally:
            if self._session is not None:
                self._conclude(self._session)

    def _heed(self, event: Event) -> None:
        """Handle an event in the thread."""

    def _conclude(self, session: S) -> None:
        """Clean up in the thread when it ends, however it ends."""

    @property
    def _is_stopped_early(self) -> bool:
        """Whether it has to end before the session is made."""
        with self._lock:
            return any(isinstance(message, Stop) for message in self._waiting)

    def _open_session(self, make_session: Callable[[], S]) -> S:
        session = make_session()
        with self._lock:
            self._session = session
            for message in self._waiting:
                session.submit(message)
        return session


class ProposalWorker(SessionWorker["PropagationSession"]):
    """Runs a session that begins with finished volumes, whose reading it breaks off when it is to end.

    Parameters
    ----------
    make_session : see `SessionWorker`; called with a check to call before it reads a volume.
    """

    def __init__(self, make_session: Callable[[Callable[[], None]], PropagationSession]) -> None:
        super().__init__(lambda: make_session(self._check))

    def _check(self) -> None:
        if self._is_stopped_early:
            raise TrainingError("It was stopped while finished volumes were read. Ask for a proposal again.")


class TrainingWorker(SessionWorker["TrainingSession"]):
    """Runs a training session and keeps its continuation.

    Parameters
    ----------
    make_session : see `SessionWorker`; called with the `Progress` of a download.
    keep : called in the thread with the continuation, regularly and when the thread ends; returns at once.

    Attributes
    ----------
    learnt : once the thread has ended, however it ended, what the next training goes on from; None if nothing was.
    """

    def __init__(
        self,
        make_session: Callable[[Progress], TrainingSession],
        keep: Callable[[Continuation], None] = lambda _: None,
    ) -> None:
        super().__init__(lambda: make_session(self._on_download))
        self._reported_at = -math.inf
        self.learnt: Continuation | None = None
        self._keep = keep
        self._kept_at = -math.inf

    def _on_download(self, arrived: int, size: int) -> None:
        """Report the progress of a download, and break it off if the training was stopped."""
        if self._is_stopped_early:
            raise TrainingError("Training was stopped while weights were downloaded. Train again.")
        if time.monotonic() > self._reported_at + _REPORT_EVERY_S:
            self._reported_at = time.monotonic()
            self._outcomes.put(Downloading(arrived, size))

    def _heed(self, event: Event) -> None:
        if isinstance(event, Validated) and time.monotonic() > self._kept_at + _KEEP_EVERY_S and self._session:
            self._save(self._session.continuation())

    def _conclude(self, session: TrainingSession) -> None:
        """Copy the weights in the thread, since that would hold up the window."""
        if session.students is None:
            return
        try:
            continuation = session.continuation()
        except Exception:  # a device that has failed keeps its weights
            logger.exception("What was learnt could not be kept.")
            return
        if continuation.model.steps:
            self.learnt = continuation
            self._save(continuation)

    def _save(self, continuation: Continuation) -> None:
        self._kept_at = time.monotonic()
        self._keep(continuation)


def lower_priority() -> None:
    """Let the thread that calls, and the threads torch starts from it, give way to all others where the system can."""
    if sys.platform == "linux":
        # On Linux, each thread has a niceness of its own; elsewhere this would slow down the window too.
        thread = threading.get_native_id()
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, thread, max(_NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))


def leave_a_core() -> None:
    """Load torch and let it compute on all processors but one in the calling thread: the last one is the window's.

    Layers as small as these gain little from the last processor, and wait for it wherever something else has it.
    """
    load_torch()
    import torch

    torch.set_num_threads(max(1, min(torch.get_num_threads(), (os.cpu_count() or 2) - 1)))
