"""Whatever has become of standard output and standard error, a command neither fails for them nor shows a traceback."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from knowsam.commands.standard_streams import dependable_streams
from knowsam.data.annotation import LabelClass
from knowsam.data.volume import Grid
from knowsam.io.labels import write_labels

CODE = "import sys; from knowsam.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """Holds a class whose name is in Greek."""
    path, grid = tmp_path / "mask.nii.gz", Grid((2, 3, 4), np.eye(4))
    write_labels(
        path, np.ones(grid.working_shape, np.uint8), grid, (LabelClass(1, "\u03ae\u03c0\u03b1\u03c1", (9, 9, 9)),)
    )
    return path


def test_letters_that_an_encoding_lacks_become_escapes(mask: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "cp1252"}
    done = subprocess.run([sys.executable, "-c", CODE, "info", mask], capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\u03ae\u03c0" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="the redirections of a POSIX shell")
@pytest.mark.parametrize(
    ("redirection", "status", "message"),
    [
        ("| true", 0, ""),
        (">&-", 0, ""),
        (">&- 2>&- <&-", 0, ""),
        pytest.param(
            "> /dev/full",
            1,
            "knowsam info: [Errno 28] No space left on device",
            marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full"),
        ),
    ],
)
def test_output_that_nobody_can_read_is_no_traceback(mask: Path, redirection: str, status: int, message: str) -> None:
    script = f'set -o pipefail; "$0" -c "$1" info "$2" {redirection}'
    done = subprocess.run(["bash", "-c", script, sys.executable, CODE, mask], capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip(), done.stdout) == (status, message, "")


class Broken(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("stream", [None, Broken()])
def test_nothing_ends_because_standard_error_is_closed_or_breaks(
    stream: io.StringIO | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    with dependable_streams():
        assert sys.stderr.write("for nobody") == len("for nobody")
        assert not sys.stderr.isatty()
    assert sys.stderr is stream


def test_a_file_that_is_opened_never_takes_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    script = """
import os
os.close(2)
from knowsam.commands.standard_streams import dependable_streams
with dependable_streams(), open("opened.txt", "w") as file:
    os.write(2, b"from a library in C")
    file.write("what belongs there")
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    assert (tmp_path / "opened.txt").read_text() == "what belongs there"
