"""How are students weighed best beside what is propagated from annotated slices?

Students are trained for a number of steps; then every rule is tried on the very same students. Dice in the slices that
are not annotated; gains are over no students at all, the mean and the smallest of any volume. `d` is the distance from
the nearest annotated slice in slices, `e` the proxy error of the students, `x` the error of the propagator, `g` the
expected error of propagated labels before it.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from propagator import add_task_options, tasks
from provenance import provenance
from tables import table

from knowsam.config import Config
from knowsam.inference.ensemble import EnsembleWeight, StudentWeight, ensemble, proxy_variance
from knowsam.inference.refinement import PROPAGATOR_ERROR, with_order_of_structures
from knowsam.training.schedule import Budget
from knowsam.training.session import TrainingSession

if TYPE_CHECKING:
    from tasks import Task
    from torch import Tensor

    from knowsam.propagation.propagated_labels import PropagatedLabels


class Rule(NamedTuple):
    """How students are weighed.

    Parameters
    ----------
    limit, half_distance_slices : as in `StudentWeight`; beyond the outermost annotated slices at most `limit_beyond`.
    variance : of the students by their proxy error.
    is_linear : whether probabilities are averaged, not their logarithms.
    shared_variance : as in `StudentWeight`.
    """

    limit: float
    half_distance_slices: float
    variance: Callable[[float], float]
    is_linear: bool = False
    limit_beyond: float = 1.0
    shared_variance: float = 0.0


def _known(_: float) -> float:
    return 0.0


def _squared(error: float) -> float:
    return error**2


def _three_times(error: float) -> float:
    return 3 * error**2


RULES = {
    "students alone": Rule(1.0, 0.0, _known),
    "0.3 d / (d + 2), 3 e^2, linear (before)": Rule(0.3, 2.0, _three_times, is_linear=True),
    "0.3 d / (d + 2), 3 e^2": Rule(0.3, 2.0, _three_times),
    "0.5 d / (d + 2), e^2": Rule(0.5, 2.0, _squared),
    "0.5 d / (d + 2), e^4 / x^2, linear": Rule(0.5, 2.0, proxy_variance, is_linear=True),
    "0.3 d / (d + 2), e^4 / x^2": Rule(0.3, 2.0, proxy_variance),
    "0.5 d / (d + 2), e^4 / x^2": Rule(0.5, 2.0, proxy_variance),
    "0.5 d / (d + 2), e^4 / x^2, beyond 0.3": Rule(0.5, 2.0, proxy_variance, limit_beyond=0.3),
    "0.5 d / (d + 2), e^4 / x^2 + 0.1 g^2, beyond 0.3 (default)": Rule(
        0.5, 2.0, proxy_variance, limit_beyond=0.3, shared_variance=0.1
    ),
    "0.5 d / (d + 2), e^4 / x^2 + 0.3 g^2, beyond 0.3": Rule(
        0.5, 2.0, proxy_variance, limit_beyond=0.3, shared_variance=0.3
    ),
    "0.7 d / (d + 2), e^4 / x^2": Rule(0.7, 2.0, proxy_variance),
}


class Result(NamedTuple):
    """Dice of one volume without students, and by each rule."""

    without: float
    by_rule: dict[str, float]


def main() -> None:
    """Train on every volume, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_task_options(parser)
    parser.add_argument("--steps", type=int, default=250, help="training steps (default: 250)")
    parser.add_argument("--inner", action="store_true", help="leave both ends of the structures unannotated")
    options = parser.parse_args()
    options.whole = True
    torch.set_num_threads(1)
    results: dict[str, Result] = {}
    for name, task in tasks(options):
        results[name] = result_of(task, options.steps)
        print(name, results[name], file=sys.stderr, flush=True)
    print(*provenance("seed 0"), sep="\n")
    print(_table(results))


def result_of(task: Task, steps: int) -> Result:
    """Train students, and weigh them by every rule."""
    config = Config().with_values(variant="none", mixing=False)
    session = TrainingSession([task.case], budget=Budget(steps=steps), config=config)
    for _ in session.run():
        pass
    predictor = session.predictor()

    def dice(weight: EnsembleWeight | None) -> float:
        labels = replace(predictor, weight=weight).volume().labels
        return round(task.live_dice(task.slices_first(labels)), 4)

    without, weight = dice(None), predictor.weight
    if weight is None:
        return Result(without, dict.fromkeys(RULES, without))
    error = math.sqrt(math.sqrt(weight.student_variance) * PROPAGATOR_ERROR)
    found = {}
    for name, rule in RULES.items():
        with patch("knowsam.inference.predictor.ensemble", _linear) if rule.is_linear else nullcontext():
            limits = rule.limit, min(rule.limit, rule.limit_beyond)
            how = *limits, rule.half_distance_slices, rule.shared_variance
            found[name] = dice(StudentWeight(rule.variance(error), *how))
    return Result(without, found)


def _linear(propagated: PropagatedLabels, students: Tensor, weight: EnsembleWeight) -> tuple[Tensor, Tensor]:
    """Average probabilities, as `ensemble` does with those of students of other volumes."""
    _, share = ensemble(propagated, students, weight)
    return propagated.probabilities.lerp(with_order_of_structures(propagated, students), share), share


def _table(results: dict[str, Result]) -> str:
    rows = []
    for rule in RULES:
        gains = {name: one.by_rule[rule] - one.without for name, one in results.items()}
        worst = min(gains, key=lambda name: gains[name])
        mean = f"{np.mean([one.by_rule[rule] for one in results.values()]):.4f}"
        rows.append([rule, mean, f"{np.mean(list(gains.values())):+.4f}", f"{gains[worst]:+.4f} ({worst})"])
    without = f"{np.mean([one.without for one in results.values()]):.4f}"
    header = ["weight of the students", f"Dice, {len(results)} volumes", "gain", "smallest gain"]
    return table(header, [["none", without, "", ""], *rows])


if __name__ == "__main__":
    main()
