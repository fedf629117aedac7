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
        if event is not None and event.oldSize().width() != event.size().width():
            self._insist()

    def changeEvent(self, event: QEvent | None) -> None:
        """Need other room in another font."""
        super().changeEvent(event)
        self._insist()

    def _insist(self) -> None:
        # Qt takes no less for needed than what was insisted on before.
        self.setMinimumHeight(0)
        if self.text():
            self.setMinimumHeight(max(self.heightForWidth(self.width()), 0))
