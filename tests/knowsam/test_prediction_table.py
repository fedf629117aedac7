"""The table of many predictions measures each mask as it lies in the patient."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from knowsam.prediction_table import Predicted, write_table

if TYPE_CHECKING:
    from pathlib import Path

    from knowsam.data.annotation import LabelClass
    from knowsam.data.volume import Volume
    from knowsam.training.trained_model import TrainedModel


class _Model:
    """Knows the classes, and finds nothing unlike."""

    def __init__(self, classes: tuple[LabelClass, ...]) -> None:
        self.classes = classes

    def difference(self, _volume: Volume) -> str:
        return ""


def test_a_diameter_is_that_of_the_voxels_in_the_patient(
    tiny: Volume, classes: tuple[LabelClass, ...], tmp_path: Path
) -> None:
    """A line of six voxels of 4 mm along z; along x, where the file counts first, they would be 1.5 mm."""
    labels = np.zeros(tiny.shape, np.uint8)
    labels[:, 3, 4] = classes[1].value
    row = Predicted("tiny.nii.gz", "mask.nii.gz").with_measures(labels, tiny, cast("TrainedModel", _Model(classes)))
    assert row.measures[0].diameter_mm == pytest.approx(24.0)
    write_table(tmp_path / "table.csv", [row], classes, overwrite=False)
    with (tmp_path / "table.csv").open(encoding="utf-8-sig", newline="") as file:
        written: list[dict[str, Any]] = list(csv.DictReader(file))
    assert float(written[0]["2 liver: ml"]) == pytest.approx(6 * 4 * 2 * 1.5 / 1000, abs=0.01)
    assert float(written[0]["2 liver: diameter mm"]) == pytest.approx(row.measures[0].diameter_mm, abs=0.1)
