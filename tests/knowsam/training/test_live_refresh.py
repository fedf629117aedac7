"""The slice on the screen first, the rest in turn, and never more than a share of the time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from knowsam.data.annotation import default_classes
from knowsam.data.window import Window
from knowsam.inference.predictor import SlicePrediction
from knowsam.training import live_refresh
from knowsam.training.display import NEVER
from knowsam.training.events import Shown, Source
from knowsam.training.live_refresh import LiveRefresh

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from knowsam.data.annotation import LabelClass
    from knowsam.training.events import PredictionReady

CLASSES = default_classes([1])
CERTAIN, EVEN, NINE_TO_ONE = (1.0, 0.0), (0.5, 0.5), (0.1, 0.9)

SLICE_S = 3 / 64
"""A time that floating-point numbers add up exactly; two slices fit into a tenth of a second."""


@dataclass
class Painter:
    """Stands for a predictor of a volume with slices of one row and three columns, and notes what it is asked."""

    slices_of_volume: int
    clock: SimpleNamespace
    slice_s: float = SLICE_S
    asked: list[list[int]] = field(default_factory=list)

    def slices(self, indices: Sequence[int]) -> Iterator[SlicePrediction]:
        """Predict class 0 for sure, in doubt, and class 1 nearly for sure."""
        self.asked.append(list(indices))
        box, whole = torch.tensor([CERTAIN, EVEN, NINE_TO_ONE]).T.view(2, 1, 3), Window((0, 0), (1, 3), (1, 3))
        for index in indices:
            self.clock.now += self.slice_s
            yield SlicePrediction(index, box, 1 - box.amax(dim=0), whole, (1, 3))


@dataclass
class Painters:
    """Stands for what is displayed of some volumes, in which nothing is propagated."""

    painters: Sequence[Painter]
    classes: tuple[LabelClass, ...] = CLASSES
    version: int = 0
    estimates: dict[int, int] = field(default_factory=dict)
    measured: int = 0
    annotated: Sequence[int] = ()

    def __post_init__(self) -> None:
        self.made_by = [np.full(painter.slices_of_volume, NEVER) for painter in self.painters]

    @property
    def volumes(self) -> Any:
        slices = [SimpleNamespace(planes=range(painter.slices_of_volume)) for painter in self.painters]
        return SimpleNamespace(slices=slices, can_propagate=lambda _: False)

    def predictor(self, case: int) -> Painter:
        return self.painters[case]

    def waiting(self, case: int) -> int:
        return int(np.count_nonzero(self.made_by[case] < self.version))

    def unseen(self, case: int) -> NDArray[np.bool_]:
        return np.isin(np.arange(len(self.made_by[case])), self.annotated)

    def measure(self, case: int) -> None:
        self.measured += 1
        self.estimates[case] = self.measured

    def shown(self, _case: int) -> Shown:
        return Shown(Source.STUDENTS, 1.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=0.0)
    # Whichever clock is read, it shows this time.
    shown = SimpleNamespace(monotonic=lambda: clock.now, perf_counter=lambda: clock.now)
    monkeypatch.setattr(live_refresh, "time", shown)
    return clock


def refresh_of(*painters: Painter, share: float = 0.25) -> LiveRefresh:
    return LiveRefresh(Painters(painters), share=share)  # type: ignore[arg-type]


def watching(clock: SimpleNamespace, index: int, *, count: int = 12, slice_s: float = SLICE_S) -> LiveRefresh:
    live = refresh_of(Painter(count, clock, slice_s))
    live.watch(0, index)
    return live


def indices(ready: PredictionReady) -> list[int]:
    return [predicted.index for predicted in ready.slices]


def until_done(live: LiveRefresh) -> list[PredictionReady]:
    sent = []
    while live.outdated:
        sent.append(live.some())
    return sent


def test_how_good_it_is_is_measured_once_after_the_last_slice_that_other_labels_reach(clock: SimpleNamespace) -> None:
    live = watching(clock, 5)
    until_done(live)
    assert live.display.measured == 1  # type: ignore[attr-defined]
    live.outdate_slices(0, range(3, 8))
    estimates = []
    while live.has_urgent:
        live.some()
        estimates.append(live.display.estimates.get(0))
    assert estimates == [None] * (len(estimates) - 1) + [2]


def test_while_nobody_watches_nothing_is_predicted(clock: SimpleNamespace) -> None:
    painter = Painter(12, clock)
    live = refresh_of(painter)
    assert list(live.beside(1000.0)) == []
    assert (live.outdated, live.watched_is_outdated, painter.asked) == (0, False, [])


def test_the_watched_slice_comes_first_and_alone_then_its_neighbours_then_the_others(clock: SimpleNamespace) -> None:
    sent = [indices(ready) for ready in until_done(watching(clock, 5))]
    assert sent[0] == [5]
    assert sent[1:3] == [[4, 6], [3, 7]]
    assert list(chain(*sent)) == [5, 4, 6, 3, 7, 2, 8, 1, 9, 0, 10, 11]


def test_slices_in_which_no_prediction_is_seen_come_last_even_the_one_on_the_screen(clock: SimpleNamespace) -> None:
    live = watching(clock, 5)
    live.display.annotated = (5, 8)  # type: ignore[attr-defined]
    assert not live.watched_is_outdated
    assert list(chain(*map(indices, until_done(live)))) == [4, 6, 3, 7, 2, 1, 9, 0, 10, 11, 5, 8]


def test_each_prediction_has_the_number_of_waiting_slices(clock: SimpleNamespace) -> None:
    sent = until_done(watching(clock, 5))
    assert [ready.outdated for ready in sent] == [11, 9, 7, 5, 3, 1, 0]
    assert {ready.case for ready in sent} == {0}


@pytest.mark.parametrize(("slice_s", "at_a_stretch"), [(1.0, 1), (2 * SLICE_S, 1), (SLICE_S, 2), (SLICE_S / 4, 8)])
def test_as_many_slices_are_predicted_at_a_stretch_as_take_a_tenth_of_a_second(
    clock: SimpleNamespace, slice_s: float, at_a_stretch: int
) -> None:
    live = watching(clock, 50, count=100, slice_s=slice_s)
    assert [len(live.some().slices) for _ in range(5)][-1] == at_a_stretch


def test_after_a_slice_that_took_no_time_the_others_are_not_taken_for_as_quick(clock: SimpleNamespace) -> None:
    live = watching(clock, 50, count=100, slice_s=0.0)
    assert [len(live.some().slices) for _ in range(4)] == [1, 2, 4, 8]


def test_after_a_correction_the_first_slices_are_shown_by_themselves(clock: SimpleNamespace) -> None:
    live = watching(clock, 50, count=100, slice_s=0.0)
    until_done(live)
    live.outdate_slices(0, range(40, 60))
    live.watch(0, 30)
    assert [len(live.some().slices) for _ in range(3)] == [2, 4, 8]


def test_showing_what_was_corrected_is_not_made_up_for(clock: SimpleNamespace) -> None:
    """It takes 4 s, which no training has earned."""
    live = watching(clock, 5, count=40, slice_s=0.5)
    until_done(live)
    live.outdate_slices(0, range(5, 13))
    while live.has_urgent:
        live.some()
    live.display.version += 1
    assert len(list(live.beside(3.0))) > 1


def test_slices_that_take_less_than_a_tick_of_the_clock_are_predicted_too(clock: SimpleNamespace) -> None:
    """On some machines the clock ticks every 16 ms only."""
    live = watching(clock, 5, slice_s=0.0)
    until_done(live)
    assert live.outdated == 0


def test_the_watched_slice_is_due_after_any_step(clock: SimpleNamespace) -> None:
    live = watching(clock, 5)
    assert [indices(ready) for ready in live.beside(0.0)] == [[5]]
    assert list(live.beside(0.0)) == []
    live.display.version += 1
    assert [indices(ready) for ready in live.beside(0.0)] == [[5]]


def test_a_slice_that_is_turned_to_is_due_at_once(clock: SimpleNamespace) -> None:
    live = watching(clock, 5)
    list(live.beside(0.0))
    live.watch(0, 9)
    assert [indices(ready) for ready in live.beside(0.0)] == [[9]]


@pytest.mark.parametrize("share", [0.1, 0.25, 0.6])
def test_refreshing_takes_its_share_of_the_time(clock: SimpleNamespace, share: float) -> None:
    live = refresh_of(Painter(10_000, clock, 0.05), share=share)
    live.watch(0, 5000)
    for _ in range(100):
        clock.now += 0.5
        list(live.beside(0.5))
    assert (clock.now - 50.0) / clock.now == pytest.approx(share, rel=0.1)


def test_a_long_step_does_not_hold_training_up_for_long_afterwards(clock: SimpleNamespace) -> None:
    live = watching(clock, 500, count=1000)
    list(live.beside(3600.0))
    assert clock.now < 1.5


def test_what_the_watched_slice_took_too_long_is_made_up_for(clock: SimpleNamespace) -> None:
    """It took 2 s; a step of 3 s earns 1 s, so that the third step is the first that others follow."""
    live = watching(clock, 5, slice_s=2.0)
    assert [[indices(ready) for ready in live.beside(3.0)] for _ in range(3)] == [[[5]], [], [[4]]]


def test_time_in_which_nothing_was_due_is_not_saved_up(clock: SimpleNamespace) -> None:
    live = watching(clock, 5, count=100)
    until_done(live)
    for _ in range(100):
        assert list(live.beside(3.0)) == []
    live.display.version += 1
    before = clock.now
    list(live.beside(3.0))
    assert clock.now - before == pytest.approx(1.0, abs=0.25)


def test_of_the_slices_farther_off_the_oldest_predictions_come_first(clock: SimpleNamespace) -> None:
    """Slices 0 to 6 are predicted when the students are replaced."""
    live = watching(clock, 0)
    while live.outdated > 6:
        live.some()
    live.display.version += 1
    assert list(chain(*map(indices, until_done(live)))) == [0, 1, 2, 7, 8, 9, 10, 11, 3, 4, 5, 6]


def test_slices_that_other_labels_are_propagated_to_come_first_and_by_themselves(clock: SimpleNamespace) -> None:
    live = watching(clock, 5)
    until_done(live)
    live.display.version += 1
    live.outdate_slices(0, [1, 2, 9])
    shown = []
    while live.has_urgent:
        shown += indices(live.some())
    assert sorted(shown) == [1, 2, 9]
    assert live.outdated == 9


def test_new_students_make_every_slice_outdated(clock: SimpleNamespace) -> None:
    live = watching(clock, 5)
    until_done(live)
    live.display.version += 1
    assert (live.outdated, live.watched_is_outdated) == (12, True)


def test_each_prediction_names_its_classes_and_what_it_is_made_of(clock: SimpleNamespace) -> None:
    live = watching(clock, 5)
    assert live.some().classes == CLASSES
    live.display.classes = default_classes([1, 2])
    ready = live.some()
    assert ready.classes == default_classes([1, 2])
    assert ready.shown == Shown(Source.STUDENTS, 1.0)


def test_each_volume_has_its_own_slices_to_wait_for(clock: SimpleNamespace) -> None:
    live = refresh_of(Painter(4, clock), Painter(6, clock))
    live.watch(1, 2)
    assert {ready.case for ready in until_done(live)} == {1}
    live.watch(0, 0)
    assert live.outdated == 4
    live.watch(1, 5)
    assert live.outdated == 0


@pytest.mark.parametrize(("index", "shown"), [(-3, 0), (12, 11), (999, 11)])
def test_beyond_the_volume_its_last_slice_is_watched(clock: SimpleNamespace, index: int, shown: int) -> None:
    assert indices(watching(clock, index).some()) == [shown]


def test_watching_ends_when_no_slice_is_watched(clock: SimpleNamespace) -> None:
    live = watching(clock, 5)
    live.watch(0, None)
    assert (live.outdated, list(live.beside(1000.0))) == (0, [])


def test_a_prediction_holds_labels_and_their_uncertainty_in_percent(clock: SimpleNamespace) -> None:
    ready = watching(clock, 5).some()
    assert ready.classes == CLASSES
    assert ready.slices[0].labels.tolist() == [[0, 0, 1]]
    assert ready.slices[0].uncertainty_percent.tolist() == [[0, 50, 10]]
    assert ready.slices[0].uncertainty_percent.dtype == np.uint8
