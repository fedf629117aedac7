from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from knowsam.config import Config
from knowsam.errors import OutputError
from knowsam.report import Report, peak_memory_mib
from knowsam.training.events import Finished, Notice, Planned, Shown, Source, StepDone, Validated
from knowsam.training.plan import make_plan
from knowsam.training.schedule import Budget
from knowsam.training.step import StepLosses

LOSSES = StepLosses(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)


def new_report() -> Report:
    report = Report(seed=5)
    report.add(Planned(make_plan(Config().with_values(width=8), Budget(seconds=90), torch.device("cpu"))))
    return report


def test_the_report_holds_what_is_needed_to_repeat_and_to_assess_a_job(tmp_path: Path) -> None:
    report = new_report()
    for event in (
        Notice("Read me."),
        StepDone(1, 0.5, 1.23456, LOSSES),
        Validated(1, 0.75, adopted=True, shown=Shown(Source.STUDENTS, 1.0, 0.75)),
        StepDone(2, 1.0, 2.5, LOSSES),
        Validated(2, 0.5, adopted=False, shown=Shown(Source.STUDENTS, 1.0, 0.75)),
        Finished(2, 2.5, stopped=True),
    ):
        report.add(event)
    report.write(tmp_path / "report.json", {"training": 2.50001})
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]

    stored = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    ran = Config().with_values(width=8, distillation=False, mixing=False)
    assert Config.from_dict(stored["plan"]["config"]) == ran
    assert (stored["plan"]["device"], stored["plan"]["budget"]) == ("cpu", {"seconds": 90, "steps": None})
    assert stored["plan"]["teacher"] is None
    assert stored["seed"] == 5
    assert {"napari-knowsam", "torch", "python"} <= stored["versions"].keys()
    assert stored["seconds"] == {"training": 2.5}
    assert stored["notices"] == ["Read me."]
    assert stored["steps"][0] == {"step": 1, "seconds": 1.235, **asdict(LOSSES), "total": 21.0}
    assert [entry["dice"] for entry in stored["validations"]] == [0.75, 0.5]
    assert stored["holdout_dice"] == 0.75
    assert stored["stopped_by_user"] is True


def test_without_a_hold_out_there_is_no_score(tmp_path: Path) -> None:
    report = new_report()
    report.add(Validated(1, None, adopted=True, shown=Shown(Source.STUDENTS, 1.0, None)))
    report.write(tmp_path / "report.json", {})
    assert json.loads((tmp_path / "report.json").read_text())["holdout_dice"] is None


def test_a_report_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot be written: No such file or directory\. Choose another place"):
        new_report().write(tmp_path / "missing" / "report.json", {})
    assert list(tmp_path.iterdir()) == []


def test_the_peak_of_the_memory_is_that_of_a_python_process() -> None:
    peak = peak_memory_mib("cpu")["main"]
    assert peak is None or 10 < peak < 100_000
