"""The words beside the bars of the slice strip."""

from __future__ import annotations

from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QFontMetrics, QPainter, QPaintEvent, QPalette
from qtpy.QtWidgets import QSizePolicy, QWidget

from knowsam.data.annotation import SliceState
from napari_knowsam.panels.slice_looks import SLICE_LOOKS
from napari_knowsam.panels.slice_strip import UNCERTAIN_COLOR, draw_diamond
from napari_knowsam.panels.small_font import small_font

_CORRECTED, _OUTLINED, _UNCERTAIN = "corrected", "outlined", "uncertain"
_ENTRIES: tuple[tuple[SliceState | None, str], ...] = (
    (SliceState.COMPLETE, "complete"),
    (SliceState.PARTIAL, "partly"),
    (SliceState.BACKGROUND_ONLY, "empty"),
    (None, _CORRECTED),
    (None, _OUTLINED),
    (None, _UNCERTAIN),
)
_BAR_PX = 5
_GAP_PX = 4


class SliceLegend(QWidget):
    """One line: each bar of the strip in its colour and height, and its word."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Return the preferred size."""
        return QSize(200, QFontMetrics(small_font(self)).height() + 2)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the entries from left to right, evenly spread."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(small_font(self))
        metrics = QFontMetrics(painter.font())
        widths_px = [_BAR_PX + _GAP_PX + metrics.horizontalAdvance(word) for _, word in _ENTRIES]
        space_px = min(max((self.width() - sum(widths_px)) / (len(_ENTRIES) - 1), _GAP_PX), 16)
        left_px = 0.0
        for (state, word), width_px in zip(_ENTRIES, widths_px, strict=True):
            self._draw_entry(painter, left_px, state, word)
            left_px += width_px + space_px
        painter.end()

    def _draw_entry(self, painter: QPainter, left_px: float, state: SliceState | None, word: str) -> None:
        text_color = self.palette().color(QPalette.ColorRole.WindowText)
        room_px = self.height() - 4
        if word == _UNCERTAIN:
            painter.fillRect(QRectF(left_px, 2 + room_px / 2, _BAR_PX, room_px / 2), UNCERTAIN_COLOR)
        elif state is None:
            draw_diamond(painter, left_px + _BAR_PX / 2, self.height() / 2, text_color, is_filled=word == _CORRECTED)
        else:
            look = SLICE_LOOKS[state]
            height_px = look.height * room_px
            painter.fillRect(QRectF(left_px, 2 + room_px - height_px, _BAR_PX, height_px), look.brush())
        painter.setPen(text_color)
        text_area = QRectF(left_px + _BAR_PX + _GAP_PX, 0, self.width(), self.height())
        painter.drawText(text_area, int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft), word)
