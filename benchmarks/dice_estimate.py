"""Is the Dice that is shown the true one, in whatever structure, before any training or after one?

Every structure of every volume is a task, see `propagator.py`. The estimate predicts each annotated slice from the
others; the held-out Dice, for comparison, is that of the slices that training would hold out. The truth is the Dice in
all slices between annotated ones. An estimate of None says nothing. After a training, only the estimate is compared.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from propagator import add_task_options, tasks
from provenance import provenance
from tables import table

from knowsam import jobs
from knowsam.config import Config
from knowsam.data.annotation import class_indices
from knowsam.data.holdout import choose_holdout
from knowsam.data.sampling import SliceKey
from knowsam.training.display import Display
from knowsam.training.interruption import Interruption
from knowsam.training.network_volumes import NetworkVolumes, common_windows
from knowsam.training.schedule import Budget
from knowsam.training.validation import holdout_dice

if TYPE_CHECKING:
    from tasks import Task

_OFF = 0.03


class Result(NamedTuple):
    """What is said of one structure, and what is true."""

    truth: float
    estimate: float | None
    held_out: float | None


def main() -> None:
    """Run all structures and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_task_options(parser)
    parser.add_argument("--budget", default="0", help="training time of each structure (default: 0)")
    options = parser.parse_args()
    budget = Budget.parse(options.budget)
    torch.set_num_threads(1)
    results = []
    for name, task in tasks(options):
        if len(task.annotated) == options.k:
            results.append(untrained(task) if budget.is_zero else trained(task, budget))
            print(name, results[-1], file=sys.stderr, flush=True)
    print(*provenance("no training" if budget.is_zero else "seed 0"), sep="\n")
    header = ["structures", "judged by", "says", f"off by more than {_OFF}", "most flattering", "most pessimistic"]
    rows = [_row("the estimate", results, 1)]
    if budget.is_zero:
        rows.append(_row("held-out slices", results, 2))
    print(table(header, [[str(len(results)), *row] for row in rows]))


def trained(task: Task, budget: Budget) -> Result:
    """Train on the annotated slices of a task, and compare the result."""
    case = task.case
    result = jobs.segment(case.volume, case.annotation, budget=budget, device="cpu")
    labels = task.slices_first(class_indices(result.labels, case.annotation.classes))
    return Result(task.dice(labels), None if result.estimate is None else result.estimate.mean, None)


def untrained(task: Task) -> Result:
    """Propagate the annotated slices of a task, and compare the result in all ways."""
    config, case = Config(), task.case
    windows, _ = common_windows([case], config)
    volumes = NetworkVolumes([case], windows, config, device=torch.device("cpu"))
    display = Display(volumes, config, [case])
    truth = task.dice(task.slices_first(display.predictor(0).volume().labels))
    display.measure(0)
    estimate = display.shown(0).estimate
    return Result(truth, None if estimate is None else estimate.mean, _held_out(display))


def _held_out(display: Display) -> float | None:
    (propagation,), training = display.volumes.propagations, display.config.training
    assert propagation is not None
    holdout = choose_holdout(
        display.cases[0].annotation, every=training.holdout_every, minimum=training.holdout_minimum
    )
    propagation.hold_out(holdout)
    predictor = replace(display.predictor(0), propagate=propagation.for_validation)
    return holdout_dice([predictor], display.cases, [SliceKey(0, index) for index in holdout], Interruption())


def _row(name: str, results: list[Result], column: int) -> list[str]:
    errors = [said - result.truth for result in results if (said := result[column]) is not None]
    off = sum(abs(error) > _OFF for error in errors)
    extremes = [f"{np.max(errors):+.3f}", f"{np.min(errors):+.3f}"] if errors else ["", ""]
    return [name, str(len(errors)), str(off), *extremes]


if __name__ == "__main__":
    main()
