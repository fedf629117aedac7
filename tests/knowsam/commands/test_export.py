"""`knowsam export`, and painted labels on another grid than their image."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from knowsam.io.image import read_volume
from knowsam.io.labels import read_labels, write_labels

Run = Callable[[str], int]


@pytest.fixture
def mask(series: Path) -> Path:
    """Labels 1 and 4 on the grid of the series, in mask.nii.gz."""
    volume = read_volume(series)
    labels = np.zeros(volume.shape, np.uint8)
    labels[1:3, 20:30, 30:50], labels[2, 40:50, 30:50] = 1, 4
    write_labels(series.parent / "mask.nii.gz", labels, volume.grid)
    return series.parent / "mask.nii.gz"


def test_a_mask_becomes_a_segmentation_and_its_terms_are_printed(
    mask: Path, knowsam: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        knowsam("export {f}/mask.nii.gz --source {f}/Doe_Jane -o {f}/seg.dcm --term 4=Nierenrest --term 1=liver") == 0
    )
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == [
        "    1  liver: Liver (SNOMED CT 10200004)",
        "    4  Nierenrest: Nierenrest (no standard term, kept as your words)",
    ]
    labels = read_labels(mask.with_name("seg.dcm"))
    assert [(c.value, c.name) for c in labels.classes] == [(1, "liver"), (4, "Nierenrest")]
    written = pydicom.dcmread(mask.with_name("seg.dcm"))
    assert written.PatientName == "Doe^Jane"
    assert written.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"


@pytest.mark.parametrize("name", ["Doe_Jane/2.dcm", "Doe_Jane/2.rtstruct.dcm"])
def test_no_slice_of_the_series_is_replaced(
    name: str, mask: Path, knowsam: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    file = (mask.parent / "Doe_Jane" / "2.dcm").rename(mask.parent / name)
    before = file.read_bytes()
    assert knowsam(f"export {{f}}/mask.nii.gz --source {{f}}/Doe_Jane -o {{f}}/{name} --overwrite") == 1
    assert "a file of the image itself" in capsys.readouterr().err
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("-o {f}/seg.nii.gz", "must end in .dcm, .rtstruct.dcm, .stl or .obj"),
        ("-o {f}/seg.dcm", "The DICOM series that the mask was made in is required"),
        ("--source {f}/Doe_Jane -o {f}/seg.dcm --term 1=liver --term 1=kidney", "names one value twice"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    options: str, message: str, mask: Path, knowsam: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert knowsam(f"export {{f}}/{mask.name} {options}") != 0
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("pair", ["{f}/seg.dcm {f}/mask.nii.gz", "{f}/mask.nii.gz {f}/seg.dcm"])
def test_a_segmentation_agrees_with_its_mask_although_it_has_no_empty_slices(
    pair: str, mask: Path, knowsam: Run, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert knowsam("export {f}/mask.nii.gz --source {f}/Doe_Jane -o {f}/seg.dcm") == 0
    assert read_labels(mask.with_name("seg.dcm")).shape[0] < read_labels(mask).shape[0]
    capsys.readouterr()
    assert knowsam(f"evaluate {pair} --json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert [(s["value"], s["dice"], s["hd95_mm"]) for s in scores] == [(1, 1.0, 0.0), (4, 1.0, 0.0)]
    assert "voxels of mask; the others were taken for background" in caplog.text


def test_nothing_of_the_patient_is_printed(mask: Path, knowsam: Run, capsys: pytest.CaptureFixture[str]) -> None:
    words = "export {f}/mask.nii.gz --source {f}/Doe_Jane -o {f}/seg.dcm --debug"
    assert knowsam(words) == 0
    assert knowsam(words) == 1
    output = capsys.readouterr()
    assert "exists already and is kept" in output.err
    assert not any(secret in output.out + output.err for secret in ("Doe", "Jane", "4711"))
    assert mask.is_file()


def test_a_mask_nobody_touched_can_be_called_automatic_and_a_file_replaced(mask: Path, knowsam: Run) -> None:
    target = mask.with_name("seg.dcm")
    target.write_text("old")
    words = "export {f}/mask.nii.gz --source {f}/Doe_Jane -o {f}/seg.dcm --automatic --overwrite"
    assert knowsam(words) == 0
    assert pydicom.dcmread(target).SegmentSequence[1].SegmentAlgorithmType == "AUTOMATIC"


@pytest.mark.parametrize(
    ("rest", "status", "message"),
    [
        ("--source {f}/Doe_Jane -o {f}/seg.nii", 1, r"must end in \.dcm"),
        ("--source {f}/Doe_Jane -o {f}/none/seg.dcm", 1, "does not exist"),
        ("--source {f}/image.nii.gz -o {f}/seg.dcm", 1, "was not read from DICOM"),
        ("--source {f}/Doe_Jane -o {f}/seg.dcm --term 3=liver", 2, "names the value 3, but mask holds 1, 4"),
        ("--source {f}/Doe_Jane -o {f}/seg.dcm --term liver", 2, "'liver' is no value of the mask and its words"),
        ("--source {f}/Doe_Jane -o {f}/seg.dcm --term 0=liver", 2, "'0=liver' is no value"),
        ("-o {f}/seg.dcm", 2, "required: --source"),
    ],
)
@pytest.mark.usefixtures("mask")
def test_what_cannot_be_exported_is_refused(
    rest: str, status: int, message: str, folder: Path, knowsam: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert knowsam(f"export {{f}}/mask.nii.gz {rest}") == status
    assert re.search(message, " ".join(capsys.readouterr().err.split()))
    assert not (folder / "seg.dcm").exists()


def test_a_segmentation_can_be_painted_labels(mask: Path, knowsam: Run) -> None:
    assert knowsam("export {f}/mask.nii.gz --source {f}/Doe_Jane -o {f}/seg.dcm --term 1=liver") == 0
    words = "segment {f}/Doe_Jane --labels {f}/seg.dcm -o {f}/out.nii.gz --axis 2 {quick} --report {f}/r.json"
    assert knowsam(words) == 0
    assert set(np.unique(read_labels(mask.with_name("out.nii.gz")).array)) <= {0, 1, 4}
    assert json.loads((mask.parent / "r.json").read_text())


def test_a_structure_set_has_the_names_of_the_classes(
    mask: Path, knowsam: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "export {f}/mask.nii.gz --source {f}/Doe_Jane -o {f}/plan.rtstruct.dcm --term 4=rest"
    assert knowsam(words) == 0
    path = mask.with_name("plan.rtstruct.dcm")
    assert capsys.readouterr().out.splitlines() == ["    1  class 1", "    4  rest", f"Structure set: {path}"]
    assert [region.ROIName for region in pydicom.dcmread(path).StructureSetROISequence] == ["class 1", "rest"]
    assert knowsam(words.replace(" --source {f}/Doe_Jane", "")) == 2


def test_surfaces_need_no_series(mask: Path, knowsam: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert knowsam("export {f}/mask.nii.gz -o {f}/mesh.stl --term 4=rest") == 0
    output = capsys.readouterr().out.splitlines()
    written = [mask.with_name("mesh_1_class 1.stl"), mask.with_name("mesh_4_rest.stl")]
    assert output == [f"Surface: {path}" for path in written]
    assert all(path.is_file() for path in written)


def test_painted_labels_on_another_grid_are_resampled_with_a_notice(
    folder: Path, knowsam: Run, caplog: pytest.LogCaptureFixture
) -> None:
    labels = nib.load(folder / "labels.nii.gz")
    values = np.asarray(labels.dataobj).repeat(2, axis=0)
    affine = labels.affine @ np.diag([0.5, 1, 1, 1])
    affine[:3, 3] -= affine[:3, 0] / 2
    nib.Nifti1Image(values, affine).to_filename(folder / "fine.nii.gz")
    assert knowsam("segment {f}/image.nii.gz --labels {f}/fine.nii.gz -o {f}/out.nii.gz --axis 2 {quick}") == 0
    assert "fine: The labels have other voxels than the image, so they were resampled" in caplog.text
    assert read_labels(folder / "out.nii.gz").grid.shape == nib.load(folder / "image.nii.gz").shape


def test_labels_that_are_off_by_a_hair_are_taken_as_they_are(
    folder: Path, knowsam: Run, caplog: pytest.LogCaptureFixture
) -> None:
    labels = nib.load(folder / "labels.nii.gz")
    shifted = labels.affine.copy()
    shifted[0, 3] += 0.0045
    nib.Nifti1Image(np.asarray(labels.dataobj), shifted).to_filename(folder / "shifted.nii.gz")
    assert knowsam("segment {f}/image.nii.gz --labels {f}/shifted.nii.gz -o {f}/out.nii.gz --axis 2 {quick}") == 0
    assert "resampled" not in caplog.text
