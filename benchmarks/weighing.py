"""How are students and propagated labels weighed best?

Students are trained for a number of steps; at some of these every rule is tried on the very same students. Dice as in
few_slices.py, mean over the volumes; `worst` is the largest loss against propagated labels alone, of any volume.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from provenance import provenance
from tables import table
from tasks import Task, find_data_set

from knowsam.config import Config
from knowsam.inference.ensemble import EnsembleWeight
from knowsam.training.events import Validated
from knowsam.training.schedule import Budget
from knowsam.training.session import TrainingSession

RULES: dict[str, tuple[float, float, float]] = {
    "students alone": (1.0, 0.0, 0.0),
    "half and half": (0.5, 0.0, 0.0),
    "d / (d + 3)": (1.0, 3.0, 0.0),
    "d / (d + 12)": (1.0, 12.0, 0.0),
    "d / (d + 12), errors": (1.0, 12.0, 3.0),
    "0.3 d / (d + 2)": (0.3, 2.0, 0.0),
    "0.3 d / (d + 2), errors (default)": (0.3, 2.0, 3.0),
    "0.3 d / (d + 2), errors x 2": (0.3, 2.0, 6.0),
}
"""`limit`, `half_distance_slices` and `error_penalty`, as in `knowsam.inference.ensemble.EnsembleWeight`."""

_VALIDATIONS_A_LOOK = 4
"""The students' error, the worse of the last two measurements, has to be known when the rules are tried."""


def dices(task: Task, steps: int, looks: int) -> list[dict[str, float]]:
    """Return at each look the Dice of every rule, and of propagated labels alone."""
    config = Config().with_values(variant="none", mixing=False, validations=_VALIDATIONS_A_LOOK * looks)
    session = TrainingSession([task.case], budget=Budget(steps=steps), config=config)
    found = []
    due = {round(steps * (look + 1) / looks) for look in range(looks)}
    for event in session.run():
        if isinstance(event, Validated) and event.step in due:
            found.append(_by_rule(task, session))
    return found


def _by_rule(task: Task, session: TrainingSession) -> dict[str, float]:
    predictor = session.predictor()
    error = 0.0 if predictor.weight is None else predictor.weight.student_error

    def dice(weight: EnsembleWeight | None) -> float:
        return task.dice(task.slices_first(replace(predictor, weight=weight).volume().labels))

    found = {"propagated alone": dice(None)}
    return found | {name: dice(EnsembleWeight(error, *rule)) for name, rule in RULES.items()}


def main() -> None:
    """Print one table for each data set and number of annotated slices."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="FOLDER", help="as for few_slices.py")
    parser.add_argument("-k", type=int, nargs="+", default=[3, 5, 10], help="annotated slices (default: 3 5 10)")
    parser.add_argument("--volumes", type=int, default=4, help="volumes of each folder, at most (default: 4)")
    parser.add_argument("--steps", type=int, default=240, help="training steps (default: 240)")
    parser.add_argument("--looks", type=int, default=2, help="how often all rules are tried (default: 2)")
    options = parser.parse_args()
    lines = provenance("seed 0")
    for data in map(find_data_set, options.data):
        for k in options.k:
            runs = [
                dices(data.truth(name).task(k), options.steps, options.looks)
                for name in data.volumes[: options.volumes]
            ]
            lines += ["", f"{data.name}, k = {k}", "", _table(runs, options.steps)]
    print("\n".join(lines))


def _table(runs: list[list[dict[str, float]]], steps: int) -> str:
    looks = len(runs[0])
    at = [round(steps * (look + 1) / looks) for look in range(looks)]
    header = ["rule", *(f"after {step} steps" for step in at), "worst"]
    return table(
        header,
        [
            [
                name,
                *(f"{np.mean([run[look][name] for run in runs]):.4f}" for look in range(looks)),
                f"{min(found[name] - found['propagated alone'] for run in runs for found in run):+.4f}",
            ]
            for name in ("propagated alone", *RULES)
        ],
    )


if __name__ == "__main__":
    main()
