"""Asks before somebody closes the window or the panel; a program that closes them is never asked."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol
from weakref import ref

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QMainWindow

if TYPE_CHECKING:
    from qtpy.QtWidgets import QDockWidget


class Reason(Protocol):
    """A reason to ask before closing: an unsaved model, or unfinished work."""

    @property
    def has_to_ask(self) -> bool:
        """Whether anything would be lost, or not be finished."""

    def may_close(self) -> bool:
        """Ask; return whether closing may continue."""


class ClosingGuard(QObject):
    """Stands between a person who closes something and napari.

    A click on the cross of the window is an event from outside; the menu and its keys call `close` of napari's window
    with `confirm_need`; a click on the cross of the dock calls its `destroyOnClose`. `viewer.close()` and
    `remove_dock_widget` do none of that. After our question, napari's own is not asked.
    """

    def __init__(self, *reasons: Reason) -> None:
        super().__init__()
        self._reasons = reasons
        # They own this, as their attributes.
        self._dock: Callable[[], Any] = lambda: None
        self._window: Callable[[], Any] = lambda: None

    def watch(self, dock: QDockWidget) -> None:
        """Ask before a dock of napari, or the window it belongs to, is closed."""
        closable: Any = dock
        window: Any = dock.parent()
        if not hasattr(dock, "destroyOnClose") or not isinstance(window, QMainWindow):
            return
        self._dock, self._window = ref(dock), ref(window)
        closable.destroyOnClose = self._close_dock
        window.close = self._close_window
        window.installEventFilter(self)

    def release(self) -> None:
        """Ask no more."""
        window = self._window()
        # What napari itself defines comes to light again.
        for owner, name in ((self._dock(), "destroyOnClose"), (window, "close")):
            if owner is not None:
                vars(owner).pop(name, None)
        if window is not None:
            # Qt may have deleted it before.
            with suppress(RuntimeError):
                window.removeEventFilter(self)

    def eventFilter(self, _watched: QObject | None, event: QEvent | None) -> bool:
        """Ask before a click on the cross of the window closes it."""
        is_click = event is not None and event.type() == QEvent.Type.Close and event.spontaneous()
        if event is None or not is_click or not self._has_to_ask:
            return False
        event.ignore()
        if self._may_close():
            # While a window is being closed, Qt lets nobody close it.
            QTimer.singleShot(0, self._close_window)
        return True

    def _close_window(self, quit_app: bool = False, confirm_need: bool = False) -> None:
        """Close as napari does, without its question if ours was answered."""
        window = self._window()
        if confirm_need and self._has_to_ask:
            if not self._may_close():
                return
            confirm_need = False
        if window is not None:
            type(window).close(window, quit_app, confirm_need)

    def _close_dock(self) -> None:
        dock = self._dock()
        if dock is not None and self._may_close():
            type(dock).destroyOnClose(dock)

    @property
    def _has_to_ask(self) -> bool:
        return any(reason.has_to_ask for reason in self._reasons)

    def _may_close(self) -> bool:
        """Ask for each reason there is, until one answer is no."""
        return all(reason.may_close() for reason in self._reasons if reason.has_to_ask)
