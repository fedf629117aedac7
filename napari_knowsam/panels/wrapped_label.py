"""A sentence of as many lines as it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QWidget

if TYPE_CHECKING:
    from qtpy.QtCore import QEvent
    from qtpy.QtGui import QResizeEvent


class WrappedLabel(QLabel):
    """A label that wraps its words and insists on the room for all of its lines.

    Qt's own takes too few of them as enough inside a scroll area, and cuts off what stands beside it, too.
    """

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setWordWrap(True)

    def setText(self, text: str | None) -> None:
        """Say something else."""
        super().setText(text)
        self._insist()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Need other room at another width."""
        super().resizeEvent(event)
        self._insist()

    def changeEvent(self, event: QEvent | None) -> None:
        """Need other room in another font."""
        super().changeEvent(event)
        self._insist()

    def _insist(self) -> None:
        needed_px = self.heightForWidth(self.width()) if self.text() else 0
        if needed_px != self.minimumHeight():
            self.setMinimumHeight(max(needed_px, 0))
