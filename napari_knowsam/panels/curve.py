"""A curve that grows for as long as one trains and stays cheap to draw."""

from __future__ import annotations

_MOST_POINTS = 500


class Curve:
    """Points (step, value); once there are more than 500, neighbours are averaged in pairs.

    >>> curve = Curve()
    >>> for step in range(1200):
    ...     curve.add(step, 1.0)
    >>> len(curve.points) <= 500, curve.latest
    (True, 1.0)
    """

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []
        self.latest: float | None = None
        self._steps_per_point = 1
        self._pending: list[tuple[float, float]] = []

    def add(self, step: int, value: float) -> None:
        """Append one value."""
        self.latest = value
        self._pending.append((step, value))
        if len(self._pending) == self._steps_per_point:
            self.points.append(_mean(self._pending))
            self._pending = []
        if len(self.points) > _MOST_POINTS:
            self._thin_out()

    def _thin_out(self) -> None:
        pairs = [self.points[index : index + 2] for index in range(0, len(self.points) - 1, 2)]
        left_over = self.points[2 * len(pairs) :]
        self._pending = [point for point in left_over for _ in range(self._steps_per_point)]
        self.points = [_mean(pair) for pair in pairs]
        self._steps_per_point *= 2


def _mean(points: list[tuple[float, float]]) -> tuple[float, float]:
    steps, values = zip(*points, strict=True)
    return sum(steps) / len(points), sum(values) / len(points)
