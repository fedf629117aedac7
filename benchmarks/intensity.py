"""What is the scale of grey values worth? Dice from k painted slices, on percentiles and on the scale in use.

Every image is also tried with a padding value outside the circle of reconstruction, which is to change nothing. Without
`--steps` nothing is trained: labels propagated by registration see the same planes as the networks, and no seed blurs
the comparison. With it, each score is that of the mask after so many steps, mean over the seeds, without padding.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
from propagated import propagated
from provenance import provenance
from tables import table
from tasks import DataSet, Task

from knowsam import jobs
from knowsam.config import Config
from knowsam.data.annotation import class_indices
from knowsam.data.intensity import HOUNSFIELD, UnitScale, unit_scale
from knowsam.training.schedule import Budget

PADDING = -3024


def main() -> None:
    """Print Dice of each image and k."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path, nargs="+", help="NAME.nii.gz with NAME_label.nii.gz beside it")
    parser.add_argument("-k", type=int, nargs="+", default=[3, 4, 6], help="annotated slices (default: 3 4 6)")
    parser.add_argument("--file-axis", type=int, default=2, help="axis of the slices in the files (default: 2)")
    parser.add_argument("--steps", type=int, default=0, help="training steps (default: none)")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each row (default: 2)")
    options = parser.parse_args()
    rows = [row for image in options.images for row in _rows(image, options)]
    header = ["image", "scale", "k", "percentiles", "in use", "percentiles, padded", "in use, padded"]
    header = header[: 5 if options.steps else None]
    seeds = f"0 to {options.seeds - 1}" if options.steps else "none"
    print("\n".join([*provenance(seeds), table(header, rows)]))


def _rows(image: Path, options: argparse.Namespace) -> Iterator[list[str]]:
    if image.parent.name == "images":
        label = image.parent.with_name("labels") / image.name
    else:
        label = image.with_name(image.name.replace(".nii.gz", "_label.nii.gz"))
    data = DataSet(image.parent.name, options.file_axis, (image,), (label,))
    truth = data.truth(data.volumes[0])
    for k in options.k:
        task = truth.task(k)
        is_ct = unit_scale(task.case.volume.array, Config().plane.clip_percent) is HOUNSFIELD
        versions = (task,) if options.steps else (task, _padded(task))
        scores = [f"{score:.3f}" for version in versions for score in _scores(version, options)]
        yield [task.name, "CT" if is_ct else "range", str(k), *scores]
        print(options.steps, image.name, k, *scores, file=sys.stderr, flush=True)


def _scores(task: Task, options: argparse.Namespace) -> Iterator[float]:
    with patch("knowsam.inference.planes.unit_scale", _percentiles):
        yield _score(task, options)
    yield _score(task, options)


def _score(task: Task, options: argparse.Namespace) -> float:
    if not options.steps:
        return task.scores(propagated(task, Config().with_values(pretrained=False))).dice
    return float(np.mean([task.scores(_trained(task, options.steps, seed)).dice for seed in range(options.seeds)]))


def _trained(task: Task, steps: int, seed: int) -> npt.NDArray[np.uint8]:
    """Return the class indices (N, H, W) after training, empty beyond the outermost painted slices."""
    config = Config().with_values(variant="none", mixing=False, beyond_ends=False)
    case, budget = task.case, Budget(steps=steps)
    result = jobs.segment(case.volume, case.annotation, budget=budget, config=config, seed=seed)
    return task.slices_first(class_indices(result.labels, case.annotation.classes))


def _percentiles(array: npt.NDArray[np.number], clip_percent: float, _: object) -> UnitScale:
    low, high = np.percentile(array, (clip_percent, 100 - clip_percent))
    return UnitScale((float(low), float(high)))


def _padded(task: Task) -> Task:
    volume = task.case.volume
    slices = np.moveaxis(volume.array.astype(np.int16), task.case.annotation.axis, 0).copy()
    rows, columns = (np.linspace(-1, 1, count) for count in slices.shape[1:])
    slices[:, rows[:, None] ** 2 + columns**2 > 1] = PADDING
    array = np.moveaxis(slices, 0, task.case.annotation.axis)
    return replace(task, case=replace(task.case, volume=replace(volume, array=array)))


if __name__ == "__main__":
    main()
