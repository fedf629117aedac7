"""Which images a folder holds, how far each is, and what is kept of that."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest

from knowsam.errors import InputError, OutputError
from knowsam.project.case import CaseState, ProjectCase
from knowsam.project.project import FOLDER, Project

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelClass

Finish = Callable[[Project, ProjectCase], ProjectCase]


def states(project: Project) -> list[tuple[str, str]]:
    return [(case.name, case.state.value) for case in project.cases]


def test_images_come_by_name_with_numbers_in_their_order_and_masks_do_not(folder: Path) -> None:
    project = Project(folder)
    assert states(project) == [("p1", "to do"), ("p2", "to do"), ("p10", "to do")]
    assert (project.classes, project.axis) == ((), None)
    assert not (folder / FOLDER).exists()


def test_what_is_kept_is_there_again_and_moves_with_the_folder(
    folder: Path, classes: tuple[LabelClass, ...], finish: Finish
) -> None:
    project = Project(folder)
    finish(project, project.cases[1])
    project.keep(ProjectCase(project.cases[2].path, CaseState.IN_WORK, "f", "T1 (series 2)"), classes[:2], 2)
    moved = folder.rename(folder.with_name("moved"))
    again = Project(moved)
    assert states(again) == [("p1", "to do"), ("p2", "done"), ("p10", "in work")]
    assert again.done == (again.cases[1],)
    assert again.cases[2] == ProjectCase(moved / "p10.nii.gz", CaseState.IN_WORK, "f", "T1 (series 2)")
    # A class of any image is a class of all of them.
    assert (again.classes, again.axis) == (classes, 2)


def test_the_next_image_is_one_that_is_not_done_and_the_first_comes_after_the_last(
    folder: Path, finish: Finish
) -> None:
    project = Project(folder)
    first, second, third = project.cases
    assert project.next_after(None) == first
    assert project.next_after(first.path) == second
    assert project.next_after(third.path) == first
    finish(project, second)
    assert project.next_after(first.path) == third
    finish(project, third)
    assert project.next_after(first.path) is None
    finish(project, first)
    assert project.next_after(None) is None


def test_two_windows_keep_what_the_other_has_noted(folder: Path, finish: Finish) -> None:
    one, other = Project(folder), Project(folder)
    finish(one, one.cases[0])
    finish(other, other.cases[1])
    assert states(Project(folder)) == [("p1", "done"), ("p2", "done"), ("p10", "to do")]


def test_an_image_that_is_gone_is_not_listed_and_comes_back_as_it_was(folder: Path, finish: Finish) -> None:
    project = Project(folder)
    finish(project, project.cases[0])
    aside = (folder / "p1.nii.gz").rename(folder.with_name("aside.nii.gz"))
    without = Project(folder)
    assert states(without) == [("p2", "to do"), ("p10", "to do")]
    finish(without, without.cases[0])
    aside.rename(folder / "p1.nii.gz")
    assert states(Project(folder)) == [("p1", "done"), ("p2", "done"), ("p10", "to do")]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        json.dumps({"format": 2, "axis": 0, "classes": [], "cases": {}}),
        json.dumps({"format": 1, "axis": 3, "classes": [], "cases": {}}),
        json.dumps({"format": 1, "axis": 0, "classes": [[1, "liver", [1, 2]]], "cases": {}}),
        json.dumps({"format": 1, "axis": 0, "classes": [[0, "background", [0, 0, 900]]], "cases": {}}),
        json.dumps({"format": 1, "axis": 0, "classes": [[2, "liver", [0, 0, 0]]], "cases": {}}),
        '{"format": 1, "axis": 0, "classes": [[Infinity, "liver", [0, 0, 0]]], "cases": {}}',
        json.dumps({"format": 1, "axis": 0, "classes": [], "cases": {"p1.nii.gz": ["finished", "", ""]}}),
    ],
)
def test_a_damaged_record_is_refused_and_stays(folder: Path, content: str) -> None:
    place = folder / FOLDER / "project.json"
    place.parent.mkdir()
    place.write_text(content)
    with pytest.raises(InputError, match="cannot be read as a project"):
        Project(folder)
    assert place.read_text() == content


def test_a_folder_without_images_says_what_is_expected(tmp_path: Path) -> None:
    nib.Nifti1Image(np.ones((3, 3, 3), np.uint8), np.eye(4)).to_filename(tmp_path / "liver_mask.nii.gz")
    with pytest.raises(InputError, match="a project is a folder of images"):
        Project(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        Project(tmp_path / "absent")


def test_a_dicom_series_is_no_project_but_folders_of_series_are(tmp_path: Path) -> None:
    series = tmp_path / "study" / "b"
    series.mkdir(parents=True)
    (series / "1").write_bytes(bytes(128) + b"DICM" + bytes(200))
    with pytest.raises(InputError, match="Put each series into a folder of its own"):
        Project(series)
    (tmp_path / "study" / "empty").mkdir()
    (tmp_path / "study" / ".hidden.nii.gz").write_bytes(b"")
    assert [case.name for case in Project(tmp_path / "study").cases] == ["b"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_says_so(folder: Path, classes: tuple[LabelClass, ...]) -> None:
    project = Project(folder)
    folder.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="cannot be kept"):
            project.keep(project.cases[0], classes, 0)
    finally:
        folder.chmod(0o700)


def test_a_place_that_is_taken_says_so(folder: Path, classes: tuple[LabelClass, ...]) -> None:
    project = Project(folder)
    (folder / FOLDER).write_text("a file where the folder is to be")
    with pytest.raises((OutputError, InputError)):
        project.keep(project.cases[0], classes, 0)
