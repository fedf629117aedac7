"""Noticing that a person has painted on a labels layer, and in which slices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_knowsam.slice_view import SliceView

DEBOUNCE_MS = 250


class LayerEdits(QObject):
    """Collects the slices of one layer in which something may have changed; what did is for others to compare.

    Parameters
    ----------
    axis : working axis the slices are stacked along.
    """

    due = Signal()
    """Something may have changed a moment ago; `take` says where."""

    def __init__(self, layer: Labels, axis: int, view: SliceView, parent: QObject) -> None:
        super().__init__(parent)
        self._layer = layer
        self._axis = axis
        self._view = view
        self._pending: set[int] = set()
        # napari's own undo reaches back to the last slice change, and says not what it changed.
        self._painted_here: set[int] = set()
        self._is_own = False
        self._is_pressed = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DEBOUNCE_MS)
        self._timer.timeout.connect(self.due)
        events = layer.events
        self._connections = [
            (events.paint, self._on_paint),
            (events.set_data, self._on_set_data),
            (events.data, self._on_data),
        ]
        for emitter, slot in self._connections:
            emitter.connect(slot)
        layer.mouse_drag_callbacks.append(self._on_drag)

    @property
    def is_pressed(self) -> bool:
        """Whether a stroke is being painted."""
        return self._is_pressed

    def take(self) -> set[int]:
        """Return the indices of the slices to compare, and start anew."""
        self._timer.stop()
        taken, self._pending = self._pending, set()
        return taken

    def end_strokes(self) -> None:
        """Note that another slice came on the screen."""
        self._painted_here.clear()
        self._is_pressed = False

    @contextmanager
    def own_changes(self) -> Iterator[None]:
        """Take no notice of what the plugin itself does to the layer."""
        before, self._is_own = self._is_own, True
        try:
            yield
        finally:
            self._is_own = before

    def close(self) -> None:
        """Let go of the layer."""
        self._timer.stop()
        for emitter, slot in self._connections:
            emitter.disconnect(slot)
        self._connections.clear()
        if self._on_drag in self._layer.mouse_drag_callbacks:
            self._layer.mouse_drag_callbacks.remove(self._on_drag)

    def _on_paint(self, event: Any) -> None:
        painted = set().union(*(self._slices_of(atom) for atom in event.value))
        self._painted_here |= painted
        self._note(painted)

    def _on_set_data(self) -> None:
        shown = set() if self._view.is_across else {self._view.index}
        self._note(shown | self._painted_here)

    def _on_data(self) -> None:
        self._note(set(range(self._layer.data.shape[self._axis])))

    def _note(self, indices: set[int]) -> None:
        if self._is_own or not indices:
            return
        self._pending |= indices
        # Never put off: a layer that is refreshed all the time would never be looked at.
        if not self._timer.isActive():
            self._timer.start()

    def _slices_of(self, atom: Any) -> set[int]:
        """Return where one piece of a stroke lies; napari 0.9 keeps a box of it, or like earlier ones its points."""
        where = (atom.slice_key if hasattr(atom, "slice_key") else atom[0])[self._axis]
        if isinstance(where, slice):
            return set(range(where.start, where.stop))
        return set(np.unique(where).tolist())

    def _on_drag(self, layer: Labels, event: Any) -> Iterator[None]:
        self._is_pressed = True
        yield
        while event.type == "mouse_move":
            yield
        self._is_pressed = False
        # napari may end the stroke only after this; the layer may have been let go during it.
        if self._connections:
            self._timer.start()
