"""Is the uncertainty that is shown the probability of being wrong?

Each volume is painted in evenly spaced slices; all others are predicted by propagated labels alone (`--steps 0`) or
after training. Their pixels are sorted by the probability of error that the window would show, and counted are those
that are wrong. Slices between the outermost painted ones and those beyond have a table each. In a calibrated table,
every column has what its head says; the last column is the mean distance from that, over pixels above 1 %.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import anatomies
import numpy as np
import numpy.typing as npt
from propagated import session_after
from provenance import provenance
from tables import table
from tasks import Task, find_data_set

from knowsam.config import Config

EDGES = np.array([0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 1.0])
"""Of the bins of the probability of error; below the first one, pixels are taken for certain."""

Counts = npt.NDArray[np.float64]
"""(3, bins): pixels, sum of the shown probabilities, wrong pixels."""


def main() -> None:
    """Measure all volumes and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="data sets, or folders of them")
    parser.add_argument("--most", type=int, default=6, help="volumes of each data set (default: 6)")
    parser.add_argument("-k", type=int, default=5, help="painted slices (default: 5)")
    parser.add_argument("--steps", type=int, default=0, help="training steps (default: none)")
    options = parser.parse_args()
    between: dict[str, Counts] = {}
    beyond: dict[str, Counts] = {}
    for name, task in tasks(options.data, options.most, options.k):
        inside, outside = counts(task, options.steps)
        print(name, task.name, *inside[2].astype(int), file=sys.stderr, flush=True)
        between[name] = between.get(name, 0) + inside
        beyond[name] = beyond.get(name, 0) + outside
    print(*provenance("seed 0"), sep="\n")
    for title, found in (("between painted slices", between), ("beyond them", beyond)):
        heads = [f"{100 * low:.0f} to {100 * high:.0f} %" for low, high in pairwise(EDGES)]
        print(table([title, *heads, "off"], [row(name, own) for name, own in found.items()]), end="\n\n")


def tasks(folders: list[Path], most: int, k: int) -> Iterator[tuple[str, Task]]:
    """Yield the name of the data set and the task."""
    for folder in folders:
        if any(folder.glob("*/*_label.nii.gz")):
            for image in anatomies.images(folder, [""]):
                yield image.parent.name, anatomies.painted(image, k)
        else:
            data = find_data_set(folder)
            yield from ((data.name, data.truth(volume).task(k)) for volume in data.volumes[:most])


def counts(task: Task, steps: int) -> tuple[Counts, Counts]:
    """Return what was found between the outermost painted slices, and beyond them."""
    config = Config().with_values(variant="none", mixing=False)
    session = session_after(steps, task, config)
    inside, outside = (np.zeros((3, len(EDGES) - 1)) for _ in range(2))
    hidden = [index for index in range(len(task.truth)) if index not in task.annotated]
    for predicted in session.predictor().slices(hidden):
        probability = predicted.error_probability
        wrong = (predicted.labels != task.truth[predicted.index]).astype(float)
        own = np.stack([np.histogram(probability, EDGES, weights=w)[0] for w in (None, probability, wrong)])
        is_between = min(task.annotated) < predicted.index < max(task.annotated)
        (inside if is_between else outside)[:] += own
    return inside, outside


def row(name: str, own: Counts) -> list[str]:
    """Return for each bin the share that is wrong, and the mean distance from what is shown."""
    pixels, shown, wrong = own
    rates = [f"{100 * w / n:.0f}" if n else "" for n, w in zip(pixels, wrong, strict=True)]
    off = 100 * np.abs(wrong - shown).sum() / max(pixels.sum(), 1)
    return [name, *rates, f"{off:.1f}"]


if __name__ == "__main__":
    main()
