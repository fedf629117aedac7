"""Every semi-supervised method through the command line: it runs, and what is left behind names it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from knowsam.config import MethodConfig
from knowsam.training.semi_supervised.methods import METHODS
from knowsam.training.trained_model import load_model

OTHERS = sorted(METHODS.keys() - {MethodConfig().semi_supervised})

SEGMENT = "segment {f}/image.nii.gz --labels {f}/labels.nii.gz -o {f}/out.nii.gz {quick} --report {f}/report.json"


@pytest.mark.parametrize("method", OTHERS)
def test_a_volume_is_segmented_by_each_method_and_report_and_model_name_it(
    folder: Path, knowsam: Callable[[str], int], method: str
) -> None:
    assert knowsam(f"{SEGMENT} --semi-supervised {method} --save-model {{f}}/model") == 0
    assert set(np.unique(nib.load(folder / "out.nii.gz").dataobj)) == {0, 2, 7}
    report = json.loads((folder / "report.json").read_text())
    assert report["plan"]["config"]["method"]["semi_supervised"] == method
    assert f"The students learn by {METHODS[method].title}." in report["notices"]
    assert [step["entropy"] for step in report["steps"]] == [0]
    model = load_model(folder / "model")
    assert model.config.method.semi_supervised == method
    assert model.plan["config"]["method"]["semi_supervised"] == method


def test_a_method_is_taught_by_sam_where_that_is_asked_for(folder: Path, knowsam: Callable[[str], int]) -> None:
    words = SEGMENT.replace("{quick}", "--width 4 --max-side-px 32 --precision float32 --device cpu")
    assert knowsam(f"{words} --steps 3 --semi-supervised mean_teacher --distillation") == 0
    steps = json.loads((folder / "report.json").read_text())["steps"]
    assert all(step["consistency"] > 0 < step["teacher"] for step in steps)
    assert steps[-1]["distillation"] > 0


def test_the_usual_method_is_not_reported(folder: Path, knowsam: Callable[[str], int]) -> None:
    assert knowsam(SEGMENT) == 0
    assert not any("learn by" in notice for notice in json.loads((folder / "report.json").read_text())["notices"])


def test_a_method_that_is_not_there_is_refused_with_those_that_are(
    knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert knowsam(SEGMENT + " --semi-supervised fixmatch") == 2
    message = capsys.readouterr().err
    assert all(name in message for name in METHODS)
