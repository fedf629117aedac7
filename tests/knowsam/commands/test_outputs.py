"""What took long to compute is saved somewhere, whatever has become of the place it was meant for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import nibabel as nib
import pytest

from knowsam.commands.outputs import check_mask, saved
from knowsam.errors import OutputError
from knowsam.io.atomic import output_written
from knowsam.report import Report
from knowsam.training.events import Event, StepDone


def write(path: Path) -> None:
    with output_written(path, overwrite=False) as complete:
        complete.write_text("an hour of training")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep what is saved elsewhere inside the folder of the test."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    return folder


def test_an_input_is_no_result_under_another_name_either(tmp_path: Path) -> None:
    image, link = tmp_path / "image.nii.gz", tmp_path / "link.nii.gz"
    image.write_bytes(b"voxels")
    link.hardlink_to(image)
    with pytest.raises(OutputError, match="is an input, but is named as the result as well"):
        check_mask(link, inputs=[image, tmp_path / "missing.nii.gz"], overwrite=True)


@pytest.mark.parametrize(
    ("taken", "free"),
    [
        ((), "mask.nii.gz"),
        (("mask.nii.gz",), "mask-1.nii.gz"),
        (("mask.nii.gz", "mask-1.nii.gz"), "mask-2.nii.gz"),
        (("model.v2",), "model-1.v2"),
    ],
)
def test_a_name_that_was_taken_meanwhile_gets_a_number(tmp_path: Path, taken: tuple[str, ...], free: str) -> None:
    for name in taken:
        (tmp_path / name).write_text("of another")
    assert saved(tmp_path / (taken[0] if taken else free), write) == tmp_path / free
    assert (tmp_path / free).read_text() == "an hour of training"
    assert all((tmp_path / name).read_text() == "of another" for name in taken)


def test_if_the_folder_is_gone_the_nearest_one_above_it_is_taken_with_a_notice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = saved(tmp_path / "drive" / "results" / "mask.nii.gz", write)
    assert place == tmp_path / "mask.nii.gz"
    assert (
        f"results does not exist. Make it, or choose another one. So that nothing is lost, it was saved as {place}"
        in (caplog.text)
    )


def test_what_fits_into_no_near_folder_goes_home(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "current").mkdir()
    monkeypatch.chdir(tmp_path / "current")

    def write_at_home(path: Path) -> None:
        if path.parent != home:
            raise OSError(28, "No space left on device")
        write(path)

    assert saved(Path("mask.nii.gz"), write_at_home) == home / "mask.nii.gz"
    shutil.rmtree(tmp_path / "current")
    assert saved(Path("mask.nii.gz"), write_at_home) == home / "mask-1.nii.gz"


def test_what_can_be_saved_nowhere_is_an_error(tmp_path: Path) -> None:
    def fail(_: Path) -> None:
        raise OutputError("The first of all.")

    with pytest.raises(OutputError, match="The first of all"):
        saved(tmp_path / "mask.nii.gz", fail)


QUICK = "--labels {f}/labels.nii.gz --report {f}/net/report.json {quick}"


@pytest.mark.parametrize(
    ("text", "results"),
    [
        ("segment {f}/image.nii.gz -o {f}/net/out.nii.gz --save-model {f}/net/model", ("out.nii.gz", "report.json")),
        ("train {f}/image.nii.gz -o {f}/net/model", ("report.json",)),
    ],
)
def test_a_folder_that_disappears_while_training_costs_no_result(
    folder: Path, knowsam: Callable[[str], int], monkeypatch: pytest.MonkeyPatch, text: str, results: tuple[str, ...]
) -> None:
    (folder / "net").mkdir()
    after_first_step(monkeypatch, lambda: shutil.rmtree(folder / "net", ignore_errors=True))
    assert knowsam(f"{text} {QUICK}") == 0
    found = {path.name: path for path in folder.rglob("*")}
    assert found.keys() >= {*results, "model.safetensors"}


def test_a_model_that_no_place_takes_costs_neither_mask_nor_report(
    folder: Path, knowsam: Callable[[str], int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "net").mkdir()
    full = Mock(side_effect=OSError(28, "No space left on device"))
    monkeypatch.setattr("knowsam.training.trained_model.write_tensors", full)
    text = f"segment {{f}}/image.nii.gz -o {{f}}/net/out.nii.gz --save-model {{f}}/net/model {QUICK}"
    assert knowsam(text) == 1
    assert {path.name for path in (folder / "net").iterdir()} >= {"out.nii.gz", "report.json"}


def test_a_mask_that_another_process_has_written_meanwhile_is_kept_beside_ours(
    folder: Path, knowsam: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "net").mkdir()
    after_first_step(monkeypatch, lambda: (folder / "out.nii.gz").write_text("of another"))
    assert knowsam(f"segment {{f}}/image.nii.gz -o {{f}}/out.nii.gz {QUICK}") == 0
    assert (folder / "out.nii.gz").read_text() == "of another"
    assert nib.load(folder / "out-1.nii.gz").shape == nib.load(folder / "image.nii.gz").shape


def after_first_step(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    add = Report.add

    def add_and_let_happen(report: Report, event: Event) -> None:
        add(report, event)
        if isinstance(event, StepDone) and event.step == 1:
            happens()

    monkeypatch.setattr(Report, "add", add_and_let_happen)
