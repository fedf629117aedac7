"""Supervised loss and hold-out Dice over the steps of a training, live."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from knowsam.config import Config
from napari_knowsam.panels.curve import Curve
from napari_knowsam.panels.small_font import small_font

_HEIGHT_PX = 112
_LOSS_COLOR = (64, 140, 240)
_DICE_COLOR = (226, 150, 20)
_MINIMUM = Config().training.holdout_minimum
_DOT_PX = 2.5
_AXIS_PX = 32

_Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class _Score:
    step: int
    dice: float
    adopted: bool


class TrainingPlot(QWidget):
    """Two small plots side by side: the supervised loss, and the Dice of the slices that were held out.

    The sum of all terms would rise with their ramped weights, however well the networks learn; the tooltip lists them.

    Painted by hand: two curves do not pay for a plotting library, and the palette follows the theme by itself.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Training curves")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.clear()

    def clear(self, holdout_minimum: int = _MINIMUM) -> None:
        """Forget all curves.

        Parameters
        ----------
        holdout_minimum : annotated slices from which on there is a Dice.
        """
        self._loss = Curve()
        self._scores: list[_Score] = []
        self._dice_note = ""
        self._holdout_minimum = holdout_minimum
        self.setToolTip("Left: loss on the annotated slices. Right: Dice on slices held out for validation.")
        self.update()

    def add_losses(self, step: int, losses: Mapping[str, float]) -> None:
        """Append the weighted loss terms of one step, by name; ``supervised`` is drawn."""
        if math.isfinite(losses["supervised"]):
            self._loss.add(step, losses["supervised"])
        terms = "\n".join(f"{name}: {value:.3g}" for name, value in losses.items() if value)
        self.setToolTip(f"Weighted loss terms of step {step}\n{terms}\nFilled dots: the model in use became this one.")
        self.update()

    def add_dice(self, step: int, dice: float | None, adopted: bool) -> None:
        """Append one validation.

        Parameters
        ----------
        dice : None if no slice is held out.
        adopted : whether predictions come from this model from now on.
        """
        if dice is None:
            self._dice_note = f"Dice: annotate {self._holdout_minimum} or more slices to see a score"
        else:
            self._scores.append(_Score(step, dice, adopted))
            if len(self._scores) > 500:
                del self._scores[1:-1:2]
        self.update()

    def sizeHint(self) -> QSize:
        """Return the preferred size."""
        return QSize(300, _HEIGHT_PX)

    def minimumSizeHint(self) -> QSize:
        """Return the smallest useful size."""
        return QSize(200, _HEIGHT_PX)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw both plots in the colours of the theme."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(small_font(self))
        half_px = (self.width() - 8) / 2
        self._draw_loss(painter, QRectF(0, 0, half_px, self.height()))
        self._draw_dice(painter, QRectF(half_px + 8, 0, half_px, self.height()))
        painter.end()

    def _draw_loss(self, painter: QPainter, area: QRectF) -> None:
        points = self._loss.points
        latest = "" if self._loss.latest is None else f"  {self._loss.latest:.3g}"
        is_log = bool(points) and min(value for _, value in points) > 0
        plot = self._draw_frame(painter, area, f"Supervised{latest}" + (" (log)" if is_log else ""))
        if len(points) < 2:
            return
        scale: Callable[[float], float] = math.log10 if is_log else float
        values = [scale(value) for _, value in points]
        low, high = _widened(min(values), max(values))
        placed = _placed([(step, value) for (step, _), value in zip(points, values, strict=True)], plot, low, high)
        painter.setPen(QPen(QColor(*_LOSS_COLOR), 1.5))
        painter.drawPolyline(QPolygonF(placed))
        shown = [10**end if is_log else end for end in (low, high)]
        self._draw_ends(painter, plot, f"{shown[0]:.2g}", f"{shown[1]:.2g}")

    def _draw_dice(self, painter: QPainter, area: QRectF) -> None:
        if not self._scores:
            plot = self._draw_frame(painter, area, "" if self._dice_note else "Dice")
            if self._dice_note:
                self._draw_text(painter, plot.adjusted(6 - _AXIS_PX, -12, 0, 0), self._dice_note)
            return
        plot = self._draw_frame(painter, area, f"Dice  {self._scores[-1].dice:.3f}")
        placed = _placed([(score.step, score.dice) for score in self._scores], plot, 0.0, 1.0)
        painter.setPen(QPen(QColor(*_DICE_COLOR), 1.5))
        painter.drawPolyline(QPolygonF(placed))
        for score, point in zip(self._scores, placed, strict=True):
            painter.setBrush(QColor(*_DICE_COLOR) if score.adopted else self.palette().color(QPalette.ColorRole.Window))
            painter.drawEllipse(point, _DOT_PX, _DOT_PX)
        self._draw_ends(painter, plot, "0", "1")

    def _draw_frame(self, painter: QPainter, area: QRectF, title: str) -> QRectF:
        """Draw title and ground of one plot and return where its curve goes."""
        title_px = QFontMetricsF(painter.font()).height()
        ground = area.adjusted(0, title_px + 1, 0, 0)
        shade = self._text_color()
        shade.setAlphaF(0.08)
        painter.fillRect(ground, shade)
        self._draw_text(painter, QRectF(area.left(), 0, area.width(), title_px), title, Qt.AlignmentFlag.AlignLeft)
        return ground.adjusted(_AXIS_PX, 8, -6, -8)

    def _draw_ends(self, painter: QPainter, plot: QRectF, low: str, high: str) -> None:
        """Write the range of the vertical axis beside its ends."""
        line_px = QFontMetricsF(painter.font()).height()
        for text, y_px in ((high, plot.top()), (low, plot.bottom())):
            place = QRectF(plot.left() - _AXIS_PX, y_px - line_px / 2, _AXIS_PX - 4, line_px)
            self._draw_text(painter, place, text, Qt.AlignmentFlag.AlignRight)

    def _draw_text(
        self,
        painter: QPainter,
        area: QRectF,
        text: str,
        alignment: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignCenter,
    ) -> None:
        painter.setPen(self._text_color())
        painter.drawText(area, alignment.value | Qt.TextFlag.TextWordWrap.value, text)

    def _text_color(self) -> QColor:
        return QColor(self.palette().color(QPalette.ColorRole.WindowText))


def _widened(low: float, high: float) -> tuple[float, float]:
    """Return a range that is never empty."""
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _placed(points: _Points, plot: QRectF, low: float, high: float) -> list[QPointF]:
    """Return where the points lie in a plot; its height stands for `low` to `high`."""
    first, last = points[0][0], points[-1][0]
    span = max(last - first, 1e-9)
    return [
        QPointF(
            plot.left() + plot.width() * (step - first) / span,
            plot.bottom() - plot.height() * (value - low) / (high - low),
        )
        for step, value in points
    ]
