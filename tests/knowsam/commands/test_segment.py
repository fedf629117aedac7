from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine, from_matvec
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from safetensors.numpy import load_file
from scipy.spatial.transform import Rotation

from knowsam.data.annotation import LabelClass
from knowsam.io.image import read_image
from knowsam.io.labels import read_labels, write_labels
from knowsam.models import teachers
from knowsam.training import display
from knowsam.training.dice_estimate import DiceEstimate
from knowsam.training.trained_model import load_model, save_model

SEGMENT = "segment {f}/image.nii.gz --labels {f}/labels.nii.gz -o {f}/out.nii.gz {quick}"


def voxels(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def test_the_mask_has_the_grid_of_the_image_and_the_values_of_the_labels(
    folder: Path, knowsam: Callable[[str], int]
) -> None:
    assert knowsam(SEGMENT) == 0
    image, mask = nib.load(folder / "image.nii.gz"), nib.load(folder / "out.nii.gz")
    assert mask.shape == image.shape
    assert (mask.affine == image.affine).all()
    assert (int(mask.header["sform_code"]), int(mask.header["qform_code"])) == (4, 1)
    assert np.issubdtype(mask.get_data_dtype(), np.integer)
    assert set(np.unique(mask.dataobj)) == {0, 2, 7}


def test_an_image_with_voxels_without_a_value_is_segmented_on_its_grid_for_whoever_calls_them_background(
    folder: Path, knowsam: Callable[[str], int], caplog: pytest.LogCaptureFixture
) -> None:
    image = nib.load(folder / "image.nii.gz")
    grey = image.get_fdata(dtype=np.float32)
    grey[:3] = np.nan
    nib.Nifti1Image(grey, None, image.header, dtype=np.float32).to_filename(folder / "stripped.nii.gz")
    words = "segment {f}/stripped.nii.gz --labels {f}/labels.nii.gz -o {f}/out.nii.gz --budget 0"
    assert knowsam(words) == 1
    assert knowsam(words + " --missing-as-background") == 0
    assert "are NaN or infinite; they were taken for background" in caplog.text
    given, mask = nib.load(folder / "stripped.nii.gz").header, nib.load(folder / "out.nii.gz").header
    for field in ("qform_code", "quatern_b", "quatern_c", "quatern_d", "sform_code", "srow_x", "srow_y", "srow_z"):
        assert np.array_equal(mask[field], given[field])
    assert set(np.unique(voxels(folder / "out.nii.gz"))) == {0, 2, 7}


def test_without_training_no_weights_of_a_teacher_are_downloaded(
    knowsam: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teachers, "official_weights", lambda name, _: pytest.fail(f"{name} was downloaded"))
    words = "segment {f}/image.nii.gz --labels {f}/labels.nii.gz -o {f}/out.nii.gz --budget 0 --teacher vit_b"
    assert knowsam(words) == 0


def test_a_budget_of_zero_writes_what_is_propagated_and_a_report(folder: Path, knowsam: Callable[[str], int]) -> None:
    words = "segment {f}/image.nii.gz --labels {f}/labels.nii.gz -o {f}/out.nii.gz --budget 0 --report {f}/report.json"
    assert knowsam(words) == 0
    assert set(np.unique(voxels(folder / "out.nii.gz"))) == {0, 2, 7}
    report = json.loads((folder / "report.json").read_text())
    assert report["plan"] is None
    assert not report["steps"]
    assert report["probable_dice"] == {}
    assert [one["value"] for one in report["measurements"]] == [2, 7]
    assert report["measurements"][0]["grey_mean"] == pytest.approx(140, abs=5)


def test_a_report_for_people_is_one_page(folder: Path, knowsam: Callable[[str], int]) -> None:
    words = "segment {f}/image.nii.gz --labels {f}/labels.nii.gz -o {f}/out.nii.gz --budget 0 --report {f}/page.html"
    assert knowsam(words) == 0
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert "A person painted or corrected 3 of 8 slices: " in page
    assert "No training of it has ended" in page
    assert knowsam(words) == 1


def test_the_probable_dice_is_logged_and_in_the_report(
    folder: Path, knowsam: Callable[[str], int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(display, "estimated_dice", lambda *_: DiceEstimate((0.93, None), 3))
    words = "segment {f}/image.nii.gz --labels {f}/labels.nii.gz -o {f}/out.nii.gz --budget 0 --report {f}/report.json"
    assert knowsam(words) == 0
    assert "Probable Dice between the painted slices: class 2 0.93, class 7 cannot be told" in caplog.text
    assert json.loads((folder / "report.json").read_text())["probable_dice"] == {"2": 0.93, "7": None}


def test_without_training_there_is_no_model_to_save(
    folder: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    words = "segment {f}/image.nii.gz --labels {f}/labels.nii.gz -o {f}/out.nii.gz --budget 0 --save-model {f}/model"
    assert knowsam(words) == 2
    assert "there is no model to save" in capsys.readouterr().err
    assert not (folder / "out.nii.gz").exists()


def test_the_mask_has_the_names_of_the_labels(folder: Path, knowsam: Callable[[str], int]) -> None:
    painted, named = read_labels(folder / "labels.nii.gz"), (LabelClass(7, "linke Niere ñ", (1, 2, 3)),)
    write_labels(folder / "labels.seg.nrrd", painted.array, painted.grid, named)
    assert knowsam(SEGMENT.replace("labels.nii.gz", "labels.seg.nrrd")) == 0
    assert {c.value: c.name for c in read_labels(folder / "out.nii.gz").classes} == {2: "class 2", 7: "linke Niere ñ"}


def test_by_default_exactly_the_slices_with_labels_come_out_as_painted(
    folder: Path, knowsam: Callable[[str], int], caplog: pytest.LogCaptureFixture
) -> None:
    assert knowsam(SEGMENT + " --report {f}/report.json") == 0
    painted, mask = voxels(folder / "labels.nii.gz"), voxels(folder / "out.nii.gz")
    assert (mask[..., [2, 4, 5]] == painted[..., [2, 4, 5]]).all()
    assert (
        "labels: 3 of 8 slices painted, 2 to 5 along axis 2 (inferior to superior), counted from 0 in labels"
        in caplog.text
    )
    assert "Training began with 3 annotated slices" in json.loads((folder / "report.json").read_text())["notices"][1]


@pytest.mark.parametrize(("codes", "axis"), [("LAS", 0), ("RPI", 2), ("PSL", 1), ("SRA", 0), ("ILP", 2)])
def test_axis_and_slices_count_in_the_labels_file_whatever_its_orientation(
    folder: Path, knowsam: Callable[[str], int], codes: str, axis: int
) -> None:
    image = nib.load(folder / "image.nii.gz")
    scribbles = np.random.default_rng(1).choice(np.array([0, 2, 7], np.uint8), image.shape)
    turned = nib.Nifti1Image(scribbles, image.affine).as_reoriented(
        ornt_transform(io_orientation(image.affine), axcodes2ornt(codes))
    )
    turned.to_filename(folder / "labels.nii.gz")
    assert knowsam(f"{SEGMENT} --axis {axis} --annotated-slices 1,4") == 0

    mask = nib.load(folder / "out.nii.gz")
    back = mask.as_reoriented(ornt_transform(io_orientation(mask.affine), axcodes2ornt(codes)))
    agrees = np.moveaxis(np.asarray(back.dataobj) == np.asarray(turned.dataobj), axis, 0).all(axis=(1, 2))
    assert np.flatnonzero(agrees).tolist() == [1, 4]


def test_slices_of_labels_that_are_a_part_of_the_image_are_counted_there_with_a_notice(
    folder: Path, knowsam: Callable[[str], int], caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    nib.load(folder / "labels.nii.gz").slicer[..., 1:6].to_filename(folder / "part.nii.gz")
    words = SEGMENT.replace("labels.nii.gz", "part.nii.gz")
    assert knowsam(words + " --axis 2 --annotated-slices 2,4,5") == 0
    assert "part: 3 of 8 slices painted, 2 to 5 along axis 2 (inferior to superior), counted from 0 in image" in str(
        caplog.messages
    )
    painted, mask = voxels(folder / "labels.nii.gz"), voxels(folder / "out.nii.gz")
    assert (mask[..., [2, 4, 5]] == painted[..., [2, 4, 5]]).all()
    assert knowsam(words + " --axis 2 --annotated-slices 8 --overwrite") == 2
    assert "names slice 8, but image has slices 0 to 7 along axis 2" in capsys.readouterr().err


def test_a_dicom_folder_is_segmented_and_the_report_names_neither_patient_nor_path(
    folder: Path, series: Path, knowsam: Callable[[str], int]
) -> None:
    volume = read_image(series)
    painted = np.zeros(volume.shape, np.uint8)
    painted[1, 20:60, 20:60] = 1
    write_labels(folder / "labels.nii.gz", painted, volume.grid, overwrite=True)

    assert knowsam(f"{SEGMENT} --report {{f}}/report.json".replace("image.nii.gz", "Doe_Jane")) == 0
    assert nib.load(folder / "out.nii.gz").shape == volume.grid.shape
    report = (folder / "report.json").read_text()
    for secret in ("Doe", "Jane", "4711", str(folder), "labels"):
        assert secret not in report


def test_the_same_seed_and_steps_give_the_same_mask(folder: Path, knowsam: Callable[[str], int]) -> None:
    assert knowsam(SEGMENT + " --seed 3") == 0
    first = (folder / "out.nii.gz").read_bytes()
    assert knowsam(SEGMENT + " --seed 3 --overwrite") == 0
    assert (folder / "out.nii.gz").read_bytes() == first


def test_getting_ready_does_not_use_the_budget_up(folder: Path, knowsam: Callable[[str], int]) -> None:
    quick = "--budget 0.000001s --teacher none --width 4 --device cpu --report {f}/report.json"
    assert knowsam(SEGMENT.replace("{quick}", quick)) == 0
    assert len(json.loads((folder / "report.json").read_text())["steps"]) == 1


def test_an_ignore_value_that_no_voxel_has_is_warned_of(
    knowsam: Callable[[str], int], caplog: pytest.LogCaptureFixture
) -> None:
    words = "segment {f}/image.nii.gz --labels {f}/labels.nii.gz -o {f}/out.nii.gz --budget 0"
    assert knowsam(words + " --ignore-value 99") == 0
    assert "No voxel of the labels has the value 99 of --ignore-value" in caplog.text
    caplog.clear()
    assert knowsam(words + " --ignore-value 7 --overwrite") == 0
    assert "No voxel of the labels" not in caplog.text


def test_voxels_of_the_ignore_value_are_neither_learnt_nor_kept(folder: Path, knowsam: Callable[[str], int]) -> None:
    painted = voxels(folder / "labels.nii.gz").copy()
    painted[:, :10, 4], painted[..., 7] = 99, 99
    nib.Nifti1Image(painted, nib.load(folder / "labels.nii.gz").affine).to_filename(folder / "labels.nii.gz")
    assert knowsam(SEGMENT + " --ignore-value 99 --report {f}/report.json") == 0
    mask = voxels(folder / "out.nii.gz")
    assert set(np.unique(mask)) <= {0, 2, 7}
    assert (mask[:, 10:, 4] == painted[:, 10:, 4]).all()
    assert "Training began with 3 annotated slices" in json.loads((folder / "report.json").read_text())["notices"][1]


def test_scribbles_in_every_slice_are_completed_along_their_axis(
    folder: Path, knowsam: Callable[[str], int], caplog: pytest.LogCaptureFixture
) -> None:
    truth = voxels(folder / "truth.nii.gz")
    scribbles = np.full_like(truth, 99)
    for index in range(1, 7):
        rows = slice(5 + 3 * index % 8, 7 + 3 * index % 8)
        scribbles[5:11, rows, index], scribbles[15:19, rows, index], scribbles[5:19, 1 + index % 2, index] = 2, 7, 0
    nib.Nifti1Image(scribbles, nib.load(folder / "truth.nii.gz").affine).to_filename(folder / "labels.nii.gz")
    assert knowsam(SEGMENT.replace("{quick}", "--budget 0") + " --ignore-value 99") == 0
    assert "6 of 8 slices painted, 1 to 6 along axis 2" in caplog.text
    mask = voxels(folder / "out.nii.gz")
    assert (mask != truth)[..., 1:7].mean() < 0.02


def paint_alone(folder: Path, value: int) -> None:
    """Leave the second of the two structures in the labels, under this value."""
    labels = nib.load(folder / "labels.nii.gz")
    alone = np.where(np.asarray(labels.dataobj) == 7, value, 0).astype(np.uint8)
    nib.Nifti1Image(alone, labels.affine).to_filename(folder / "labels.nii.gz")


@pytest.mark.usefixtures("model")
def test_with_a_budget_of_zero_a_model_of_other_volumes_stays_as_it_is(
    folder: Path, knowsam: Callable[[str], int]
) -> None:
    words = "segment {f}/image.nii.gz --labels {f}/labels.nii.gz -o {f}/out.nii.gz --start-from {f}/model --budget 0"
    assert knowsam(f"{words} --save-model {{f}}/kept --device cpu") == 0
    before, after = (load_file(folder / name / "model.safetensors") for name in ("model", "kept"))
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.usefixtures("model")
def test_a_model_of_other_volumes_is_gone_on_from(
    folder: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    """The three slices painted here hold one of the two structures that the model knows."""
    paint_alone(folder, 7)
    assert knowsam(f"{SEGMENT} --start-from {{f}}/model --report {{f}}/report.json") == 0
    assert "Annotate at least 12 slices" in capsys.readouterr().err
    assert {c.value for c in read_labels(folder / "out.nii.gz").classes} == {2, 7}
    painted, mask = voxels(folder / "labels.nii.gz"), voxels(folder / "out.nii.gz")
    assert (mask[..., [2, 4, 5]] == painted[..., [2, 4, 5]]).all()


@pytest.mark.usefixtures("model")
def test_a_model_that_calls_a_value_by_another_name_is_warned_of(
    folder: Path, knowsam: Callable[[str], int], caplog: pytest.LogCaptureFixture
) -> None:
    model, labels = load_model(folder / "model"), read_labels(folder / "labels.nii.gz")
    liver, spleen = (LabelClass(2, name, (1, 2, 3)) for name in ("liver", "spleen"))
    known = tuple(liver if one.value == 2 else one for one in model.classes)
    save_model(replace(model, classes=known), folder / "model", overwrite=True)
    write_labels(folder / "labels.nii.gz", labels.array, labels.grid, [spleen], overwrite=True)
    assert knowsam(f"{SEGMENT} --start-from {{f}}/model") == 0
    assert "The label value 2 is “spleen” here, but “liver” in the model. The mask gets the names" in caplog.text


@pytest.mark.usefixtures("model")
def test_what_a_model_does_not_know_is_refused(
    folder: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    paint_alone(folder, 9)
    assert knowsam(f"{SEGMENT} --start-from {{f}}/model") == 1
    assert re.search(r"The labels hold 9 \(.*\), but the model knows 2 \(.*\), 7 \(.*\)\.", capsys.readouterr().err)


def test_labels_that_do_not_tell_their_axis_are_refused_until_it_is_named(
    folder: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    image = nib.load(folder / "image.nii.gz")
    line = np.zeros(image.shape, np.uint8)
    line[4:12, 10, 3] = 2
    nib.Nifti1Image(line, image.affine).to_filename(folder / "labels.nii.gz")
    assert knowsam(SEGMENT) == 1
    assert (
        "painted: 1 (posterior to anterior) or 2 (inferior to superior). Say so with --axis" in capsys.readouterr().err
    )
    assert knowsam(f"{SEGMENT} --axis 2") == 0


def test_a_stray_voxel_is_reported_in_the_count_of_the_file(
    folder: Path, knowsam: Callable[[str], int], caplog: pytest.LogCaptureFixture
) -> None:
    labels = nib.load(folder / "labels.nii.gz")
    values = np.asarray(labels.dataobj).copy()
    values[20, 2, 3] = 2
    nib.Nifti1Image(values, labels.affine).to_filename(folder / "labels.nii.gz")
    assert knowsam(SEGMENT) == 0
    assert "labels: In slice 3, counted from 0 in labels, 1 voxel of label 2" in caplog.text


@pytest.mark.parametrize("tilt_deg", [2, 5, 10, 20])
def test_labels_painted_in_tilted_slices_are_propagated_without_any_training(
    folder: Path, knowsam: Callable[[str], int], caplog: pytest.LogCaptureFixture, tilt_deg: float
) -> None:
    shape, spacing_mm = (48, 48, 24), np.array([1.0, 1.0, 3.0])
    straight = from_matvec(np.diag(spacing_mm), -spacing_mm * (np.array(shape) - 1) / 2)
    tilted = from_matvec(Rotation.from_euler("x", tilt_deg, degrees=True).as_matrix(), np.zeros(3)) @ straight

    def ellipsoid(affine: np.ndarray) -> np.ndarray:
        places = apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))
        return (places**2 / np.square([12, 14, 27])).sum(axis=-1) < 1

    truth, painted = ellipsoid(straight), np.zeros(shape, np.uint8)
    painted[..., [5, 11, 18]] = ellipsoid(tilted)[..., [5, 11, 18]]
    grey = (np.random.default_rng(0).normal(100, 10, shape) + 80 * truth).astype(np.int16)
    nib.Nifti1Image(grey, straight).to_filename(folder / "image.nii.gz")
    nib.Nifti1Image(painted, tilted).to_filename(folder / "labels.nii.gz")
    assert knowsam(SEGMENT.replace("{quick}", "--budget 0 --device cpu")) == 0
    mask = voxels(folder / "out.nii.gz") > 0
    assert (nib.load(folder / "out.nii.gz").affine == straight).all()
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.92
    assert (f"tilted by {tilt_deg} degrees" in caplog.text) == (tilt_deg > 2)
