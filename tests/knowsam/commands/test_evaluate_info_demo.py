from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

from knowsam.data.annotation import LabelClass
from knowsam.io.labels import read_labels, write_labels

if TYPE_CHECKING:
    import pytest


def test_evaluate_prints_the_scores_of_each_class_as_a_table(
    knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert knowsam("evaluate {f}/labels.nii.gz {f}/truth.nii.gz") == 0
    header, second, seventh = capsys.readouterr().out.splitlines()
    assert header.split()[:2] == ["class", "Dice"]
    # Three of six equal slices; a voxel has 4.5 mm3.
    assert second.split()[:2] + second.split()[4:6] == ["2", "0.667", "1.08", "2.16"]
    assert seventh.split()[:2] + seventh.split()[4:6] == ["7", "0.667", "0.81", "1.62"]
    assert len({len(line) for line in (header, second, seventh)}) == 1


def test_masks_that_call_a_value_by_different_names_are_compared_with_a_warning(
    folder: Path, knowsam: Callable[[str], int], caplog: pytest.LogCaptureFixture
) -> None:
    labels = read_labels(folder / "labels.nii.gz")
    for name in ("liver", "spleen"):
        write_labels(folder / f"{name}.nii.gz", labels.array, labels.grid, [LabelClass(2, name, (1, 2, 3))])
    assert knowsam("evaluate {f}/liver.nii.gz {f}/labels.nii.gz") == 0
    assert "The label value" not in caplog.text
    assert knowsam("evaluate {f}/liver.nii.gz {f}/spleen.nii.gz") == 0
    assert "liver: The label value 2 is “liver” here, but “spleen” in spleen. The scores compare" in caplog.text


def test_a_distance_to_nothing_is_a_dash_in_the_table_and_null_in_json(
    folder: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    truth = nib.load(folder / "truth.nii.gz")
    only_seven = np.where(np.asarray(truth.dataobj) == 7, 7, 0).astype(np.uint8)
    nib.Nifti1Image(only_seven, truth.affine).to_filename(folder / "seven.nii.gz")
    assert knowsam("evaluate {f}/seven.nii.gz {f}/truth.nii.gz") == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:4] == ["2", "0.000", "-", "-"]
    assert knowsam("evaluate {f}/seven.nii.gz {f}/truth.nii.gz --json") == 0
    missing, found = json.loads(capsys.readouterr().out)
    assert (missing["value"], missing["dice"], missing["hd95_mm"], missing["assd_mm"]) == (2, 0.0, None, None)
    assert (found["value"], found["dice"], found["hd95_mm"]) == (7, 1.0, 0.0)


def test_info_prints_geometry_and_classes_in_the_count_of_the_file(
    knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert knowsam("info {f}/truth.nii.gz") == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "axis voxels spacing mm runs",
        "0 24 1 right to left",
        "1 20 1.5 posterior to anterior",
        "2 8 3 inferior to superior",
        "axes along the body",
        "values 0 to 7 (uint8)",
        "class voxels volume ml diameter mm pieces",
        "0 3000 13.50 - -",
        "2 480 2.16 23.6 1",
        "7 360 1.62 23.0 1",
    ]


def test_info_prints_the_names_that_a_mask_holds(
    folder: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    truth = read_labels(folder / "truth.nii.gz")
    write_labels(folder / "named.nii.gz", truth.array, truth.grid, [LabelClass(7, "left kidney", (1, 2, 3))])
    assert knowsam("info {f}/named.nii.gz") == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[-4:] == [
        "class voxels volume ml diameter mm pieces name",
        "0 3000 13.50 - -",
        "2 480 2.16 23.6 1",
        "7 360 1.62 23.0 1 left kidney",
    ]


def test_info_prints_the_classes_of_a_mask_that_is_stored_as_fractions_and_none_of_an_image(
    folder: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    truth = nib.load(folder / "truth.nii.gz")
    truth.set_data_dtype(np.float64)
    truth.to_filename(folder / "float.nii.gz")
    assert knowsam("info {f}/float.nii.gz") == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["7", "360", "1.62", "23.0", "1"]
    assert knowsam("info {f}/image.nii.gz") == 0
    assert "class" not in capsys.readouterr().out


def test_the_demo_leaves_mask_picture_report_and_a_score_even_with_one_step_of_the_compact_sam(
    folder: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert knowsam("demo -o {f}/demo --steps 1 --device cpu") == 0
    assert sorted(path.name for path in (folder / "demo").iterdir()) == ["mask.nii.gz", "picture.png", "report.json"]
    assert "Dice on the 24 slices that were not annotated" in capsys.readouterr().out
    assert (
        json.loads((folder / "demo" / "report.json").read_text())["plan"]["config"]["teacher"]["variant"] == "compact"
    )
