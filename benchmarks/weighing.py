"""How are students weighed best beside what is propagated from annotated slices?

Students are trained for a number of steps; then every rule is tried on the very same students. Dice in the slices
between annotated ones; gains are over no students at all, the mean and the smallest of any volume.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from propagator import add_task_options, tasks
from provenance import provenance
from tables import table

from knowsam.config import Config
from knowsam.inference import ensemble
from knowsam.inference.ensemble import EnsembleWeight
from knowsam.training.schedule import Budget
from knowsam.training.session import TrainingSession

if TYPE_CHECKING:
    from tasks import Task
    from torch import Tensor


class Rule(NamedTuple):
    """How students are weighed.

    Parameters
    ----------
    limit, half_distance_slices, error_penalty : as in `EnsembleWeight`.
    is_against_refined : or against propagated labels as they were before the propagator corrected them.
    """

    limit: float
    half_distance_slices: float
    error_penalty: float
    is_against_refined: bool = True


RULES = {
    "students alone": Rule(1.0, 0.0, 0.0),
    "0.3": Rule(0.3, 0.0, 0.0),
    "0.3 d / (d + 2)": Rule(0.3, 2.0, 0.0),
    "0.3 d / (d + 2), errors, unrefined": Rule(0.3, 2.0, 3.0, is_against_refined=False),
    "0.3 d / (d + 2), errors (default)": Rule(0.3, 2.0, 3.0),
    "0.3 d / (d + 2), errors x 1 / 3": Rule(0.3, 2.0, 1.0),
    "0.5 d / (d + 1), errors": Rule(0.5, 1.0, 3.0),
}


class Result(NamedTuple):
    """Dice of one volume without students, and by each rule."""

    without: float
    by_rule: dict[str, float]


def main() -> None:
    """Train on every volume, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_task_options(parser)
    parser.add_argument("--steps", type=int, default=60, help="training steps (default: 60)")
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
        return task.dice(task.slices_first(replace(predictor, weight=weight).volume().labels))

    found = {}
    for name, rule in RULES.items():
        weight = predictor.weight
        if weight is not None:
            error, is_held_out = weight.student_error, weight.is_held_out
            weight = EnsembleWeight(error, *rule[:3], is_held_out=is_held_out)
        variance = ensemble.refined_variance if rule.is_against_refined else _unchanged
        with patch.object(ensemble, "refined_variance", variance):
            found[name] = round(dice(weight), 4)
    return Result(round(dice(None), 4), found)


def _unchanged(variance: Tensor) -> Tensor:
    return variance


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
