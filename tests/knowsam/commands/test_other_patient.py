"""Labels of another patient: refused by every command that takes labels, unless somebody says that they know."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from knowsam.data.volume import Volume
from knowsam.io.dicom.seg_writer import write_dicom_seg
from knowsam.io.image import read_volume
from knowsam.io.labels import read_labels, write_labels

Run = Callable[[str], int]

SECRETS = ("Doe", "Jane", "4711", "4712", "1.2.9")
SEGMENT = "segment {f}/Doe_Jane --labels {f}/other.dcm -o {f}/out.nii.gz {quick} --debug"
TRAIN = "train {f}/Doe_Jane --labels {f}/other.dcm -o {f}/model {quick}"
EXPORT = "export {f}/other.dcm --source {f}/Doe_Jane -o {f}/exported.dcm"
EVALUATE = "evaluate {f}/other.dcm {f}/own.dcm"


@pytest.fixture
def own(series: Path) -> Path:
    """own.dcm, a segmentation of two slices of the series."""
    volume = read_volume(series)
    labels = np.zeros(volume.shape, np.uint8)
    labels[1:3, 20:50, 30:50] = 1
    mask = Volume(labels, volume.grid, "mask")
    write_dicom_seg(series.parent / "own.dcm", mask, volume)
    return series.parent / "own.dcm"


@pytest.fixture
def write_other(own: Path) -> Callable[..., None]:
    """Write other.dcm, which is own.dcm with other attributes of patient and study."""

    def write(*, of_series: bool = True, **attributes: str) -> None:
        dataset = pydicom.dcmread(own)
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        if not of_series:
            dataset.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.9.1"
        dataset.save_as(own.with_name("other.dcm"))

    return write


@pytest.mark.parametrize("command", [SEGMENT, TRAIN, EXPORT, EVALUATE], ids=lambda command: command.split()[0])
@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"PatientID": "4712"}, "different patients"),
        ({"FrameOfReferenceUID": "1.2.9.3"}, "different frames of reference"),
        ({"StudyInstanceUID": "1.2.9.2", "FrameOfReferenceUID": "", "of_series": False}, "different studies"),
    ],
)
def test_labels_of_another_patient_place_or_study_are_refused_and_nobody_is_named(
    command: str,
    attributes: dict[str, str],
    reason: str,
    write_other: Callable[..., None],
    knowsam: Run,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_other(**attributes)
    assert knowsam(command) == 1
    error = capsys.readouterr().err
    assert re.search(f"{reason}.*--ignore-identity", error)
    assert not any(secret in error + caplog.text for secret in SECRETS)
    assert not any((folder / name).exists() for name in ("out.nii.gz", "model", "exported.dcm"))


def test_who_knows_that_they_lie_on_each_other_can_say_so(
    write_other: Callable[..., None], knowsam: Run, own: Path
) -> None:
    write_other(PatientID="4712", FrameOfReferenceUID="1.2.9.3")
    for words in (SEGMENT, TRAIN, EXPORT, EVALUATE):
        assert knowsam(f"{words} --ignore-identity") == 0
    # It belongs to the study of the series, as its pixels do now.
    assert pydicom.dcmread(own.with_name("exported.dcm")).PatientID == "4711-secret"


def test_labels_that_are_anonymised_or_of_another_study_in_the_same_place_are_taken(
    write_other: Callable[..., None], knowsam: Run, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    write_other(PatientID="", PatientName="anonymous", StudyInstanceUID="1.2.9.2")
    assert knowsam(EVALUATE) == 0
    assert "another study" not in caplog.text
    write_other(StudyInstanceUID="1.2.9.2", of_series=False)
    assert knowsam(EVALUATE) == 0
    assert "another study" in caplog.text
    assert "1.000" in capsys.readouterr().out


def test_a_segmentation_without_empty_slices_is_exported_into_its_series(own: Path, knowsam: Run, folder: Path) -> None:
    dataset = pydicom.dcmread(own)
    del dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    dataset.save_as(folder / "other.dcm")
    assert knowsam(EXPORT) == 0
    assert np.array_equal(read_labels(folder / "exported.dcm").array, read_labels(own).array)


def test_painted_slices_alone_are_compared_where_they_lie(
    own: Path, series: Path, knowsam: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = read_volume(series)
    labels = np.zeros(volume.shape, np.uint8)
    labels[[0, 3], 20:50, 30:50] = 1
    mask = Volume(labels, volume.grid, "mask")
    write_dicom_seg(own, mask, volume, overwrite=True)
    dataset = pydicom.dcmread(own)
    del dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    dataset.save_as(folder / "other.dcm")
    write_labels(folder / "whole.nii.gz", labels, volume.grid)
    for words in ("evaluate {f}/other.dcm {f}/whole.nii.gz", "evaluate {f}/whole.nii.gz {f}/other.dcm"):
        assert knowsam(words) == 0
        assert "1.000" in capsys.readouterr().out
