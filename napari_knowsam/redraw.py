"""Drawing a layer anew after slices of it were written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_knowsam.slice_view import SliceView

_INTERVAL_3D_MS = 1000


class Redraw(QObject):
    """Draws one layer where a written slice is on the screen; a rendered volume once a second at most.

    Parameters
    ----------
    around : entered while the layer is drawn, which emits events as if somebody had painted.
    """

    def __init__(
        self,
        layer: Layer,
        view: SliceView,
        parent: QObject,
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        super().__init__(parent)
        self.layer, self._view, self._around = layer, view, around
        self._due = QTimer(self)
        self._due.setSingleShot(True)
        self._due.setInterval(_INTERVAL_3D_MS)
        self._due.timeout.connect(self.now)

    def slices(self, indices: Iterable[int]) -> None:
        """Draw slices, if any of them can be seen."""
        if not any(self._view.shows(index) for index in indices):
            return
        if not self._view.is_3d:
            self.now()
        elif not self._due.isActive():
            self._due.start()

    def now(self) -> None:
        """Draw the whole layer."""
        with self._around():
            self.layer.refresh(extent=False, thumbnail=False, highlight=False)

    def close(self) -> None:
        """Let go of the layer."""
        self._due.stop()
        self.deleteLater()
