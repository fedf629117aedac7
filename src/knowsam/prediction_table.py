"""The table of many predicted images, for a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from knowsam.data.measurements import measured
from knowsam.io.atomic import written_whole

if TYPE_CHECKING:
    from pathlib import Path

    from knowsam.data.annotation import LabelArray, LabelClass
    from knowsam.data.measurements import Measurement
    from knowsam.data.volume import Volume
    from knowsam.training.trained_model import TrainedModel


@dataclass(frozen=True)
class Predicted:
    """One predicted image, or why it was not predicted.

    Parameters
    ----------
    image, mask : names of the files; no mask where there was a problem.
    measures : of each class of the model but background.
    difference : how the image differs from those that the model has learnt from.
    notices : notices of reading the image.
    problem : why there is no mask.
    """

    image: str
    mask: str = ""
    measures: Sequence[Measurement] = ()
    difference: str = ""
    problem: str = ""
    notices: Sequence[str] = ()

    def with_measures(self, labels: LabelArray, volume: Volume, model: TrainedModel) -> Predicted:
        """Return the same with measures of a mask (Z, Y, X), and with difference and notices of its image."""
        values = [label_class.value for label_class in model.classes[1:]]
        measures = measured(labels, volume.affine, values, volume.array)
        return replace(self, measures=measures, difference=model.difference(volume), notices=volume.notices)


def write_table(path: Path, rows: Iterable[Predicted], classes: Sequence[LabelClass], *, overwrite: bool) -> None:
    """Write a line for each image as comma-separated values.

    Raises
    ------
    OSError
        If the file cannot be written, or exists and is to be kept.
    """
    names = [f"{label_class.value} {label_class.name}" for label_class in classes[1:]]
    measures = [f"{name}: {what}" for name in names for what in ("ml", "diameter mm", "pieces")]
    path.parent.mkdir(parents=True, exist_ok=True)
    # With a mark of the encoding, without which spreadsheets misread names that are not English.
    with written_whole(path, overwrite=overwrite) as place, place.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "mask", *measures, "unlike", "problem", "notices"])
        for row in rows:
            numbers = [value for one in row.measures for value in _numbers(one)] or [""] * len(measures)
            writer.writerow([row.image, row.mask, *numbers, row.difference, row.problem, " ".join(row.notices)])


def _numbers(measurement: Measurement) -> tuple[str, str, str]:
    return f"{measurement.volume_ml:.2f}", f"{measurement.diameter_mm:.1f}", str(measurement.pieces)
