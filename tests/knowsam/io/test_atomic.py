from __future__ import annotations

import os
from pathlib import Path

import pytest

from knowsam.errors import OutputError
from knowsam.io.atomic import check_free, check_new_place, check_place, written_whole


def test_what_was_written_takes_the_place_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "result.txt"
    path.write_text("old")
    with written_whole(path) as complete:
        complete.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_write_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "result.txt"
    path.write_text("old")

    def interrupted() -> None:
        with written_whole(path) as complete:
            complete.write_text("half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("has_links", [True, False])
def test_of_two_writers_at_once_the_second_one_fails(
    tmp_path: Path, has_links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "result.txt"

    def write(text: str, meanwhile: str | None = None) -> None:
        with written_whole(path, overwrite=False) as complete:
            complete.write_text(text)
            if meanwhile is not None:
                write(meanwhile)

    with pytest.raises(FileExistsError):
        write("slow", meanwhile="fast")
    assert path.read_text() == "fast"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_that_leads_nowhere_takes_a_name(tmp_path: Path) -> None:
    link = tmp_path / "mask.nii.gz"
    link.symlink_to(tmp_path / "gone.nii.gz")
    with pytest.raises(OutputError, match="exists already and is kept"):
        check_free(link, overwrite=False)


def test_a_link_that_may_be_replaced_stays_and_the_file_it_leads_to_is_written(tmp_path: Path) -> None:
    link, file = tmp_path / "mask.nii.gz", tmp_path / "elsewhere" / "mask-v3"
    file.parent.mkdir()
    file.write_text("old")
    link.symlink_to(file)
    check_place(link, overwrite=True)
    with written_whole(link) as complete:
        assert complete.name == "mask.nii.gz"
        complete.write_text("new")
    assert link.is_symlink()
    assert file.read_text() == "new"
    assert list(file.parent.iterdir()) == [file]


def test_a_link_into_a_missing_folder_is_refused_beforehand(tmp_path: Path) -> None:
    link = tmp_path / "mask.nii.gz"
    link.symlink_to(tmp_path / "missing" / "mask.nii.gz")
    with pytest.raises(OutputError, match="missing does not exist"):
        check_place(link, overwrite=True)


def test_nothing_is_left_of_a_check_though_the_way_leads_back(tmp_path: Path) -> None:
    check_new_place(tmp_path / "missing" / ".." / ".." / tmp_path.name / "new" / "mask.nii.gz")
    check_new_place(tmp_path / "missing" / ".." / "a" / ".." / ".." / "mask.nii.gz")
    assert not list(tmp_path.iterdir())


def test_where_a_link_may_be_replaced_the_place_it_leads_to_is_checked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    link = tmp_path / "model.safetensors"
    link.symlink_to(tmp_path / "file" / "model.safetensors")
    with pytest.raises(OutputError, match=r"file/model\.safetensors: Not a directory"):
        check_new_place(link, overwrite=True)
