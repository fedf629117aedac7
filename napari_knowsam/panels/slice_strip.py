"""A strip with one thin bar for each slice: where one has painted, what is probably wrong, and where one is."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QHelpEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPalette, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from knowsam.data.annotation import SliceState
from knowsam.data.slice_number import slice_number
from napari_knowsam.panels.slice_looks import SLICE_LOOKS, described

_HEIGHT_PX = 40
_GUTTER_PX = 7
_THINNEST_BAR_PX = 2
_SNAP_PX = 3
_FULL_SHARE = 0.3
"""A bar of what may be wrong fills the strip at this share."""

_LEAST_SHARE = 0.005
UNCERTAIN_COLOR = QColor(226, 84, 76, 150)
_STEPS = {
    Qt.Key.Key_Left: -1,
    Qt.Key.Key_Right: 1,
    Qt.Key.Key_PageUp: -10,
    Qt.Key.Key_PageDown: 10,
    Qt.Key.Key_Home: -1_000_000,
    Qt.Key.Key_End: 1_000_000,
}


class SliceStrip(QWidget):
    """All slices of a volume side by side; a click or a drag goes to one, preferably to an annotated one."""

    slice_requested = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._states: tuple[SliceState, ...] = ()
        self._corrected: frozenset[int] = frozenset()
        self._unconfirmed: frozenset[int] = frozenset()
        self._wrong_shares: tuple[float, ...] = ()
        self._current = 0
        self.setAccessibleName("Slices")
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def set_slices(
        self, states: Sequence[SliceState], corrected: Collection[int], unconfirmed: Collection[int]
    ) -> None:
        """Show the state of every slice, which were corrected, and in which an outline of SAM is to be confirmed."""
        self._states, self._unconfirmed = tuple(states), frozenset(unconfirmed)
        self._corrected = frozenset(corrected) - self._unconfirmed
        self.update()

    def set_wrong_shares(self, shares: Sequence[float]) -> None:
        """Show of every slice how much is probably wrong, as a share of what is shown there."""
        self._wrong_shares = tuple(shares)
        self.update()

    def set_current_slice(self, index: int) -> None:
        """Show where one is."""
        self._current = index
        self.update()

    def sizeHint(self) -> QSize:
        """Return the preferred size."""
        return QSize(200, _HEIGHT_PX)

    def minimumSizeHint(self) -> QSize:
        """Return the smallest useful size."""
        return QSize(60, _HEIGHT_PX)

    def index_at(self, x_px: float) -> int | None:
        """Return the slice under a position, or an annotated one within 3 px; None without slices."""
        if not self._states:
            return None
        under = min(max(int(x_px / self._slice_width_px()), 0), len(self._states) - 1)
        if self._states[under] is not SliceState.UNLABELLED:
            return under
        reach = int(_SNAP_PX / self._slice_width_px()) + 1
        near = range(max(under - reach, 0), min(under + reach + 1, len(self._states)))
        distances = {
            index: abs(self._centre_px(index) - x_px)
            for index in near
            if self._states[index] is not SliceState.UNLABELLED
        }
        nearest = min(distances, key=distances.__getitem__, default=under)
        return nearest if distances.get(nearest, _SNAP_PX + 1) <= _SNAP_PX else under

    def description(self, index: int) -> str:
        """Return the state of a slice in words."""
        return described(
            self._states[index], corrected=index in self._corrected, unconfirmed=index in self._unconfirmed
        )

    def text_at(self, x_px: float) -> str:
        """Return what the slice at a position is, in words."""
        index = self.index_at(x_px)
        if index is None:
            return "No image is open."
        text = f"Slice {slice_number(index)}: {self.description(index)}"
        share = self._wrong_shares[index] if index < len(self._wrong_shares) else 0.0
        return f"{text}, about {share:.0%} of what is shown may be wrong" if share >= _LEAST_SHARE else text

    def event(self, event: QEvent | None) -> bool:
        """Show what is under the mouse."""
        if isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), self.text_at(event.pos().x()), self)
            return True
        return super().event(event)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Go to the slice that was clicked."""
        self._go_to(event)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Follow a drag; without mouse tracking only drags come here."""
        self._go_to(event)

    def _go_to(self, event: QMouseEvent | None) -> None:
        if event is None or not event.buttons() & Qt.MouseButton.LeftButton:
            return
        index = self.index_at(event.position().x())
        if index is not None and index != self._current:
            self.slice_requested.emit(index)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Step with the arrow keys, page keys, Home and End; leave all others to the viewer."""
        if event is None or not self._states or event.key() not in _STEPS:
            super().keyPressEvent(event)
            return
        wanted = self._current + _STEPS[Qt.Key(event.key())]
        self.slice_requested.emit(min(max(wanted, 0), len(self._states) - 1))

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw ground, position, bars and diamonds; a bar covers the line of the position, never the reverse."""
        painter = QPainter(self)
        if not self.isEnabled():
            painter.setOpacity(0.4)
        self._draw_ground(painter)
        self._draw_uncertain(painter)
        self._draw_position_line(painter)
        # What is known best is drawn last, so that it shows where many slices share a pixel.
        for state in SLICE_LOOKS:
            if state is not SliceState.UNLABELLED:
                self._draw_bars(painter, state)
        self._draw_diamonds(painter)
        self._draw_position_arrow(painter)
        painter.end()

    def _slice_width_px(self) -> float:
        return max(self.width(), 1) / max(len(self._states), 1)

    def _centre_px(self, index: int) -> float:
        return (index + 0.5) * self._slice_width_px()

    def _draw_ground(self, painter: QPainter) -> None:
        ground = self.palette().color(QPalette.ColorRole.WindowText)
        ground.setAlphaF(0.12)
        painter.fillRect(QRectF(0, _GUTTER_PX, self.width(), self._bar_room_px()), ground)

    def _draw_bars(self, painter: QPainter, wanted: SliceState) -> None:
        look = SLICE_LOOKS[wanted]
        bottom_px = _GUTTER_PX + self._bar_room_px()
        height_px = look.height * self._bar_room_px()
        slice_px = self._slice_width_px()
        gap_px = 1 if slice_px >= 4 else 0
        width_px = max(slice_px - gap_px, _THINNEST_BAR_PX)
        for index, state in enumerate(self._states):
            if state is wanted:
                left_px = min(index * slice_px, self.width() - width_px)
                painter.fillRect(QRectF(left_px, bottom_px - height_px, width_px, height_px), look.brush())

    def _draw_uncertain(self, painter: QPainter) -> None:
        bottom_px, slice_px = _GUTTER_PX + self._bar_room_px(), self._slice_width_px()
        for index, share in enumerate(self._wrong_shares[: len(self._states)]):
            height_px = min(share / _FULL_SHARE, 1.0) * self._bar_room_px()
            painter.fillRect(QRectF(index * slice_px, bottom_px - height_px, slice_px, height_px), UNCERTAIN_COLOR)

    def _bar_room_px(self) -> int:
        return self.height() - 2 * _GUTTER_PX

    def _draw_diamonds(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        color = self.palette().color(QPalette.ColorRole.WindowText)
        for index in self._corrected | self._unconfirmed:
            draw_diamond(
                painter, self._centre_px(index), _GUTTER_PX / 2, color, is_filled=index not in self._unconfirmed
            )

    def _draw_position_line(self, painter: QPainter) -> None:
        if self._has_current():
            x_px = self._centre_px(self._current)
            line = QRectF(x_px - 0.75, _GUTTER_PX - 2, 1.5, self._bar_room_px() + 4)
            painter.fillRect(line, self.palette().color(QPalette.ColorRole.WindowText))

    def _draw_position_arrow(self, painter: QPainter) -> None:
        if self._has_current():
            x_px, tip_px = self._centre_px(self._current), self.height() - _GUTTER_PX
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(self.palette().color(QPalette.ColorRole.WindowText))
            corners = [(x_px, tip_px), (x_px - 5, self.height()), (x_px + 5, self.height())]
            painter.drawPolygon(QPolygonF([QPointF(*corner) for corner in corners]))

    def _has_current(self) -> bool:
        return 0 <= self._current < len(self._states)


def draw_diamond(painter: QPainter, x_px: float, y_px: float, color: QColor, *, is_filled: bool) -> None:
    """Draw the small diamond that marks a corrected slice, or a hollow one where SAM's outline is to be confirmed."""
    painter.setPen(Qt.PenStyle.NoPen if is_filled else color)
    painter.setBrush(color if is_filled else Qt.BrushStyle.NoBrush)
    corners = [(x_px, y_px - 3), (x_px + 3, y_px), (x_px, y_px + 3), (x_px - 3, y_px)]
    painter.drawPolygon(QPolygonF([QPointF(*corner) for corner in corners]))
