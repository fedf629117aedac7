"""DICOM segmentations out: every reader sees the mask where it was, with its terms, on the frames it was made in."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from nibabel.affines import apply_affine
from seg_sources import COLUMNS, ROWS, SLICES, enhanced, grid, mask, series

from knowsam.data.annotation import LabelClass
from knowsam.data.orientation import from_working
from knowsam.data.segment_terms import term_for
from knowsam.data.volume import Grid, Volume
from knowsam.errors import InputError, OutputError
from knowsam.io.dicom.seg_writer import check_dicom_seg_writable, is_dicom_seg_name, write_dicom_seg
from knowsam.io.image import read_volume
from knowsam.io.labels import read_labels

SHARED_SERIES = Path(__file__).parents[4] / "shared" / "data" / "dicom_brain_mr" / "11-T1post-18670"
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture
def source(tmp_path: Path) -> Volume:
    return read_volume(series(tmp_path / "series"))


def written(folder: Path, labels: Volume, source: Volume, **options: Any) -> Path:
    path = folder / "seg.dcm"
    write_dicom_seg(path, labels, source, **options)
    return path


def as_highdicom_reads(path: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return segment numbers as (slices, rows, columns) and the affine from these indices to LPS+."""
    volume = highdicom.seg.segread(path).get_volume(combine_segments=True)
    return volume.array, volume.affine


def require_every_voxel_in_its_place(path: Path, labels: Volume, numbers: dict[int, int]) -> None:
    """Check by world positions that highdicom finds each labelled voxel, and no other."""
    array, affine = as_highdicom_reads(path)
    found = {
        (*np.round(apply_affine(LPS @ affine, index), 2).tolist(), int(array[tuple(index)]))
        for index in np.argwhere(array)
    }
    expected = {
        (*np.round(apply_affine(labels.affine, index), 2).tolist(), numbers[int(labels.array[tuple(index)])])
        for index in np.argwhere(labels.array)
    }
    assert found == expected


def test_every_voxel_lies_in_its_place(tmp_path: Path, source: Volume) -> None:
    require_every_voxel_in_its_place(written(tmp_path, mask(), source), mask(), {2: 1, 7: 2})


def test_every_voxel_lies_in_its_place_on_an_enhanced_image(tmp_path: Path) -> None:
    require_every_voxel_in_its_place(written(tmp_path, mask(), enhanced(tmp_path)), mask(), {2: 1, 7: 2})


def test_each_frame_refers_to_the_file_that_lies_where_it_does(tmp_path: Path, source: Volume) -> None:
    segmentation = pydicom.dcmread(written(tmp_path, mask(), source))
    headers = {header.SOPInstanceUID: header for header in map(pydicom.dcmread, source.dicom_files)}
    frames = segmentation.PerFrameFunctionalGroupsSequence
    # Both values lie in slices 1, 2 and 5, only the first one in slice 4.
    assert len(frames) == 7
    for frame in frames:
        referred = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert frame.PlanePositionSequence[0].ImagePositionPatient == headers[referred].ImagePositionPatient
    assert len(segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == SLICES
    assert segmentation.FrameOfReferenceUID == "1.2.3"


def test_each_frame_refers_to_the_frame_of_an_enhanced_image_that_lies_where_it_does(tmp_path: Path) -> None:
    source = enhanced(tmp_path)
    segmentation = pydicom.dcmread(written(tmp_path, mask(), source))
    image = pydicom.dcmread(source.dicom_files[0])
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        number = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        referred = image.PerFrameFunctionalGroupsSequence[number - 1].PlanePositionSequence[0]
        assert frame.PlanePositionSequence[0].ImagePositionPatient == referred.ImagePositionPatient


def test_spacing_comes_from_positions_and_not_from_what_the_series_says(tmp_path: Path, source: Volume) -> None:
    shared = pydicom.dcmread(written(tmp_path, mask(), source)).SharedFunctionalGroupsSequence[0]
    assert float(shared.PixelMeasuresSequence[0].SpacingBetweenSlices) == pytest.approx(3.3)


def test_segments_say_what_they_are_and_who_made_them(tmp_path: Path, source: Volume) -> None:
    first, second = pydicom.dcmread(written(tmp_path, mask(), source)).SegmentSequence
    assert [first.SegmentLabel, second.SegmentLabel] == ["left kidney", "腫瘍 am Rand"]
    kind = first.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning) == ("64033007", "SCT", "Kidney")
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
    assert first.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning == "Anatomical Structure"
    own = second.SegmentedPropertyTypeCodeSequence[0]
    assert (own.CodingSchemeDesignator, own.CodeMeaning) == ("99KNOWSAM", "腫瘍 am Rand")
    algorithm = first.SegmentationAlgorithmIdentificationSequence[0]
    assert (first.SegmentAlgorithmType, algorithm.AlgorithmName) == ("SEMIAUTOMATIC", "KnowSAM")


