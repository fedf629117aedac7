"""Nothing that a DICOM header or the names of its files say of a patient comes out anywhere."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.datadict import DicomDictionary

from knowsam.io.image import read_image
from knowsam.io.labels import write_labels
from knowsam.io.sample import sample_folder

MARKS = ("ZZQ", "19470711", "4711.815")
"""In texts and names, in dates, and in identifiers."""

_FIRST_OF_AN_IMAGE = 0x00080000
_TEXTS = ("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UT")
_IDENTIFIERS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "DeviceUID")


def marked(dataset: pydicom.Dataset, number: int) -> pydicom.Dataset:
    """Write a mark into every text, date and identifier there is, and into private elements."""
    for tag, (vr, vm, _, _, keyword) in DicomDictionary.items():
        if tag < _FIRST_OF_AN_IMAGE:
            continue
        if vm.startswith("1") and keyword and vr in _TEXTS:
            setattr(dataset, keyword, "ZZQ^JANE" if vr == "PN" else "ZZQ")
        elif vm == "1" and keyword and vr == "DA":
            setattr(dataset, keyword, "19470711")
    for keyword in _IDENTIFIERS:
        setattr(dataset, keyword, "1.2.4711.815")
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.4711.815.{number + 1}"
    dataset.private_block(0x0099, "ZZQ", create=True).add_new(1, "LO", "ZZQ")
    return dataset


@pytest.fixture
def marked_series(folder: Path) -> Path:
    """ZZQ_Jane, a folder with four marked slices in files called after the patient, and labels for them."""
    series = folder / "ZZQ_Jane"
    series.mkdir()
    slices = [pydicom.dcmread(path) for path in (sample_folder() / "phantom_dicom").iterdir()]
    slices.sort(key=lambda found: float(found.ImagePositionPatient[2]))
    for number, dataset in enumerate(slices[:4]):
        # Not deflated, so that a part of the file can be spoiled.
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        marked(dataset, number).save_as(series / f"ZZQ_Jane_{number}.dcm")
    volume = read_image(series)
    painted = np.zeros(volume.shape, np.uint8)
    painted[1, 20:60, 20:60] = 1
    write_labels(folder / "labels.nii.gz", painted, volume.grid, overwrite=True)
    return series


def assert_unmarked(*contents: bytes | str) -> None:
    for content in contents:
        text = content if isinstance(content, str) else content.decode("latin-1")
        assert [mark for mark in MARKS if mark in text] == []


Knowsam = Callable[[str], int]
SEGMENT = (
    "segment {f}/ZZQ_Jane --labels {f}/labels.nii.gz -o {f}/out.nii.gz --save-model {f}/model --report {f}/report.json "
    "--debug {quick}"
)


def test_the_series_is_really_marked(marked_series: Path) -> None:
    content = next(marked_series.iterdir()).read_bytes()
    assert all(mark.encode() in content for mark in MARKS)


def test_neither_files_nor_messages_name_the_patient(
    folder: Path,
    marked_series: Path,
    knowsam: Knowsam,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert knowsam("info {f}/ZZQ_Jane --debug") == 0
    assert knowsam(SEGMENT) == 0
    model = [path.read_bytes() for path in (folder / "model").iterdir()]
    assert len(model) > 0
    assert_unmarked(
        *model, (folder / "report.json").read_bytes(), gzip.decompress((folder / "out.nii.gz").read_bytes())
    )
    assert_unmarked(*capfd.readouterr(), caplog.text)


@pytest.mark.parametrize("spoiled", ["pixels", "header", "orientation", "missing"])
def test_no_refusal_names_the_patient_even_with_its_traceback(
    spoiled: str,
    marked_series: Path,
    knowsam: Knowsam,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = sorted(marked_series.iterdir())[1]
    whole = path.read_bytes()
    if spoiled == "missing":
        path.unlink()
    elif spoiled == "pixels":
        path.write_bytes(whole[:-1000])
    elif spoiled == "header":
        path.write_bytes(whole[:1000])
    else:
        tag = b"\x20\x00\x37\x00DS"
        start = whole.index(tag) + 8
        path.write_bytes(whole[:start] + b"ZZQ\\ZZQ" + whole[start + 7 :])
    assert knowsam(SEGMENT) == 1
    error = capfd.readouterr().err
    assert "knowsam segment:" in error
    assert "Traceback" in caplog.text
    assert_unmarked(error, caplog.text)


def test_of_series_the_description_is_shown_unless_it_names_the_patient(
    marked_series: Path, knowsam: Knowsam, capfd: pytest.CaptureFixture[str]
) -> None:
    for path in sorted(marked_series.iterdir())[:2]:
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID, dataset.SeriesDescription = "1.2.4711.815.9", "T1 axial"
        dataset.save_as(path)
    assert knowsam("info {f}/ZZQ_Jane") == 0
    printed = capfd.readouterr().out
    assert "] T1 axial (series 1)" in printed
    assert_unmarked(printed)
