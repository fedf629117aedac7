"""The example of the documentation runs as it stands, only shorter."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import TYPE_CHECKING

from knowsam.io.labels import read_labels
from knowsam.io.sample import sample_folder
from knowsam.training.schedule import Budget

if TYPE_CHECKING:
    import pytest

EXAMPLE = Path(__file__).parents[2] / "examples/segment_sample.py"


def test_the_example_paints_trains_corrects_and_exports_a_mask(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example = runpy.run_path(str(EXAMPLE))

    dice = example["main"](tmp_path / "liver.nii.gz", Budget(steps=1))

    mask, output = read_labels(tmp_path / "liver.nii.gz"), capsys.readouterr().out
    truth = read_labels(sample_folder() / "phantom_labels.nii.gz").array
    for index in (*example["PAINTED"], example["CORRECTED"]):
        assert ((mask.array[index] == 1) == (truth[index] == 1)).all()
    assert dice > 0.85
    assert [label_class.name for label_class in mask.classes] == ["liver"]
    assert "Predicted slices: 20" in output
    assert "Step 1, 100%" in output
