"""`knowsam project` lists the images of a folder and writes the masks of those that are done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from knowsam.cli import main
from knowsam.project.case import ProjectCase
from knowsam.project.project import Project

if TYPE_CHECKING:
    import pytest

Finish = Callable[[Project, ProjectCase], ProjectCase]


def test_it_lists_how_far_the_images_are(folder: Path, finish: Finish, capsys: pytest.CaptureFixture[str]) -> None:
    project = Project(folder)
    finish(project, project.cases[1])
    assert main(["project", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:3]] == [["to", "do", "p1"], ["done", "p2"], ["to", "do", "p10"]]
    assert lines[3] == "1 of 3 images are done."


def test_it_writes_what_can_be_written_and_fails_for_the_rest(
    folder: Path, tmp_path: Path, finish: Finish, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Project(folder)
    for case in project.cases[:2]:
        finish(project, case)
    (folder / "p1.nii.gz").write_bytes(b"damaged")
    words = ["project", str(folder), "--export", str(tmp_path / "masks")]
    assert main(words) == 1
    assert [path.name for path in (tmp_path / "masks").iterdir()] == ["p2_mask.nii.gz"]
    assert "1 of 2 masks were not written" in capsys.readouterr().err
    before = (tmp_path / "masks" / "p2_mask.nii.gz").stat().st_mtime_ns
    assert main(words) == 1
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "masks" / "p2_mask.nii.gz").stat().st_mtime_ns == before
