"""DICOM series in: slices in place whatever the files are called, and in words what is wrong with a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_files import (
    ALONG_COLUMN,
    ALONG_ROW,
    COLUMN_SPACING_MM,
    COLUMNS,
    FIRST_MM,
    GAP_MM,
    NORMAL,
    ROW_SPACING_MM,
    ROWS,
    Slices,
    changed,
    dicom_slice,
    series,
    slice_values,
    written,
)
from nibabel.affines import apply_affine
from pydicom.uid import EnhancedSRStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from knowsam.data.orientation import from_working
from knowsam.errors import InputError
from knowsam.io.image import read_volume

SHARED_SERIES = Path(__file__).parents[4] / "shared" / "data" / "dicom_brain_mr" / "11-T1post-18670"


def test_slices_are_sorted_by_position_and_not_by_name_or_number(tmp_path: Path) -> None:
    volume = read_volume(written(series(), tmp_path))
    array_ijk = from_working(volume.array, volume.grid)
    assert array_ijk[0, 0].tolist() == [0, 100, 200, 300]


def test_every_pixel_lies_where_its_header_says(tmp_path: Path) -> None:
    volume = read_volume(written(series(), tmp_path))
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
    volume = read_volume(written(series(), tmp_path))
    np.testing.assert_allclose(volume.grid.affine, by_hand, atol=1e-9)


def test_spacing_comes_from_positions_and_not_from_slice_thickness(tmp_path: Path) -> None:
    volume = read_volume(written(series(), tmp_path))
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
    assert read_volume(tmp_path).grid.shape == (COLUMNS, ROWS, 4)


def test_the_patient_does_not_appear_in_the_name_of_the_volume(tmp_path: Path) -> None:
    folder = tmp_path / "DOE_JANE"
    folder.mkdir()
    volume = read_volume(written(series(), folder))
    # Beside the series, since a segmentation in its folder would be read with it.
    assert (volume.name, volume.folder) == ("T1 axial (series 7)", tmp_path)


@pytest.mark.parametrize("description", ["Jane T1", "t1 doe", "T1 of A-4711"])
def test_a_description_that_names_the_patient_is_not_shown(description: str, tmp_path: Path) -> None:
    slices = series(4, SeriesDescription=description, PatientID="a-4711")
    assert read_volume(written(slices, tmp_path)).name == "MR (series 7)"


def take_slice_out(slices: Slices) -> None:
    del slices[2]


def move_slice(slices: Slices) -> None:
    slices[2].ImagePositionPatient = list(np.array(slices[2].ImagePositionPatient) + 0.8 * NORMAL)


def repeat_position(slices: Slices) -> None:
    slices[2].ImagePositionPatient = slices[1].ImagePositionPatient


def tilt_gantry(slices: Slices) -> None:
    for number, dataset in enumerate(slices):
        dataset.ImagePositionPatient = list(np.array(dataset.ImagePositionPatient) + 0.3 * number * ALONG_COLUMN)


def forget_position(slices: Slices) -> None:
    del slices[1].ImagePositionPatient


def empty_position(slices: Slices) -> None:
    slices[1].ImagePositionPatient = None


def keep_one(slices: Slices) -> None:
    del slices[1:]


def forget_all_positions(slices: Slices) -> None:
    for dataset in slices:
        del dataset.ImagePositionPatient


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (take_slice_out, r"1 slice is missing, at -17\.00 mm along the normal; the 4 .* from -22\.00 to -12\.00 mm"),
        (
            move_slice,
            r"The slices at -19\.50 and -16\.20 mm along the normal lie 3\.30 mm apart, but 2\.50 mm are usual",
        ),
        (repeat_position, "1 slice lies where another one lies that looks different"),
        (tilt_gantry, r"sideways by up to 1\.20 mm, as by a tilted gantry"),
        (keep_one, "1 DICOM image was found, but at least 2 slices"),
        (forget_position, "1 slice is missing, at .* 1 image of the series belongs"),
        (empty_position, "1 slice is missing, at .* 1 image of the series belongs"),
        (forget_all_positions, "no complete position"),
        (changed(PixelSpacing=[-0.5, 0.5]), r"pixel spacing is \[-0\.5, 0\.5\] mm, but .* above 0"),
        (changed(PixelSpacing=[0.5, 0]), r"pixel spacing is \[0\.5, 0\.0\] mm, but .* above 0"),
        (changed(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "same|two perpendicular unit vectors"),
    ],
)
def test_a_folder_that_is_not_one_whole_series_is_refused(
    tmp_path: Path, spoil: Callable[[Slices], None], message: str
) -> None:
    slices = series(5)
    spoil(slices)
    with pytest.raises(InputError, match=message) as caught:
        read_volume(written(slices, tmp_path))
    assert "DOE" not in str(caught.value)


def test_positions_written_with_two_decimals_are_even_enough(tmp_path: Path) -> None:
    slices = series(5)
    for number, dataset in enumerate(slices):
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.ImagePositionPatient = [0, 0, round(number / 3, 2)]
    assert read_volume(written(slices, tmp_path)).spacing_mm[0] == pytest.approx(1 / 3, abs=0.01)


def micrometres(count: int, spacing_mm: float) -> Slices:
    slices = series(count, ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    for number, dataset in enumerate(slices):
        dataset.ImagePositionPatient = [0, 0, round(spacing_mm * number, 6)]
    return slices


@pytest.mark.parametrize("spacing_mm", [0.008, 0.0005])
def test_slices_micrometres_apart_are_slices_of_their_own(tmp_path: Path, spacing_mm: float) -> None:
    volume = read_volume(written(micrometres(6, spacing_mm), tmp_path))
    assert volume.grid.shape[2] == 6
    assert volume.grid.spacing_mm[2] == pytest.approx(spacing_mm)
    assert from_working(volume.array, volume.grid)[0, 0].tolist() == [0, 100, 200, 300, 400, 500]


def test_a_slice_missing_among_micrometres_is_reported(tmp_path: Path) -> None:
    slices = micrometres(6, 0.008)
    del slices[2]
    with pytest.raises(InputError, match=r"1 slice is missing, at 0\.01600 mm"):
        read_volume(written(slices, tmp_path))


def test_two_slices_at_one_place_among_micrometres_are_reported(tmp_path: Path) -> None:
    slices = micrometres(6, 0.008)
    slices[3].ImagePositionPatient = [0, 0, 0.0161]
    with pytest.raises(InputError, match="1 slice lies where another one lies"):
        read_volume(written(slices, tmp_path))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("has_meta", [True, False])
def test_files_without_preamble_are_read_among_others(tmp_path: Path, syntax: str, has_meta: bool) -> None:
    expected = read_volume(written(series(6), tmp_path / "whole"))
    slices = series(6)
    for dataset in slices:
        dataset.file_meta.TransferSyntaxUID = syntax
    written(slices, tmp_path / "bare")
    for path in sorted((tmp_path / "bare").iterdir())[::2]:
        whole = path.read_bytes()
        meta_bytes = 12 + int.from_bytes(whole[140:144], "little")
        path.write_bytes(whole[132 if has_meta else 132 + meta_bytes :])
    volume = read_volume(tmp_path / "bare")
    np.testing.assert_array_equal(volume.array, expected.array)
    assert volume.notices == ()


def test_other_bytes_that_begin_like_a_data_set_are_no_dicom_file(tmp_path: Path) -> None:
    written(series(), tmp_path)
    (tmp_path / "table.bin").write_bytes(b"\x08\0\x05\0CS\x0a\0ISO_IR 100" + bytes(500))
    (tmp_path / "other.bin").write_bytes(b"\x08\0" * 200)
    assert read_volume(tmp_path).notices == ()


def test_a_folder_without_dicom_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not DICOM")
    with pytest.raises(InputError, match=r"No DICOM images were found.*\.nii\.gz, give the file itself"):
        read_volume(tmp_path)


@pytest.mark.skipif(not SHARED_SERIES.is_dir(), reason="the shared real series is not on this machine")
def test_a_real_oblique_series_is_read_whole() -> None:
    volume = read_volume(SHARED_SERIES)
    assert volume.shape == (22, 320, 280)
    assert volume.spacing_mm == pytest.approx((6.5, 0.6875, 0.6875), abs=1e-5)
