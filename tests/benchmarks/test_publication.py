"""The published training as a script: its settings, and a short run that is killed and goes on."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from publication import is_published_sam, settings

from knowsam.training.continuation import read_continuation

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "publication.py"
STEPS = 20


def test_the_settings_are_those_of_the_publication() -> None:
    config = settings(variant="vit_b")
    training = config.training
    assert (training.labelled_batch, training.unlabelled_batch, config.plane.max_side_px) == (12, 12, 256)
    assert config.mixing.start * 50_000 == 12_000
    assert (training.optimizer, training.learning_rate, training.weight_decay) == ("sgd", 0.01, 1e-4)
    assert training.adapter_learning_rate == 1e-4
    assert (config.teacher.teacher_in_turn, config.teacher.adapted_blocks) == ("never", 0)
    assert config.method.distillation
    assert config.method.mixing
    assert not config.method.shape_prior


def test_a_teacher_from_a_file_differs_from_the_official_one_by_its_checksum(tmp_path: Path) -> None:
    file = tmp_path / "sam_vit_b_01ec64.pth"
    file.write_bytes(b"another SAM")
    assert [is_published_sam(choice) for choice in ("vit_b", "compact", str(file))] == [True, False, False]


def _command(hearts: Path, run: Path, *more: str) -> list[str]:
    sizes = ["--side", "32", "--batch", "2", "--steps", str(STEPS), "--every", "5", "--labelled-percent", "50"]
    short = [*sizes, "--teacher", "compact", "--device", "cpu", "--threads", "1"]
    return [sys.executable, str(SCRIPT), "--data", str(hearts), "--run", str(run), *short, *more]


def _done(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _kill_after_first_checkpoint(command: list[str], run: Path) -> None:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (run / "continuation.safetensors").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def _losses(run: Path) -> list[list[str]]:
    """Return step and losses of each line of the log, without the seconds."""
    with (run / "log.csv").open(newline="") as file:
        return [[step, *losses] for step, _, *losses in csv.reader(file)]


def _rows(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("|")]


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_as_one_that_was_not_killed(hearts: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    output = _done(_command(hearts, whole))
    _kill_after_first_checkpoint(_command(hearts, killed), killed)
    assert read_continuation(killed / "continuation.safetensors").model.steps < STEPS
    again = _done(_command(hearts, killed))

    one, other = (read_continuation(run / "continuation.safetensors") for run in (whole, killed))
    assert one.model.steps == other.model.steps == STEPS
    assert one.learning.students.keys() == other.learning.students.keys()
    for name, tensor in one.learning.students.items():
        assert torch.equal(tensor, other.learning.students[name]), name
    assert _losses(whole) == _losses(killed)
    assert [row[0] for row in _losses(whole)] == ["step", *(str(step) for step in range(1, STEPS + 1))]

    header, _, published, last, best = _rows(output)
    assert header == "|  | steps | Dice % | Jaccard % | HD95 vx | ASD vx |"
    assert "| 50000 | not known here |" in published
    assert last.startswith(f"| found, last step | {STEPS} | ")
    assert best.startswith("| found, best on validation patients | ")
    assert _rows(again) == _rows(output)
    assert "**This is not the published training**: 20 of 50000 steps, slices of 32 px, not 256, " in output
    assert "2 + 2 slices a step, not 12 + 12, another SAM than the official ViT-B, 5 of 100 patients." in output
    assert "1 of 3 patients labelled, 1 for validation, 1 tested (volumes: 2)" in output


@pytest.mark.slow
def test_a_folder_with_a_run_of_other_settings_is_refused_and_stays_as_it_is(hearts: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    _done(_command(hearts, run, "--published", "1", "2", "3", "4"))
    before = {file.name: os.stat(file).st_mtime_ns for file in run.iterdir()}
    other = subprocess.run(_command(hearts, run, "--seed", "1"), capture_output=True, text=True)
    assert other.returncode
    assert "has a run with seed 0, but now it is 1." in other.stderr
    assert {file.name: os.stat(file).st_mtime_ns for file in run.iterdir()} == before
