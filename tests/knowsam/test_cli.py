from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from knowsam.cli import main
from knowsam.commands import info
from knowsam.errors import ConfigError, InputError, KnowSAMError
from knowsam.io.sample import sample_folder

if TYPE_CHECKING:
    from argparse import Namespace

HEAVY = ("torch", "segment_anything")


def raise_in_info(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: Namespace) -> None:
        raise error

    monkeypatch.setattr(info, "run", run)


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("Found. Expected. Remedy."), 1, "knowsam info: Found. Expected. Remedy."),
        (ConfigError("Wrong word."), 2, "knowsam info: Wrong word."),
        (
            PermissionError(13, "Permission denied", "/locked"),
            1,
            "knowsam info: [Errno 13] Permission denied: '/locked'",
        ),
        (KeyboardInterrupt(), 1, "knowsam info: interrupted."),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    error: BaseException,
    status: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    raise_in_info(error, monkeypatch)
    assert main(["info", "image.nii"]) == status
    assert capsys.readouterr().err == line + "\n"
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(("error", "status"), [(InputError("No."), 1), (ConfigError("No."), 2)])
def test_debug_adds_the_traceback_and_keeps_the_exit_code(
    error: KnowSAMError, status: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    raise_in_info(error, monkeypatch)
    assert main(["info", "image.nii", "--debug"]) == status
    assert "Traceback" in caplog.text
    assert type(error).__name__ in caplog.text


@pytest.mark.parametrize(
    "words", [["--help"], ["segment", "--help-all"], ["info", str(sample_folder() / "phantom.nii.gz")]]
)
def test_help_and_info_load_no_torch(words: list[str]) -> None:
    code = f"""
import sys
from knowsam.cli import main
try:
    status = main({words!r})
except SystemExit as end:
    status = end.code
print(*(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr, end="")
sys.exit(status)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_the_installed_program_answers_with_the_right_exit_code(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("knowsam")
    done = subprocess.run([program, "info", tmp_path / "missing.nii"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"knowsam info: There is no file {tmp_path / 'missing.nii'}. Check the path.\n"
