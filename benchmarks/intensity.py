"""What is the scale of grey values worth? Labels carried from k painted slices, on percentiles and on the scale in use.

Every image is also tried with a padding value outside the circle of reconstruction, which is to change nothing. Nothing
is trained: what is carried by registration sees the same planes as the networks, and no seed blurs the comparison.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
from carried_prior import carried
from provenance import provenance
from tables import table
from tasks import DataSet, Task

from knowsam.config import Config
from knowsam.data.intensity import HOUNSFIELD, UnitScale, unit_scale

PADDING = -3024


def main() -> None:
    """Print Dice of each image and k."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path, nargs="+", help="NAME.nii.gz with NAME_label.nii.gz beside it")
    parser.add_argument("-k", type=int, nargs="+", default=[3, 4, 6], help="annotated slices (default: 3 4 6)")
    parser.add_argument("--file-axis", type=int, default=2, help="axis of the slices in the files (default: 2)")
    options = parser.parse_args()
    rows = [row for image in options.images for row in _rows(image, options.file_axis, options.k)]
    header = ["image", "scale", "k", "percentiles", "in use", "percentiles, padded", "in use, padded"]
    print("\n".join([*provenance("none"), table(header, rows)]))


def _rows(image: Path, file_axis: int, counts: list[int]) -> Iterator[list[str]]:
    label = image.with_name(image.name.replace(".nii.gz", "_label.nii.gz"))
    data = DataSet(image.parent.name, file_axis, (image,), (label,))
    truth = data.truth(data.volumes[0])
    for k in counts:
        task = truth.task(k)
        is_ct = unit_scale(task.case.volume.array, Config().plane.clip_percent) is HOUNSFIELD
        scores = [f"{score:.3f}" for version in (task, _padded(task)) for score in _scores(version)]
        yield [task.name, "CT" if is_ct else "range", str(k), *scores]


def _scores(task: Task) -> Iterator[float]:
    with patch("knowsam.inference.planes.unit_scale", _percentiles):
        yield task.scores(carried(task, Config())).dice
    yield task.scores(carried(task, Config())).dice


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
