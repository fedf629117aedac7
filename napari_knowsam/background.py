"""Work that takes minutes, in a thread beside the window, with a small window that shows how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, QTimer

from knowsam.errors import KnowSAMError
from napari_knowsam.panels.progress_window import ProgressWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qtpy.QtWidgets import QWidget

_SHOWN_EVERY_MS = 200


class Work(Protocol):
    """What is to be done.

    Attributes
    ----------
    title : what it is, in words.
    progress : what goes on now, and how much of all is done, in [0, 1].
    """

    title: str
    progress: tuple[str, float]

    def run(self) -> Iterator[str]:
        """Do it, in a thread, and say what came of it; may raise a KnowSAMError."""

    def stop(self) -> None:
        """End it soon, from any thread."""


class Background(QObject):
    """Does one work at a time.

    Parameters
    ----------
    say : shows a sentence.
    """

    def __init__(self, say: Callable[[str], object], widget: QWidget, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._say, self._widget = say, widget
        self.work: Work | None = None
        self.window: ProgressWindow | None = None
        self._watching = QTimer(self)
        self._watching.setInterval(_SHOWN_EVERY_MS)
        self._watching.timeout.connect(self._show)

    @property
    def is_busy(self) -> bool:
        """Whether a work goes on."""
        return self.work is not None

    def begin(self, work: Work) -> None:
        """Do a work; another one must not go on."""
        self._say("")
        self.work, self.window = work, ProgressWindow(work.title, self._widget)
        self.window.canceled.connect(work.stop)
        self._watching.start()
        connect = {"yielded": self._say, "errored": self._on_failed, "finished": self._on_ended}
        create_worker(work.run, _ignore_errors=True, _connect=connect)

    def close(self) -> None:
        """End the work; what is done by then is kept."""
        if self.work is not None:
            self.work.stop()

    def _show(self) -> None:
        if self.window is not None and self.work is not None:
            self.window.show_progress(*self.work.progress)

    def _on_failed(self, error: Exception) -> None:
        self._say(str(error) if isinstance(error, KnowSAMError) else f"It ended with an unexpected error: {error!r}.")

    def _on_ended(self) -> None:
        self._watching.stop()
        if self.window is not None:
            self.window.close()
        self.work = self.window = None
