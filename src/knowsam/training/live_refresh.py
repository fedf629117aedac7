"""Predictions for somebody who watches: the slice on the screen first, the others in turn, at a share of the time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from knowsam.training.display import NEVER, URGENT
from knowsam.training.events import PredictedSlice, PredictionReady, PredictionsGone

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from knowsam.inference.predictor import SlicePrediction
    from knowsam.training.display import Display

_NEAR = 2
"""Slices on each side of the watched one that are refreshed along with it."""

_PATIENCE_S = 0.1
"""Predicting takes about this long at a stretch, so that pause, stop and what is painted do not wait long."""

_SHORTEST_S = 0.001
"""No slice is expected to take less than this."""

_LONGEST_S = 1.0
"""Refreshing holds training up for no longer than about this, however long the step before it was."""


class LiveRefresh:
    """Keeps the predictions of one watched volume up to date while its students change.

    A prediction is out of date when other labels are propagated to its slice, and when the students that made it have
    been replaced. The former come first and by themselves; of the latter those near the watched slice, then the oldest,
    and among equals the nearest. Slices in which no prediction is seen, such as the one just painted, come last.

    Parameters
    ----------
    display : what makes the predictions, and knows which of them are outdated, also those of an earlier refresh.
    share : part of the time that refreshing may take beside training, in (0, 1).
    """

    def __init__(self, display: Display, *, share: float) -> None:
        self.display = display
        self._share = share
        self._case: int | None = None
        self._index = 0
        self._shown_case = next((case for case, made_by in enumerate(display.made_by) if (made_by >= 0).any()), None)
        self._credit_s = 0.0
        self._slice_s = _PATIENCE_S
        self._last_count = 1

    def outdate_slices(self, case: int, indices: Sequence[int]) -> None:
        """Note that other labels are propagated to some slices, as urgent as if they had never been predicted."""
        self.display.made_by[case][list(indices)] = URGENT
        self.display.estimates.pop(case, None)
        # The first of them shall be seen at once, however little time the slices before them took.
        self._last_count = 1

    @property
    def has_urgent(self) -> bool:
        """Whether slices of the watched volume wait for other propagated labels than they show."""
        return self._case is not None and bool((self.display.made_by[self._case] == URGENT).any())

    def watch(self, case: int, index: int | None) -> None:
        """Turn to a slice, or to none; nothing happens where there is no such volume."""
        if not 0 <= case < len(self.display.made_by):
            return
        self._case = None if index is None else case
        if index is not None:
            self._index = min(max(index, 0), len(self.display.made_by[case]) - 1)

    @property
    def can_show(self) -> bool:
        """Whether somebody watches a volume of which anything can be predicted."""
        return self._case is not None and self.display.can_predict(self._case)

    @property
    def is_outdated(self) -> bool:
        """Whether any slice of the watched volume waits for a new prediction, be it seen or not."""
        return self._case is not None and bool((self.display.made_by[self._case] < self.display.version).any())

    @property
    def outdated(self) -> int:
        """How many slices of the watched volume wait for a new prediction that would be seen."""
        return 0 if self._case is None else self.display.waiting(self._case)

    def beside(self, seconds: float) -> Iterator[PredictionReady]:
        """Refresh as much as is due after training for some time; the watched slice is always due."""
        earned = min(seconds * self._share / (1 - self._share), _LONGEST_S)
        self._credit_s = min(self._credit_s, 0.0) + earned
        while self.is_outdated and (self._credit_s > 0 or self.watched_is_outdated):
            started = time.monotonic()
            ready = self.some()
            self._credit_s -= time.monotonic() - started
            yield ready

    def some(self) -> PredictionReady:
        """Refresh the most urgent slices, as many as can be done in a moment; after the last one, measure anew."""
        assert self._case is not None
        started = time.monotonic()
        # At most twice as many as last time: those may have been known already, and have taken next to no time.
        limit = min(max(1, int(_PATIENCE_S / self._slice_s)), 2 * self._last_count)
        chosen = self._most_urgent(1 if self.watched_is_outdated else limit)
        predictor = self.display.predictor(self._case)
        predicted = tuple(_as_shown(prediction) for prediction in predictor.slices(chosen))
        self.display.made_by[self._case][chosen] = self.display.version
        seconds = time.monotonic() - started
        # A coarse clock may show no time at all.
        self._slice_s = max(seconds / len(chosen), _SHORTEST_S)
        self._last_count = len(chosen)
        if self._case not in self.display.estimates and not self.has_urgent:
            self.display.measure(self._case)
        shown, self._shown_case = self.display.shown(self._case), self._case
        return PredictionReady(self._case, predicted, self.display.classes, self.outdated, shown)

    @property
    def watched_is_outdated(self) -> bool:
        """Whether the slice on the screen waits for a new prediction that would be seen."""
        if self._case is None or self.display.unseen(self._case)[self._index]:
            return False
        return bool(self.display.made_by[self._case][self._index] < self.display.version)

    def take_back(self) -> Iterator[PredictionsGone]:
        """Report once that nothing can be predicted any more of the volume with the last predictions."""
        if self._shown_case is not None and not self.display.can_predict(self._shown_case):
            yield PredictionsGone(self._shown_case)
            self._shown_case = None

    def _most_urgent(self, limit: int) -> list[int]:
        assert self._case is not None
        made_by = self.display.made_by[self._case]
        waiting = np.flatnonzero(made_by < (NEVER if self.has_urgent else self.display.version))
        distance = np.abs(waiting - self._index)
        age = np.where(distance <= _NEAR, URGENT, made_by[waiting])
        order = np.lexsort((waiting, distance, age, self.display.unseen(self._case)[waiting]))[:limit]
        return [int(index) for index in waiting[order]]


def _as_shown(prediction: SlicePrediction) -> PredictedSlice:
    percent = np.rint(prediction.error_probability * 100).astype(np.uint8)
    return PredictedSlice(prediction.index, prediction.labels, percent)
