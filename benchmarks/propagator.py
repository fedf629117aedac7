"""Is the pretrained propagator better than propagated labels alone, in whatever structure, before any training?

Every structure of every volume is a task of its own: k slices of it are annotated, evenly between its first and its
last one (or, with `--inner`, all but both ends of them, so that it goes on beyond the annotated ones). Dice on the
slices between annotated ones, and on all that were not annotated. Structures of fewer than 13 slices have three
annotated slices at most.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import process_time

import numpy as np
import torch
from interpolation import interpolate
from painters import PAINTERS
from propagated import propagated
from provenance import provenance
from rival import Effort
from tables import table
from tasks import Task, Truth, find_data_set, mean_dice, places

from knowsam.config import Config
from knowsam.data.annotation import Annotation, default_classes
from knowsam.models import propagator
from knowsam.training.schedule import Budget

_FEW_SLICES = 13
_FEW_ANNOTATED = 3
_SHORTEST_SLICES = 5
_ROWS = ("interpolation", "propagated", "propagator")


@dataclass(frozen=True)
class Result:
    """Dice of each row in one structure, between annotated slices and everywhere, and the CPU seconds of the last."""

    data: str
    structure: str
    between: tuple[float, ...]
    everywhere: tuple[float, ...]
    seconds: float


def main() -> None:
    """Run all structures and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_task_options(parser)
    parser.add_argument("--painter", choices=["exact", "a pixel off"], default="exact", help="who annotates")
    parser.add_argument("--whole", action="store_true", help="annotate all structures of a volume together")
    parser.add_argument("--inner", action="store_true", help="leave both ends of each structure unannotated")
    parser.add_argument("--weights", type=Path, help="of another propagator than the one that is shipped")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.weights is not None:
        propagator.WEIGHTS_FILE = options.weights
        propagator.WEIGHTS_SHA256 = sha256(options.weights.read_bytes()).hexdigest()
    results = []
    for name, task in tasks(options):
        results.append(result_of(name, task))
        print(results[-1], file=sys.stderr, flush=True)
    print(*provenance("no training"), sep="\n")
    print(_table(results))


def add_task_options(parser: argparse.ArgumentParser) -> None:
    """Ask which volumes to run, and how many slices to annotate."""
    parser.set_defaults(whole=False, inner=False, painter="exact")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of volumes with labels")
    parser.add_argument("-k", type=int, default=5, help="annotated slices (default: 5)")
    parser.add_argument("--volumes", choices=["all", "odd", "even"], default="all", help="by position in the folder")
    parser.add_argument("--most", type=int, help="volumes of each folder (default: all)")


def tasks(options: argparse.Namespace) -> Iterator[tuple[str, Task]]:
    """Yield each task with its name."""
    for truth in truths(options):
        for name, own in [(truth.name, truth)] if options.whole else structures(truth):
            held = range(int(own.held[0]), int(own.held[-1]) + 1)
            if len(held) >= _SHORTEST_SLICES:
                count = options.k if len(held) >= _FEW_SLICES else min(options.k, _FEW_ANNOTATED)
                yield name, own.annotated_in(places(held, count, inner=options.inner), PAINTERS[options.painter])


def truths(options: argparse.Namespace) -> Iterator[Truth]:
    """Yield each volume that was asked for."""
    for folder in options.data:
        data = find_data_set(folder)
        chosen = {"all": data.volumes, "odd": data.volumes[::2], "even": data.volumes[1::2]}[options.volumes]
        yield from map(data.truth, chosen[: options.most])


def structures(truth: Truth) -> Iterator[tuple[str, Truth]]:
    """Yield each class of a volume as its only one."""
    for value in range(1, int(truth.indices.max()) + 1):
        indices = (truth.indices == value).astype(np.uint8)
        if indices.any():
            axis, shape = truth.annotation.axis, truth.annotation.shape
            labels = np.moveaxis(indices, 0, axis)
            whole = Annotation.from_labels(labels, axis, range(shape[axis]), default_classes([0, 1]))
            yield f"{truth.name} {value}", Truth(truth.data, truth.name, truth.volume, whole, indices)


def result_of(name: str, task: Task) -> Result:
    """Score one task, on all slices that were not annotated."""
    found = [interpolate(task, Effort(Budget(steps=1), 0, 1)).labels]
    for pretrained in (False, True):
        started = process_time()
        found.append(propagated(task, Config().with_values(pretrained=pretrained)))
    seconds = round(process_time() - started, 2)
    hidden = [index for index in range(len(task.truth)) if index not in task.annotated]
    between = tuple(round(task.dice(labels), 4) for labels in found)
    everywhere = tuple(round(mean_dice(labels[hidden], task.truth[hidden], task.classes), 4) for labels in found)
    return Result(task.data, name, between, everywhere, seconds)


def _table(results: list[Result]) -> str:
    rows = []
    for data in [*dict.fromkeys(result.data for result in results), "all"]:
        own = [result for result in results if data in (result.data, "all")]
        gains = [result.between[2] - result.between[1] for result in own]
        worst = own[int(np.argmin(gains))]
        rows.append(
            [
                data,
                str(len(own)),
                *(f"{mean:.3f}" for mean in np.mean([result.between for result in own], axis=0)),
                f"{np.mean(gains):+.3f}",
                f"{min(gains):+.3f} ({worst.structure})",
                str(sum(result.between[2] < result.between[0] for result in own)),
                *(f"{mean:.3f}" for mean in np.mean([result.everywhere for result in own], axis=0)),
                f"{np.mean([result.seconds for result in own]):.1f}",
            ]
        )
    header = ["task", "structures", *_ROWS, "gain", "smallest gain", "below interpolation"]
    header += [*(f"{row}, everywhere" for row in _ROWS), "seconds"]
    return table(header, rows)


if __name__ == "__main__":
    main()
