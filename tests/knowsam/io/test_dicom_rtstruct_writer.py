"""Structure sets out: readers find the mask where it was, with its holes, on the frames it was made in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from nibabel.affines import apply_affine
from numpy.typing import NDArray
from seg_sources import SLICES, enhanced, mask, series
from skimage.draw import polygon2mask

from knowsam.data.annotation import LabelClass
from knowsam.data.orientation import from_working
from knowsam.data.volume import Volume
from knowsam.errors import InputError, OutputError
from knowsam.io.dicom import rtstruct_writer
from knowsam.io.dicom.rtstruct_writer import is_rtstruct_name, write_rtstruct
from knowsam.io.image import read_volume

SHARED_SERIES = Path(__file__).parents[4] / "shared" / "data" / "dicom_brain_mr" / "11-T1post-18670"


def written(folder: Path, labels: Volume, source: Volume, **options: Any) -> pydicom.Dataset:
    path = folder / "plan.rtstruct.dcm"
    write_rtstruct(path, labels, source, **options)
    return pydicom.dcmread(path)


def as_filled(structures: pydicom.Dataset, number: int, source: Volume) -> NDArray[np.int64]:
    """Return (slices, rows, columns): in how many outlines of a region the centre of each voxel lies."""
    columns, rows, slices = source.grid.shape
    found = np.zeros((slices, rows, columns), int)
    to_voxels = np.linalg.inv(source.grid.affine)
    for contour in structures.ROIContourSequence[number].ContourSequence:
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        assert contour.NumberOfContourPoints == len(points)
        voxels = apply_affine(to_voxels, points * (-1, -1, 1))
        assert np.ptp(voxels[:, 2]) < 1e-3
        found[round(voxels[0, 2])] += polygon2mask((rows, columns), voxels[:, 1::-1])
    return found


def require_every_voxel_in_its_place(structures: pydicom.Dataset, labels: Volume, source: Volume) -> None:
    planes = from_working(labels.array, source.grid).T
    for number, value in enumerate(v for v in np.unique(planes) if v):
        assert np.array_equal(as_filled(structures, number, source), planes == value)


def test_every_voxel_lies_in_its_place(tmp_path: Path) -> None:
    source = read_volume(series(tmp_path / "series"))
    require_every_voxel_in_its_place(written(tmp_path, mask(), source), mask(), source)


def test_every_voxel_lies_in_its_place_on_an_enhanced_image(tmp_path: Path) -> None:
    source = enhanced(tmp_path)
    structures = written(tmp_path, mask(), source)
    require_every_voxel_in_its_place(structures, mask(), source)
    frames = structures.ROIContourSequence[0].ContourSequence
    assert {one.ContourImageSequence[0].ReferencedFrameNumber for one in frames} <= set(range(1, SLICES + 1))


def test_each_outline_refers_to_the_file_whose_plane_it_lies_in(tmp_path: Path) -> None:
    source = read_volume(series(tmp_path / "series"))
    structures = written(tmp_path, mask(), source)
    headers = {header.SOPInstanceUID: header for header in map(pydicom.dcmread, source.dicom_files)}
    for contour in structures.ROIContourSequence[0].ContourSequence:
        header = headers[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
        normal = np.cross(header.ImageOrientationPatient[:3], header.ImageOrientationPatient[3:])
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        assert np.abs((points - header.ImagePositionPatient) @ normal).max() < 1e-3


def test_it_belongs_to_the_study_and_names_what_it_was_made_in(tmp_path: Path) -> None:
    source = read_volume(series(tmp_path / "series"))
    structures = written(tmp_path, mask(), source)
    (frame,) = structures.ReferencedFrameOfReferenceSequence
    (study,) = frame.RTReferencedStudySequence
    (referenced,) = study.RTReferencedSeriesSequence
    assert (structures.PatientName, structures.PatientID, structures.Modality) == ("Müller^Jörg", "4711", "RTSTRUCT")
    assert (structures.StudyInstanceUID, structures.FrameOfReferenceUID) == ("1.2.1", "1.2.3")
    assert (frame.FrameOfReferenceUID, study.ReferencedSOPInstanceUID) == ("1.2.3", "1.2.1")
    assert referenced.SeriesInstanceUID == "1.2.2" != structures.SeriesInstanceUID
    images = {one.ReferencedSOPInstanceUID for one in referenced.ContourImageSequence}
    assert images == {pydicom.dcmread(path).SOPInstanceUID for path in source.dicom_files}
    assert structures.SeriesNumber == 1011


def test_regions_have_the_names_and_colours_of_their_classes(tmp_path: Path) -> None:
    source = read_volume(series(tmp_path / "series"))
    structures = written(tmp_path, mask(), source, automatic=True)
    regions = structures.StructureSetROISequence
    assert [(one.ROINumber, one.ROIName) for one in regions] == [(1, "left kidney"), (2, "腫瘍 am Rand")]
    assert {one.ROIGenerationAlgorithm for one in regions} == {"AUTOMATIC"}
    contours = structures.ROIContourSequence
    assert [list(one.ROIDisplayColor) for one in contours] == [[230, 75, 53], [10, 200, 30]]
    assert {one.ContourGeometricType for part in contours for one in part.ContourSequence} == {"CLOSED_PLANAR"}
    assert [one.ReferencedROINumber for one in structures.RTROIObservationsSequence] == [1, 2]


def test_every_number_fits_its_type(tmp_path: Path) -> None:
    structures = written(tmp_path, mask(), read_volume(series(tmp_path / "series")))
    points = structures.ROIContourSequence[0].ContourSequence[0].ContourData
    assert max(len(str(number)) for number in points) <= 16


def test_an_outline_may_have_any_number_of_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtstruct_writer, "outlines", lambda _plane: [np.full((4000, 2), 3.25)])
    structures = written(tmp_path, mask(), read_volume(series(tmp_path / "series")))
    assert len(structures.ROIContourSequence[0].ContourSequence[0].ContourData) == 3 * 4000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"array": np.zeros(mask().shape, np.uint8)}, "mask is empty"),
        ({"identity": replace(mask().identity, patient_id="other")}, "patient"),
    ],
)
def test_what_does_not_belong_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    source = read_volume(series(tmp_path / "series"))
    with pytest.raises(InputError, match=message):
        written(tmp_path, replace(mask(), **change), source)
    assert not list(tmp_path.glob("*.dcm"))


def test_another_image_another_name_and_a_file_that_is_there_are_refused(tmp_path: Path) -> None:
    source = read_volume(series(tmp_path / "series"))
    with pytest.raises(InputError, match="was not read from DICOM"):
        written(tmp_path, mask(), replace(source, dicom_files=()))
    with pytest.raises(OutputError, match=r"must end in \.rtstruct\.dcm"):
        write_rtstruct(tmp_path / "seg.dcm", mask(), source)
    written(tmp_path, mask(), source)
    with pytest.raises(OutputError, match="exists already"):
        written(tmp_path, mask(), source)
    assert is_rtstruct_name(Path("A.RTSTRUCT.dcm"))


@pytest.mark.skipif(not SHARED_SERIES.is_dir(), reason="the shared data are not there")
def test_a_ring_two_pieces_and_lines_lie_in_their_place_on_a_real_series(tmp_path: Path) -> None:
    source = read_volume(SHARED_SERIES)
    array = np.zeros(source.shape, np.uint8)
    _, y, x = np.indices(source.shape) - np.array(source.shape).reshape(3, 1, 1, 1) // 2
    distance = np.hypot(y, x)
    array[:, 30, 80:130], array[:, 200:230, 90] = 3, 3
    array[(distance < 60) & (distance > 45)] = 1
    array[(distance < 20) | (np.hypot(y - 90, x - 90) < 9)] = 2
    names = tuple(LabelClass(value, f"class {value}", (9, 9, value)) for value in (1, 2, 3))
    labels = Volume(array, source.grid, "mask", classes=names)
    require_every_voxel_in_its_place(written(tmp_path, labels, source), labels, source)
