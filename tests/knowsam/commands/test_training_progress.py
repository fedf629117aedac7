from __future__ import annotations

import io
import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from knowsam.commands.training_progress import TrainingProgress
from knowsam.report import Report
from knowsam.training.events import Event, Finished, Shown, Source, StepDone, Validated
from knowsam.training.step import StepLosses

LONG = (
    "segment {f}/image.nii.gz --labels {f}/labels.nii.gz -o {f}/out.nii.gz --report {f}/report.json "
    "--steps 500 --teacher none --width 4 --max-side-px 32 --device cpu"
)


ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@pytest.fixture(autouse=True)
def _signals_arrive() -> Iterator[None]:
    """Be interrupted also where a shell has started the tests in the background, which leaves Ctrl-C to others."""
    before = {number: signal.getsignal(number) for number in ENDING}
    for number in ENDING:
        signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def interrupt(monkeypatch: pytest.MonkeyPatch, *signals: signal.Signals) -> None:
    """Send signals after the second step."""
    add = Report.add

    def add_and_interrupt(report: Report, event: Event) -> None:
        add(report, event)
        if isinstance(event, StepDone) and event.step == 2:
            for number in signals:
                signal.raise_signal(number)

    monkeypatch.setattr(Report, "add", add_and_interrupt)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_ends_training_early_and_the_mask_is_written_all_the_same(
    folder: Path,
    knowsam: Callable[[str], int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    before = signal.getsignal(number)
    interrupt(monkeypatch, number)
    assert knowsam(LONG) == 0
    assert (folder / "out.nii.gz").is_file()
    report = json.loads((folder / "report.json").read_text())
    assert report["stopped_by_user"] is True
    assert len(report["steps"]) == 2
    assert capsys.readouterr().err.count("press Ctrl-C again to abort") == 1
    assert signal.getsignal(number) is before


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGHUP")
def test_a_closed_terminal_says_so_twice_and_the_mask_is_written_all_the_same(
    folder: Path, knowsam: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(monkeypatch, signal.SIGHUP, signal.SIGHUP)
    assert knowsam(LONG) == 0
    assert (folder / "out.nii.gz").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGHUP")
def test_an_ignored_signal_stays_ignored(
    folder: Path, knowsam: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        interrupt(monkeypatch, signal.SIGHUP)
        assert knowsam(LONG.replace("--steps 500", "--steps 4")) == 0
    finally:
        signal.signal(signal.SIGHUP, before)
    assert json.loads((folder / "report.json").read_text())["stopped_by_user"] is False


def test_a_second_ctrl_c_aborts_with_nothing_written(
    folder: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(folder.iterdir())
    interrupt(monkeypatch, signal.SIGINT, signal.SIGINT)
    assert knowsam(LONG) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "knowsam segment: interrupted."
    assert sorted(folder.iterdir()) == before


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


EVENTS = [
    StepDone(1, 0.5, 1.0, StepLosses(0.75, 0.0, 0.0, 0.0, 0.0, 0.0)),
    Validated(1, 0.8, adopted=True, shown=Shown(Source.STUDENTS, 1.0, 0.8)),
    StepDone(2, 1.0, 2.0, StepLosses(0.25, 9.0, 0.0, 0.0, 0.0, 0.0)),
    Validated(2, 0.5, adopted=False, shown=Shown(Source.STUDENTS, 1.0, 0.8)),
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