def test_terms_that_are_given_count_and_names_stay(tmp_path: Path, source: Volume) -> None:
    path = written(tmp_path, mask(), source, terms={7: term_for("tumour")}, automatic=True)
    _, second = pydicom.dcmread(path).SegmentSequence
    assert second.SegmentLabel == "腫瘍 am Rand"
    assert second.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Neoplasm"
    assert second.SegmentAlgorithmType == "AUTOMATIC"


def test_the_file_is_an_object_of_the_study_in_a_series_of_its_own(tmp_path: Path, source: Volume) -> None:
    segmentation = pydicom.dcmread(written(tmp_path, mask(), source))
    copied = {
        "PatientName": "Müller^Jörg",
        "PatientID": "4711",
        "PatientBirthDate": "19501231",
        "PatientSex": "M",
        "StudyInstanceUID": "1.2.1",
        "StudyDate": "20240102",
        "AccessionNumber": "A6",
    }
    assert {keyword: segmentation[keyword].value for keyword in copied} == copied
    assert segmentation.SeriesInstanceUID not in ("1.2.2", "")
    assert (segmentation.SeriesNumber, segmentation.SeriesDescription) == (1011, "KnowSAM segmentation")
    assert (segmentation.Manufacturer, segmentation.Modality) == ("napari-knowsam", "SEG")
    assert not segmentation.get("ContentCreatorName")


def test_what_an_anonymous_series_lacks_is_left_empty(tmp_path: Path) -> None:
    lacking = ("PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber")
    absent = dict.fromkeys((*lacking, "PatientID", "SliceThickness", "SeriesNumber"))
    source = read_volume(series(tmp_path / "series", **absent))
    segmentation = pydicom.dcmread(written(tmp_path, mask(), source))
    assert all(segmentation[keyword].value in ("", None) for keyword in lacking)
    assert segmentation.SeriesNumber == 1000


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "FrameOfReferenceUID", "Modality"])
def test_a_series_nobody_could_refer_to_is_refused(tmp_path: Path, keyword: str) -> None:
    source = read_volume(series(tmp_path / "series", **{keyword: None}))
    with pytest.raises(InputError, match=f"lack {keyword}, which such a file must refer to"):
        written(tmp_path, mask(), source)


