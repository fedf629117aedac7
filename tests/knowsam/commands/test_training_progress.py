from __future__ import annotations

import io
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from knowsam.commands.training_progress import TrainingProgress
from knowsam.report import Report
from knowsam.training.events import Event, Finished, StepDone, Validated
from knowsam.training.step import StepLosses

if TYPE_CHECKING:
    import pytest

LONG = (
    "segment {f}/image.nii.gz --labels {f}/labels.nii.gz -o {f}/out.nii.gz --report {f}/report.json "
    "--steps 500 --teacher none --width 4 --max-side-px 32 --device cpu"
)


def press_ctrl_c(times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt so many times after the second step."""
    add = Report.add

    def add_and_interrupt(report: Report, event: Event) -> None:
        add(report, event)
        if isinstance(event, StepDone) and event.step == 2:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Report, "add", add_and_interrupt)


def test_ctrl_c_ends_training_early_and_writes_the_mask_all_the_same(
    folder: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGINT)
    press_ctrl_c(1, monkeypatch)
    assert knowsam(LONG) == 0
    assert (folder / "out.nii.gz").is_file()
    report = json.loads((folder / "report.json").read_text())
    assert report["stopped_by_user"] is True
    assert len(report["steps"]) == 2
    assert capsys.readouterr().err.count("press Ctrl-C again to abort") == 1
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_aborts_with_nothing_written(
    folder: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(folder.iterdir())
    press_ctrl_c(2, monkeypatch)
    assert knowsam(LONG) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "knowsam segment: interrupted."
    assert sorted(folder.iterdir()) == before


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


EVENTS = [
    StepDone(1, 0.5, 1.0, StepLosses(0.75, 0.0, 0.0, 0.0, 0.0, 0.0)),
    Validated(1, 0.8, adopted=True),
    StepDone(2, 1.0, 2.0, StepLosses(0.25, 9.0, 0.0, 0.0, 0.0, 0.0)),
    Validated(2, 0.5, adopted=False),
    Finished(2, 2.0, stopped=False),
]


def shown_on(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    with TrainingProgress(Report(seed=0)) as progress:
        for event in EVENTS:
            progress(None, event)  # type: ignore[arg-type]
    return stream.getvalue()


def test_a_terminal_shows_one_bar_with_the_dice_of_the_adopted_students(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = shown_on(Terminal(), monkeypatch)
    assert shown.count("\n") == 1
    last = shown.rstrip().split("\r")[-1]
    assert "100%" in last
    assert "step 2, supervised loss 0.250, hold-out Dice 0.800" in last


def test_a_file_gets_one_line_for_each_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown_on(io.StringIO(), monkeypatch).splitlines() == [
        "Training  50%: step 1, supervised loss 0.750, hold-out Dice 0.800",
        "Training 100%: step 2, supervised loss 0.250, hold-out Dice 0.500",
    ]
