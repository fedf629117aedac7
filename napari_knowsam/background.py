"""Work that takes minutes, in a thread beside the window, with a small window that shows how far it is."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from knowsam.errors import KnowSAMError
from napari_knowsam.panels.progress_window import ProgressWindow, ask_to_end
from napari_knowsam.status_messages import BUSY
from napari_knowsam.training_worker import leave_a_core, lower_priority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_knowsam.panels.result_panel import ResultPanel
    from napari_knowsam.training_controller import TrainingController

_BUSY_BESIDE = (
    "Something goes on beside the window already. Wait for it, or stop it in the small window at the lower left."
)

_POLL_MS = 100


class Work(ABC):
    """A piece of work.

    Parameters
    ----------
    title : its name for the user.
    beginning : its first activity.

    Attributes
    ----------
    progress : the present activity, and the share of the whole that is done, in [0, 1].
    """

    def __init__(self, title: str, beginning: str) -> None:
        self.title = title
        self.progress = (beginning, 0.0)
        self._stopping = threading.Event()

    @abstractmethod
    def run(self) -> Iterator[str]:
        """Do it, in a thread, and return a sentence on the result; may raise a KnowSAMError."""

    def stop(self) -> None:
        """End it soon, from any thread; finished parts are kept."""
        self._stopping.set()

    @property
    def is_stopping(self) -> bool:
        """Whether it has to end."""
        return self._stopping.is_set()

    def check(self) -> None:
        """Break off if the work has to end.

        Raises
        ------
        Interrupted
            If it is.
        """
        if self.is_stopping:
            # Imported here, since the window needs no torch until something is computed.
            from knowsam.training.interruption import Interrupted

            raise Interrupted


class Background(QObject):
    """Does one work at a time; its small window stays until somebody has read the result.

    Attributes
    ----------
    work : the present one, if any.
    window : shows the last work; None before there was one.
    """

    def __init__(self, controller: TrainingController, result: ResultPanel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._controller, self._result = controller, result
        self.work: Work | None = None
        self.window: ProgressWindow | None = None
        self._sentence = ""
        self._outcomes: SimpleQueue[str | Exception | None] = SimpleQueue()
        self._polling = QTimer(self)
        self._polling.setInterval(_POLL_MS)
        self._polling.timeout.connect(self._poll)

    @property
    def has_to_ask(self) -> bool:
        """Whether closing would end a work early."""
        return self.work is not None

    def may_close(self) -> bool:
        """Ask whether the work may end early; it continues meanwhile."""
        return self.work is None or ask_to_end(self._result, self.work.title)

    def begin(self, prepare: Callable[[], Work | None]) -> None:
        """Do the prepared work, or show in the panel why it cannot begin.

        Parameters
        ----------
        prepare : returns the work, or None if the user cancels; may raise a KnowSAMError.
        """
        busy = BUSY if self._controller.is_busy else _BUSY_BESIDE if self.work is not None else ""
        self._result.set_message(busy)
        if busy:
            return
        try:
            work = prepare()
        except KnowSAMError as error:
            self._result.set_message(str(error))
        else:
            if work is not None:
                self._begin(work)

    def _begin(self, work: Work) -> None:
        if self.window is not None:
            self.window.close()
        self._sentence, self._outcomes = "", SimpleQueue()
        self.work, self.window = work, ProgressWindow(work.title, self._result)
        self.window.stop_requested.connect(work.stop)
        self.window.show()
        self._polling.start()
        threading.Thread(target=_do, args=(work, self._outcomes), name=work.title).start()

    def close(self) -> None:
        """End the work, which keeps finished parts, and let go of its window."""
        self._polling.stop()
        if self.work is not None:
            self.work.stop()
        if self.window is not None:
            self.window.end("")
        self.work = self.window = None

    def _poll(self) -> None:
        while self.work is not None and self.window is not None:
            try:
                outcome = self._outcomes.get_nowait()
            except Empty:
                self.window.show_progress(*self.work.progress)
                return
            if outcome is None:
                self._polling.stop()
                self.work = None
                self.window.end(self._sentence)
                self._result.bar.take_back(_BUSY_BESIDE)
            else:
                self._sentence = outcome if isinstance(outcome, str) else _in_words(outcome)


def _do(work: Work, outcomes: SimpleQueue[str | Exception | None]) -> None:
    lower_priority()
    try:
        leave_a_core()
        for sentence in work.run():
            outcomes.put(sentence)
    except Exception as error:  # noqa: BLE001 - whatever it is, the window says it
        outcomes.put(error)
    finally:
        outcomes.put(None)


def _in_words(error: Exception) -> str:
    return str(error) if isinstance(error, KnowSAMError) else f"It ended with an unexpected error: {error!r}."