def test_no_word_of_the_patient_gets_into_a_message(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = {"PatientName": "SECRET", "StudyDescription": "SECRET"}
    for sop_class in ("1.2.840.10008.5.1.4.1.1.4", "1.2.3.4.5"):
        source = read_volume(series(tmp_path / sop_class, SOPClassUID=sop_class, **secret))
        for header in map(pydicom.dcmread, source.dicom_files):
            assert header.PatientName == "SECRET"
        if sop_class == "1.2.3.4.5":
            with pytest.raises(InputError, match="do not allow for a segmentation") as refused:
                write_dicom_seg(tmp_path / "other.dcm", mask(), source)
            assert "SECRET" not in str(refused.value)
        else:
            written(tmp_path, mask(), source)
    printed = capsys.readouterr()
    assert "SECRET" not in caplog.text + printed.out + printed.err


def test_an_empty_mask_is_refused(tmp_path: Path, source: Volume) -> None:
    empty = replace(mask(), array=np.zeros_like(mask().array))
    with pytest.raises(InputError, match="mask is empty, so there is nothing to write"):
        written(tmp_path, empty, source)
    assert not (tmp_path / "seg.dcm").exists()


def test_a_mask_beside_the_series_is_refused(tmp_path: Path, source: Volume) -> None:
    affine = grid().affine.copy()
    affine[0, 3] += 1
    with pytest.raises(InputError, match=r"does not lie on the grid of the DICOM series\. The voxels lie up to 1 mm"):
        written(tmp_path, replace(mask(), grid=Grid(grid().shape, affine)), source)


def test_a_mask_in_another_axis_order_of_the_same_voxels_is_written(tmp_path: Path, source: Volume) -> None:
    turned = np.array([[0, 0, 1, 0], [0, -1, 0, ROWS - 1], [-1, 0, 0, SLICES - 1], [0, 0, 0, 1.0]])
    other = Grid((SLICES, ROWS, COLUMNS), grid().affine @ turned)
    labels = Volume(mask().array, other, "mask", classes=mask().classes)
    require_every_voxel_in_its_place(written(tmp_path, labels, source), mask(), {2: 1, 7: 2})


def test_an_image_that_is_no_dicom_series_is_refused(tmp_path: Path, source: Volume) -> None:
    with pytest.raises(InputError, match="was not read from DICOM"):
        written(tmp_path, mask(), replace(source, dicom_files=()))


@pytest.mark.parametrize("kept", [slice(0, 3), slice(0, None, 2)])
def test_an_image_with_other_slices_than_its_files_is_refused(tmp_path: Path, source: Volume, kept: slice) -> None:
    with pytest.raises(InputError, match="do not lie where the frames of the DICOM series are"):
        written(tmp_path, mask(), replace(source, dicom_files=source.dicom_files[kept]))


def test_a_series_that_is_gone_is_reported(tmp_path: Path, source: Volume) -> None:
    shutil.rmtree(tmp_path / "series")
    with pytest.raises(InputError, match=r"cannot be read again \(FileNotFoundError\)"):
        written(tmp_path, mask(), source)


def test_a_file_that_is_there_is_kept_unless_asked(tmp_path: Path, source: Volume) -> None:
    (tmp_path / "seg.dcm").write_text("precious")
    with pytest.raises(OutputError, match="exists already and is kept"):
        written(tmp_path, mask(), source)
    assert (tmp_path / "seg.dcm").read_text() == "precious"
    written(tmp_path, mask(), source, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seg.dcm", "series"]


def test_a_failed_write_leaves_nothing(tmp_path: Path, source: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(highdicom.seg.Segmentation, "save_as", fail)
    with pytest.raises(OutputError, match="No space left"):
        written(tmp_path, mask(), source)
    assert [path.name for path in tmp_path.iterdir()] == ["series"]


def test_without_highdicom_the_remedy_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(OutputError, match=r"pip install 'napari-knowsam\[dicom\]'"):
        check_dicom_seg_writable(tmp_path / "seg.dcm")


def test_a_segmentation_is_known_by_its_suffix(tmp_path: Path) -> None:
    assert is_dicom_seg_name(Path("a.DCM"))
    assert not is_dicom_seg_name(Path("a.nii"))
    with pytest.raises(OutputError, match=r"must end in \.dcm"):
        check_dicom_seg_writable(tmp_path / "seg.nii")


def test_a_name_too_long_or_with_letters_dicom_forbids_is_made_fit(tmp_path: Path, source: Volume) -> None:
    classes = (LabelClass(2, "a\\b " + "x" * 80, (1, 2, 3)), LabelClass(7, "", (1, 2, 3)))
    path = written(tmp_path, replace(mask(), classes=classes), source)
    first, second = pydicom.dcmread(path).SegmentSequence
    assert (first.SegmentLabel, second.SegmentLabel) == ("a b " + "x" * 60, "unnamed")


def as_dcmqi_reads(path: Path, folder: Path) -> tuple[list[Any], list[dict[str, Any]]]:
    """Return the image that dcmqi makes of each segment, and what it says of them, in the order of their numbers."""
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK reads what dcmqi writes")
    beside_python = str(Path(sys.executable).parent)
    program = shutil.which("segimage2itkimage", path=beside_python) or shutil.which("segimage2itkimage")
    if program is None:
        pytest.skip("dcmqi is not installed (pip install dcmqi)")
    folder.mkdir()
    words = [program, "--inputDICOM", path, "--outputDirectory", folder, "--outputType", "nrrd"]
    subprocess.run([*map(str, words)], check=True, capture_output=True)
    described = json.loads((folder / "meta.json").read_text())["segmentAttributes"]
    return [sitk.ReadImage(str(folder / f"{number}.nrrd")) for number in range(1, len(described) + 1)], [
        one for (one,) in described
    ]


def require_dcmqi_agrees(path: Path, labels: Volume, folder: Path, values: list[int]) -> None:
    images, described = as_dcmqi_reads(path, folder)
    assert [one["SegmentDescription"] for one in described] == [f"Label value {value}" for value in values]
    for image, value in zip(images, values, strict=True):
        expected = {tuple(place) for place in _places_lps(labels, value)}
        indices = product(*(range(count) for count in image.GetSize()))
        filled = [index for index in indices if image.GetPixel(index)]
        assert {tuple(np.round(image.TransformIndexToPhysicalPoint(index), 2) + 0.0) for index in filled} == expected


def _places_lps(labels: Volume, value: int) -> np.ndarray[Any, Any]:
    return np.round(apply_affine(LPS @ labels.affine, np.argwhere(labels.array == value)), 2) + 0.0


@pytest.mark.parametrize("kind", ["classic", "enhanced"])
def test_dcmqi_finds_every_voxel_where_it_was(tmp_path: Path, source: Volume, kind: str) -> None:
    image = source if kind == "classic" else enhanced(tmp_path)
    require_dcmqi_agrees(written(tmp_path, mask(), image), mask(), tmp_path / "itk", [2, 7])


def test_dcmqi_understands_terms_and_colours(tmp_path: Path, source: Volume) -> None:
    _, (first, second) = as_dcmqi_reads(written(tmp_path, mask(), source), tmp_path / "itk")
    assert first["SegmentedPropertyTypeCodeSequence"]["CodeMeaning"] == "Kidney"
    assert first["SegmentedPropertyTypeModifierCodeSequence"]["CodeMeaning"] == "Left"
    assert second["SegmentLabel"] == "腫瘍 am Rand"
    assert [first["recommendedDisplayRGBValue"], second["recommendedDisplayRGBValue"]] == [[230, 75, 53], [10, 200, 30]]


@pytest.mark.slow
def test_a_real_series_and_its_segmentation_lie_on_each_other_in_other_programs(tmp_path: Path) -> None:
    if not SHARED_SERIES.is_dir():
        pytest.skip("the shared data are not here")
    sitk = pytest.importorskip("SimpleITK")
    source = read_volume(SHARED_SERIES)
    bright = (source.array > np.percentile(source.array, 97)).astype(np.uint8)
    bright[source.array > np.percentile(source.array, 99)] = 4
    labels = Volume(bright, source.grid, "bright")
    path = written(tmp_path, labels, source)
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(SHARED_SERIES)))
    segments, _ = as_dcmqi_reads(path, tmp_path / "itk")
    grey = sitk.GetArrayFromImage(image)
    for segment, value in zip(segments, (1, 4), strict=True):
        # On the grid of the image as SimpleITK reads it, the segment is where the grey values are that made it.
        on_image = sitk.GetArrayFromImage(sitk.Resample(segment, image, sitk.Transform(), sitk.sitkNearestNeighbor, 0))
        expected = from_working(labels.array == value, source.grid).T
        assert sorted(grey[on_image > 0]) == sorted(from_working(source.array, source.grid).T[expected])
        assert np.count_nonzero(on_image) == np.count_nonzero(expected)
    array, _ = as_highdicom_reads(path)
    assert np.count_nonzero(array) == np.count_nonzero(labels.array)
    assert read_labels(path).array.sum() == labels.array.sum()
