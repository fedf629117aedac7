from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from qtpy.QtGui import QColor

from knowsam.config import Config
from napari_knowsam.panels.curve import Curve
from napari_knowsam.panels.training_plot import TrainingPlot

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

BLUE, ORANGE = (64, 140, 240), (226, 150, 20)


@pytest.fixture
def plot(qtbot: QtBot) -> TrainingPlot:
    made = TrainingPlot()
    qtbot.addWidget(made)
    made.resize(330, made.sizeHint().height())
    return made


def _rows_of(plot: TrainingPlot, color: tuple[int, int, int]) -> dict[int, float]:
    """Return the mean row of a colour in each pixel column that holds it."""
    picture, wanted = plot.grab().toImage(), QColor(*color).rgb()
    found = {x: [y for y in range(picture.height()) if picture.pixel(x, y) == wanted] for x in range(picture.width())}
    return {x: sum(rows) / len(rows) for x, rows in found.items() if rows}


@pytest.mark.parametrize("count", [1, 500, 501, 1001, 12_345])
def test_a_curve_keeps_at_most_500_points_in_order(count: int) -> None:
    curve = Curve()
    for step in range(count):
        curve.add(step, float(step))
    steps = [step for step, _ in curve.points]
    assert len(steps) <= 500
    assert steps == sorted(steps)
    assert curve.latest == count - 1


def test_thinning_out_keeps_the_mean_and_reaches_the_end() -> None:
    curve = Curve()
    for step in range(4000):
        curve.add(step, step % 2)
    assert all(value == 0.5 for _, value in curve.points)
    assert curve.points[-1][0] > 3980


def test_a_falling_loss_is_drawn_falling_on_the_left_half(plot: TrainingPlot) -> None:
    for step in range(50):
        plot.add_losses(step, {"supervised": 2.0 * 0.9**step, "entropy": 0.0})
    rows = _rows_of(plot, BLUE)
    assert max(rows) < 165
    assert rows[min(rows)] < 40 < 80 < rows[max(rows)]


def test_the_tooltip_lists_the_terms_that_ran(plot: TrainingPlot) -> None:
    plot.add_losses(7, {"supervised": 1.0, "entropy": 0.25, "mixing": 0.0})
    assert "step 7" in plot.toolTip()
    assert "entropy: 0.25" in plot.toolTip()
    assert "mixing" not in plot.toolTip()


def test_a_loss_that_is_no_number_is_left_out(plot: TrainingPlot) -> None:
    for step, value in enumerate([1.0, float("nan"), float("inf"), 0.5]):
        plot.add_losses(step, {"supervised": value})
    assert [step for step, _ in plot._loss.points] == [0, 3]
    assert _rows_of(plot, BLUE)


@pytest.mark.parametrize("values", [[0.0, 1.0], [-1.0, -2.0], [2.0, 2.0]])
def test_losses_without_a_logarithm_and_constant_ones_are_drawn(plot: TrainingPlot, values: list[float]) -> None:
    for step, value in enumerate(values):
        plot.add_losses(step, {"supervised": value})
    assert _rows_of(plot, BLUE)


def test_dice_is_drawn_on_the_right_half_from_0_to_1(plot: TrainingPlot) -> None:
    for step, dice in enumerate([0.0, 0.5, 1.0]):
        plot.add_dice(step, dice, adopted=True)
    rows = _rows_of(plot, ORANGE)
    assert min(rows) > 165
    assert rows[min(rows)] > 85
    assert rows[max(rows)] < 35


def test_a_model_that_was_not_adopted_has_a_hollow_dot(plot: TrainingPlot) -> None:
    counts = {}
    for adopted in (True, False):
        plot.clear()
        plot.add_dice(1, 0.5, adopted)
        picture, wanted = plot.grab().toImage(), QColor(*ORANGE).rgb()
        counts[adopted] = sum(
            picture.pixel(x, y) == wanted for x in range(picture.width()) for y in range(picture.height())
        )
    assert counts[False] < counts[True]


def test_without_held_out_slices_the_plot_says_how_to_get_a_score(plot: TrainingPlot) -> None:
    before = plot.grab().toImage()
    plot.add_dice(1, None, adopted=True)
    minimum = Config().training.holdout_minimum
    assert plot._dice_note == f"Dice: annotate {minimum} or more slices to see a score"
    assert plot.grab().toImage() != before
    plot.clear()
    assert plot.grab().toImage() == before


def test_the_number_of_slices_a_score_needs_is_that_of_the_training(plot: TrainingPlot) -> None:
    plot.clear(holdout_minimum=3)
    plot.add_dice(1, None, adopted=True)
    assert plot._dice_note == "Dice: annotate 3 or more slices to see a score"


def test_a_long_training_draws_at_most_500_scores(plot: TrainingPlot) -> None:
    for step in range(2000):
        plot.add_dice(step, 0.5, adopted=False)
    assert len(plot._scores) <= 500
    assert (plot._scores[0].step, plot._scores[-1].step) == (0, 1999)
