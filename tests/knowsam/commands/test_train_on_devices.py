"""Several processes train one model, which one of them writes."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TRAIN = "train {f}/image.nii.gz {f}/other.nii.gz --labels {f}/labels.nii.gz {f}/labels.nii.gz -o {f}/model {quick}"

Knowsam = Callable[[str], int]


def test_two_processes_train_one_model_which_predicts(
    folder: Path, knowsam: Knowsam, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("lightning_fabric")
    shutil.copy(folder / "image.nii.gz", folder / "other.nii.gz")
    train = TRAIN.replace("{quick}", "{quick} --steps 4 --devices 2 --report {f}/report.json")
    assert knowsam(train) == 0
    assert [path.name for path in (folder / "model").iterdir()] == ["model.safetensors"]
    report = json.loads((folder / "report.json").read_text())
    assert (report["devices"], len(report["steps"])) == (2, 4)
    assert capfd.readouterr().err.count("Training 100%") == 1
    assert caplog.text.count("Model: ") == 1
    assert knowsam("predict {f}/model {f}/image.nii.gz -o {f} --device cpu") == 0


@pytest.mark.parametrize("count", ["0", "-1", "two", "1.5"])
def test_a_number_of_devices_that_is_none_is_refused(
    count: str, knowsam: Knowsam, capsys: pytest.CaptureFixture[str]
) -> None:
    assert knowsam(f"{TRAIN} --devices {count}") == 2
    assert f"--devices: {count!r} is no whole number from 1" in capsys.readouterr().err


def test_one_process_needs_no_fabric(folder: Path, knowsam: Knowsam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    shutil.copy(folder / "image.nii.gz", folder / "other.nii.gz")
    assert knowsam(TRAIN) == 0


def test_a_missing_package_is_reported_before_anything_is_read(
    knowsam: Knowsam, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    assert knowsam(TRAIN.replace("other", "missing") + " --devices 2") == 2
    error = capsys.readouterr().err
    assert "not installed (lightning_fabric)" in error
    assert 'pip install "napari-knowsam[parallel]"' in error
