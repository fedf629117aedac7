"""DICOM series in: slices in place whatever the files are called, and in words what is wrong with a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from nibabel.affines import apply_affine
from numpy.typing import NDArray
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedSRStorage, ExplicitVRLittleEndian, JPEG2000Lossless, generate_uid

from knowsam.data.orientation import from_working
from knowsam.errors import InputError
from knowsam.io.dicom import read_dicom_series

ROWS, COLUMNS = 3, 4
ROW_SPACING_MM, COLUMN_SPACING_MM, GAP_MM = 0.5, 0.75, 2.5
ALONG_ROW = np.array([0.8, 0.6, 0.0])
ALONG_COLUMN = np.array([0.0, 0.0, -1.0])
NORMAL = np.array([-0.6, 0.8, 0.0])
FIRST_MM = np.array([10.0, -20.0, 30.0])
SHARED_SERIES = Path(__file__).parents[4] / "shared" / "data" / "dicom_brain_mr" / "11-T1post-18670"

Slices = list[pydicom.Dataset]


def slice_values(number: int) -> NDArray[np.uint16]:
    return (100 * number + np.arange(ROWS * COLUMNS, dtype=np.uint16)).reshape(ROWS, COLUMNS)


def dicom_slice(number: int) -> pydicom.Dataset:
    """Return the slice that is the number-th along the normal."""
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.PatientName, dataset.SeriesDescription = "DOE^JANE", "JANE DOE HEAD"
    dataset.SeriesInstanceUID, dataset.SeriesNumber = "1.2.3", 7
    dataset.InstanceNumber = 90 - number * 7 % 5
    dataset.ImagePositionPatient = list(FIRST_MM + number * GAP_MM * NORMAL)
    dataset.ImageOrientationPatient = [*ALONG_ROW, *ALONG_COLUMN]
    dataset.PixelSpacing = [ROW_SPACING_MM, COLUMN_SPACING_MM]
    dataset.SliceThickness = 9.0
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.PixelData = slice_values(number).tobytes()
    return dataset


def series(count: int = 4) -> Slices:
    return [dicom_slice(number) for number in range(count)]


def written(slices: Slices, folder: Path) -> Path:
    """Write the slices under names in another order than that of their positions."""
    names = np.random.default_rng(1).permutation(len(slices))
    for name, dataset in zip(names, slices, strict=True):
        dataset.save_as(folder / f"IM{name:03}", enforce_file_format=True)
    return folder


def changed(**attributes: object) -> Callable[[Slices], None]:
    """Return the change of these attributes in every slice."""

    def change(slices: Slices) -> None:
        for dataset in slices:
            for keyword, value in attributes.items():
                setattr(dataset, keyword, value)

    return change


def test_slices_are_sorted_by_position_and_not_by_name_or_number(tmp_path: Path) -> None:
    volume = read_dicom_series(written(series(), tmp_path))
    array_ijk = from_working(volume.array, volume.grid)
    assert array_ijk[0, 0].tolist() == [0, 100, 200, 300]


def test_every_pixel_lies_where_its_header_says(tmp_path: Path) -> None:
    volume = read_dicom_series(written(series(), tmp_path))
    for number in range(4):
        for (row, column), value in np.ndenumerate(slice_values(number)):
            lps = (
                FIRST_MM
                + number * GAP_MM * NORMAL
                + column * COLUMN_SPACING_MM * ALONG_ROW
                + row * ROW_SPACING_MM * ALONG_COLUMN
            )
            ((z, y, x),) = np.argwhere(volume.array == value)
            np.testing.assert_allclose(apply_affine(volume.affine, (z, y, x)), lps * (-1, -1, 1), atol=1e-9)


def test_the_affine_equals_the_one_worked_out_by_hand(tmp_path: Path) -> None:
    by_hand = [
        [-0.6, 0.0, 1.5, -10.0],
        [-0.45, 0.0, -2.0, 20.0],
        [0.0, -0.5, 0.0, 30.0],
        [0.0, 0.0, 0.0, 1.0],
    ]
    volume = read_dicom_series(written(series(), tmp_path))
    np.testing.assert_allclose(volume.grid.affine, by_hand, atol=1e-9)


def test_spacing_comes_from_positions_and_not_from_slice_thickness(tmp_path: Path) -> None:
    volume = read_dicom_series(written(series(), tmp_path))
    assert volume.grid.spacing_mm == pytest.approx((COLUMN_SPACING_MM, ROW_SPACING_MM, GAP_MM))


def test_other_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    written(series(), tmp_path)
    (tmp_path / "notes.txt").write_text("not DICOM")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "older").mkdir()
    report = dicom_slice(0)
    report.file_meta.MediaStorageSOPClassUID = report.SOPClassUID = EnhancedSRStorage
    for keyword in ("Rows", "Columns", "PixelData"):
        delattr(report, keyword)
    report.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    assert read_dicom_series(tmp_path).grid.shape == (COLUMNS, ROWS, 4)


def test_the_patient_does_not_appear_in_the_name_of_the_volume(tmp_path: Path) -> None:
    folder = tmp_path / "DOE_JANE"
    folder.mkdir()
    assert read_dicom_series(written(series(), folder)).name == "DICOM series"


@pytest.mark.parametrize(
    ("attributes", "low", "dtype"),
    [
        ({}, 0.0, np.int16),
        ({"RescaleSlope": 1, "RescaleIntercept": -1024}, -1024.0, np.int16),
        ({"RescaleSlope": 1, "RescaleIntercept": 40000}, 40000.0, np.int32),
        ({"RescaleSlope": 1, "RescaleIntercept": 0.5}, 0.5, np.float32),
        ({"RescaleSlope": 2.5, "RescaleIntercept": -3}, -3.0, np.float32),
    ],
    ids=["none", "Hounsfield", "large", "fractional intercept", "slope"],
)
def test_rescaling_is_applied_and_whole_values_stay_integers(
    tmp_path: Path, attributes: dict[str, float], low: float, dtype: type
) -> None:
    slices = series()
    changed(**attributes)(slices)
    volume = read_dicom_series(written(slices, tmp_path))
    assert volume.array.dtype == dtype
    assert volume.array.min() == low
    assert volume.array.max() == low + attributes.get("RescaleSlope", 1) * 311


def test_each_slice_has_its_own_rescaling(tmp_path: Path) -> None:
    slices = series(3)
    for slope, dataset in zip((1, 2, 0.5), slices, strict=True):
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, 0
    volume = read_dicom_series(written(slices, tmp_path))
    expected = np.concatenate([slope * slice_values(n).ravel() for n, slope in enumerate((1, 2, 0.5))])
    np.testing.assert_array_equal(np.sort(volume.array.ravel()), np.sort(expected))


def test_inverted_display_is_turned_round(tmp_path: Path) -> None:
    slices = series()
    changed(PhotometricInterpretation="MONOCHROME1")(slices)
    inverted = read_dicom_series(written(slices, tmp_path)).array
    upright = read_dicom_series(written(series(), tmp_path)).array
    np.testing.assert_array_equal(inverted, 311 - upright)


def take_slice_out(slices: Slices) -> None:
    del slices[2]


def repeat_position(slices: Slices) -> None:
    slices[2].ImagePositionPatient = slices[1].ImagePositionPatient


def tilt_gantry(slices: Slices) -> None:
    for number, dataset in enumerate(slices):
        dataset.ImagePositionPatient = list(np.array(dataset.ImagePositionPatient) + 0.3 * number * ALONG_COLUMN)


def turn_one_slice(slices: Slices) -> None:
    slices[0].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]


def narrow_one_slice(slices: Slices) -> None:
    slices[3].Columns = COLUMNS - 1


def zoom_one_slice(slices: Slices) -> None:
    slices[3].PixelSpacing = [ROW_SPACING_MM, 2 * COLUMN_SPACING_MM]


def invert_one_slice(slices: Slices) -> None:
    slices[0].PhotometricInterpretation = "MONOCHROME1"


def add_series(slices: Slices) -> None:
    other = dicom_slice(9)
    other.SeriesInstanceUID, other.SeriesNumber = "1.2.4", 8
    slices.append(other)


def keep_one(slices: Slices) -> None:
    del slices[1:]


def forget_position(slices: Slices) -> None:
    del slices[1].ImagePositionPatient


def empty_position(slices: Slices) -> None:
    slices[1].ImagePositionPatient = None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (take_slice_out, r"lie 5\.00 mm apart, but 2\.50 mm are usual"),
        (repeat_position, "same position"),
        (tilt_gantry, r"sideways by up to 1\.20 mm, as by a tilted gantry"),
        (turn_one_slice, "slices the orientation differs"),
        (narrow_one_slice, "slices the number of rows and columns differs"),
        (zoom_one_slice, "slices the pixel spacing differs"),
        (invert_one_slice, "slices the photometric interpretation differs"),
        (add_series, r"series [78] with [51] files, series [78] with [51] files, but one series is needed"),
        (keep_one, "holds 1 DICOM images, but at least 2 slices"),
        (forget_position, "no complete position"),
        (empty_position, "no complete position"),
        (changed(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "two perpendicular unit vectors"),
        (changed(PhotometricInterpretation="RGB", SamplesPerPixel=3), "RGB pixels, but grey"),
        (changed(PhotometricInterpretation="PALETTE COLOR"), "PALETTE COLOR pixels, but grey"),
        (changed(NumberOfFrames=12), "12 frames, but one slice"),
        (changed(PixelData=b"\0\0"), "damaged or cut off"),
    ],
)
def test_a_folder_that_is_not_one_whole_series_is_refused(
    tmp_path: Path, spoil: Callable[[Slices], None], message: str
) -> None:
    slices = series(5)
    spoil(slices)
    with pytest.raises(InputError, match=message) as caught:
        read_dicom_series(written(slices, tmp_path))
    assert "DOE" not in str(caught.value)


def test_positions_written_with_two_decimals_are_even_enough(tmp_path: Path) -> None:
    slices = series(5)
    for number, dataset in enumerate(slices):
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.ImagePositionPatient = [0, 0, round(number / 3, 2)]
    assert read_dicom_series(written(slices, tmp_path)).spacing_mm[0] == pytest.approx(1 / 3, abs=0.01)


def test_a_folder_without_dicom_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not DICOM")
    with pytest.raises(InputError, match="holds 0 DICOM images"):
        read_dicom_series(tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        read_dicom_series(tmp_path / "missing")


def test_compression_without_a_decoder_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(series(), tmp_path)

    def no_decoder(dataset: pydicom.Dataset) -> None:
        raise RuntimeError(f"Unable to decompress {JPEG2000Lossless.name!r} pixel data because all plugins are missing")

    monkeypatch.setattr(pydicom.Dataset, "pixel_array", property(no_decoder))
    with pytest.raises(InputError, match=r"JPEG 2000 .*pip install .*uncompressed"):
        read_dicom_series(tmp_path)


@pytest.mark.parametrize("kept", [200, 400, 700])
def test_a_header_that_is_cut_off_is_refused_by_file_name(tmp_path: Path, kept: int) -> None:
    damaged = written(series(), tmp_path) / "IM002"
    damaged.write_bytes(damaged.read_bytes()[:kept])
    with pytest.raises(InputError, match="IM002"):
        read_dicom_series(tmp_path)


@pytest.mark.parametrize(
    ("intact", "spoiled"),
    [(rb"0.8\0.6", rb"0.8\0x6"), (b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x10\x00US\x03\x00")],
    ids=["a coordinate that is no number", "a number of three bytes"],
)
def test_a_damaged_header_is_refused_by_file_name(tmp_path: Path, intact: bytes, spoiled: bytes) -> None:
    damaged = written(series(), tmp_path) / "IM002"
    damaged.write_bytes(damaged.read_bytes().replace(intact, spoiled))
    with pytest.raises(InputError, match="header of IM002 is damaged"):
        read_dicom_series(tmp_path)


@pytest.mark.skipif(not SHARED_SERIES.is_dir(), reason="the shared real series is not on this machine")
def test_a_real_oblique_series_is_read_whole() -> None:
    volume = read_dicom_series(SHARED_SERIES)
    assert volume.shape == (22, 320, 280)
    assert volume.spacing_mm == pytest.approx((6.5, 0.6875, 0.6875), abs=1e-5)
