"""Opening of a file or folder in a thread, with a progress bar, while the window stays usable."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from napari.utils.progress import cancelable_progress
from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QApplication, QProgressDialog, QWidget

from knowsam.errors import MissingValuesError
from knowsam.io.image import image_choices
from napari_knowsam.choice_dialog import ask_choice
from napari_knowsam.error_messages import errors_shown
from napari_knowsam.missing_values import are_background

if TYPE_CHECKING:
    from knowsam.data.volume import Volume
    from knowsam.io.choice import ImageChoice

_SHOWN_AFTER_MS, _RENEWED_EVERY_MS = 400, 100


class OpeningCancelledError(Exception):
    """The user cancelled the opening of a folder."""


class Opening(QObject):
    """Reads an image in a thread and asks which one if there are several; the window can be used meanwhile.

    Parameters
    ----------
    opened : takes the image, and the description by which it was chosen.
    window : over which the bar is shown.
    pick : the description of the image, if it was chosen before.
    """

    def __init__(
        self, path: Path, opened: Callable[[Volume, str], None], window: QWidget | None, pick: str = ""
    ) -> None:
        super().__init__(window or QApplication.instance())
        # Qt may delete this while the thread goes on, which therefore knows nothing of it.
        self._progress = _Progress()
        self._opened, self._pick = opened, pick
        self._bar = _bar(window)
        self._bar.canceled.connect(self._progress.stop)
        self.destroyed.connect(self._progress.stop)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._show_progress)
        self._timer.start(_RENEWED_EVERY_MS)
        # A value that is set would bring the bar back.
        self._bar.canceled.connect(self._timer.stop)
        self._start(partial(image_choices, path, self._progress.tracked), self._ask)

    def _start(
        self, work: Callable[[], Any], then: Callable[[Any], None], fail: Callable[[Exception], None] | None = None
    ) -> None:
        create_worker(work, _ignore_errors=True, _connect={"returned": then, "errored": fail or self._fail})

    def _show_progress(self) -> None:
        self._bar.setMaximum(self._progress.total)
        self._bar.setValue(self._progress.done)

    def _ask(self, choices: Sequence[ImageChoice]) -> None:
        self._timer.stop()
        self._bar.reset()
        if self._progress.is_stopped:
            self._end()
            return
        choice = None
        with errors_shown():
            known = [one for one in choices if one.description == self._pick]
            choice = known[0] if len(known) == 1 else ask_choice(choices)
        # While it is asked, the window may be closed, and this goes with it.
        if not self._progress.is_stopped:
            self._read(choice)

    def _read(self, choice: ImageChoice | None) -> None:
        if choice is None:
            self._end()
            return
        self._bar.setLabelText("Reading the image...")
        self._bar.setMaximum(0)
        self._bar.setValue(0)
        self._start(choice.read, partial(self._hand_on, choice.description), partial(self._read_filled, choice))

    def _read_filled(self, choice: ImageChoice, error: Exception) -> None:
        """Read the image with voxels that have no value as background, if it failed by these and a person agrees."""
        if self._progress.is_stopped or choice.read_filled is None or not isinstance(error, MissingValuesError):
            self._fail(error)
            return
        self._bar.reset()
        is_agreed = are_background(error)
        # While it is asked, the window may be closed, and this goes with it.
        if self._progress.is_stopped:
            return
        if is_agreed:
            self._start(choice.read_filled, partial(self._hand_on, choice.description))
        else:
            self._end()

    def _hand_on(self, description: str, volume: Volume) -> None:
        self._end()
        if not self._progress.is_stopped:
            with errors_shown():
                self._opened(volume, description)

    def _fail(self, error: Exception) -> None:
        self._end()
        with errors_shown(), suppress(OpeningCancelledError):
            raise error

    def _end(self) -> None:
        self._bar.reset()
        self._bar.deleteLater()
        self.deleteLater()


class _Progress:
    """The progress of a thread, and whether it has to stop."""

    def __init__(self) -> None:
        self.done, self.total = 0, 0
        self._stopped = threading.Event()

    @property
    def is_stopped(self) -> bool:
        return self._stopped.is_set()

    def stop(self) -> None:
        self._stopped.set()

    def tracked(self, files: Sequence[Path]) -> Iterator[Path]:
        self.total = len(files)
        for self.done, file in enumerate(files):
            if self.is_stopped:
                raise OpeningCancelledError
            yield file


def _bar(window: QWidget | None) -> QProgressDialog:
    bar = QProgressDialog("Looking for images...", "Cancel", 0, 0, window)
    bar.setWindowTitle("Open image")
    bar.setMinimumDuration(_SHOWN_AFTER_MS)
    return bar


def tracked_in_activity(files: Sequence[Path]) -> Iterator[Path]:
    """Pass files on and show the progress among the activities of napari, which can be cancelled there.

    Raises
    ------
    OpeningCancelledError
        If it was.
    """
    with cancelable_progress(files, desc="Looking for images") as bar:
        yield from bar
        if bar.is_canceled:
            raise OpeningCancelledError
