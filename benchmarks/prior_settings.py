"""What is propagated to slices that nobody annotated, before anything is trained: by which settings is it best?

Every row changes one setting of the default. Dice as in few_slices.py, mean over the volumes, with one column for each
number of annotated slices.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from propagated import propagated
from provenance import provenance
from tables import table
from tasks import Task, find_data_set

from knowsam.config import Config

ROWS: dict[str, dict[str, Any]] = {
    "default": {},
    "without registration": {"registration": False},
    "reach 0.02": {"reach": 0.02},
    "reach 0.06": {"reach": 0.06},
    "reach 0.08": {"reach": 0.08},
    "softness 0.02": {"softness": 0.02},
    "softness 0.08": {"softness": 0.08},
    "plane of 64 px": {"max_side_px": 64},
    "plane of 128 px": {"max_side_px": 128},
}


def propagated_dice(task: Task, changes: dict[str, Any]) -> float:
    """Return the Dice of what a session shows before its first step."""
    return task.dice(propagated(task, Config().with_values(variant="none", pretrained=False, **changes)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="FOLDER", help="as for few_slices.py")
    parser.add_argument("-k", type=int, nargs="+", default=[3, 5, 10], help="annotated slices (default: 3 5 10)")
    parser.add_argument("--volumes", type=int, default=8, help="volumes of each folder, at most (default: 8)")
    options = parser.parse_args()
    sets = [find_data_set(folder) for folder in options.data]
    sets = [
        replace(data, images=data.images[: options.volumes], labels=data.labels[: options.volumes]) for data in sets
    ]
    tasks = {
        f"{data.name}, k = {k}": [data.truth(volume).task(k) for volume in data.volumes]
        for data in sets
        for k in options.k
    }
    cells = [
        [name, *(f"{np.mean([propagated_dice(task, changes) for task in own]):.4f}" for own in tasks.values())]
        for name, changes in ROWS.items()
    ]
    print("\n".join([*provenance("no randomness"), table(["row", *tasks], cells)]))


if __name__ == "__main__":
    main()
