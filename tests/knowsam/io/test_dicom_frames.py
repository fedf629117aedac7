"""Files of many frames: enhanced images with a place for each frame, and those that say no place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from dicom_files import (
    ALONG_COLUMN,
    ALONG_ROW,
    COLUMNS,
    FIRST_MM,
    ROWS,
    enhanced,
    image,
    item,
    saved,
    series,
    slice_values,
    written,
)
from pydicom.uid import EnhancedCTImageStorage, EnhancedMRImageStorage, EnhancedPETImageStorage

from knowsam.data.orientation import from_working
from knowsam.errors import InputError
from knowsam.io.image import image_choices, read_volume

if TYPE_CHECKING:
    import pydicom


def test_an_enhanced_file_is_the_volume_of_its_slices_in_files_of_their_own(tmp_path: Path) -> None:
    classic = read_volume(written(series(4), tmp_path / "classic"))
    path = saved(enhanced([2, 0, 3, 1]), tmp_path / "enhanced.dcm")
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, classic.array)
    np.testing.assert_allclose(volume.affine, classic.affine)
    assert volume.dicom_files == (path,)
    assert volume.notices == ()


def test_each_frame_has_its_own_rescaling(tmp_path: Path) -> None:
    dataset = enhanced([0, 1, 2])
    for slope, group in zip((1, 2, 3), dataset.PerFrameFunctionalGroupsSequence, strict=True):
        group.PixelValueTransformationSequence = [item(RescaleSlope=slope, RescaleIntercept=-1, RescaleType="US")]
    volume = read_volume(saved(dataset, tmp_path / "a.dcm"))
    expected = [slope * slice_values(number) - 1.0 for number, slope in enumerate((1, 2, 3))]
    np.testing.assert_array_equal(from_working(volume.array, volume.grid).T, expected)


PHILIPS = "Philips MR Imaging DD 005"


def lying(**attributes: object) -> pydicom.Dataset:
    """Return a functional group whose private sequence repeats attributes of the standard with other values."""
    group = item(**attributes)
    elsewhere = item(
        ImagePositionPatient=[1.0, 2.0, 3.0], PixelSpacing=[9.0, 9.0], ImageOrientationPatient=[1, 0, 0, 0, 1, 0]
    )
    elsewhere.RescaleSlope, elsewhere.WindowCenter, elsewhere.WindowWidth, elsewhere.StackID = 5, 1, 2, "x"
    group.private_block(0x2005, PHILIPS, create=True).add_new(0x0F, "SQ", [elsewhere])
    return group


@pytest.mark.parametrize("storage", [EnhancedMRImageStorage, EnhancedCTImageStorage, EnhancedPETImageStorage])
def test_private_sequences_that_repeat_standard_attributes_place_no_frame(tmp_path: Path, storage: str) -> None:
    expected = read_volume(written(series(4), tmp_path / "classic"))
    dataset = enhanced([0, 1, 2, 3])
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = storage
    for groups in (dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence):
        for group in groups:
            group.update(lying())
            for macro in list(group):
                if not macro.tag.is_private:
                    macro.value[0].update(lying())
    volume = read_volume(saved(dataset, tmp_path / "a.dcm"))
    np.testing.assert_array_equal(volume.array, expected.array)
    np.testing.assert_allclose(volume.affine, expected.affine)
    assert volume.display_range == expected.display_range


def test_only_its_macro_places_a_frame_whatever_stands_beside_the_groups(tmp_path: Path) -> None:
    expected = read_volume(written(series(4), tmp_path / "classic"))
    dataset = enhanced([0, 1, 2, 3])
    dataset.ImagePositionPatient, dataset.PixelSpacing = [1, 2, 3], [9, 9]
    for group in dataset.PerFrameFunctionalGroupsSequence:
        group.ReferencedImageSequence = [item(ImagePositionPatient=[1, 2, 3], PixelSpacing=[9, 9])]
        group.UnassignedPerFrameConvertedAttributesSequence = [item(ImagePositionPatient=[1, 2, 3])]
    np.testing.assert_allclose(read_volume(saved(dataset, tmp_path / "a.dcm")).affine, expected.affine)


def test_a_position_beside_the_groups_is_not_that_of_every_frame(tmp_path: Path) -> None:
    dataset = enhanced([0, 1, 2])
    dataset.ImagePositionPatient = [1, 2, 3]
    for group in dataset.PerFrameFunctionalGroupsSequence:
        del group.PlanePositionSequence
    assert "does not say where its frames lie" in read_volume(saved(dataset, tmp_path / "a.dcm")).notices[0]


def test_a_mosaic_in_an_enhanced_file_is_refused_by_its_name(tmp_path: Path) -> None:
    dataset = enhanced([0, 1])
    for group in dataset.PerFrameFunctionalGroupsSequence:
        group.MRImageFrameTypeSequence = [item(FrameType=["ORIGINAL", "PRIMARY", "FMRI", "MOSAIC"])]
    with pytest.raises(InputError, match="mosaic of Siemens"):
        read_volume(saved(dataset, tmp_path / "a.dcm"))


def test_energy_windows_of_a_nuclear_image_are_images_of_their_own(tmp_path: Path) -> None:
    pixels = np.stack([slice_values(number) for number in range(4)])
    path = saved(image(pixels, EnergyWindowVector=[1, 1, 2, 2]), tmp_path / "a.dcm")
    assert [choice.description for choice in image_choices(path)] == [
        "T1 axial (series 7), energy window 1",
        "T1 axial (series 7), energy window 2",
    ]
    np.testing.assert_array_equal(np.sort(read_volume(path, 2).array.ravel()), np.sort(pixels[2:].ravel()))


def test_times_in_one_file_are_images_of_their_own(tmp_path: Path) -> None:
    dataset = enhanced([0, 0, 1, 1, 2, 2], TemporalPositionIndex=[1, 2] * 3, StackID=["1"] * 6)
    pixels = np.frombuffer(dataset.PixelData, np.uint16).reshape(6, ROWS, COLUMNS).copy()
    pixels[1::2] += 1000
    dataset.PixelData = pixels.tobytes()
    path = saved(dataset, tmp_path / "a.dcm")
    assert [choice.description for choice in image_choices(path)] == [
        "T1 axial (series 7), time point 1",
        "T1 axial (series 7), time point 2",
    ]
    assert read_volume(path, 1).array.max() == 211
    assert read_volume(path, 2).array.min() == 1000


def test_stacks_in_one_file_are_images_of_their_own(tmp_path: Path) -> None:
    dataset = enhanced([0, 1, 2, 7, 8], StackID=["a", "a", "a", "b", "b"])
    path = saved(dataset, tmp_path / "a.dcm")
    assert [str(choice) for choice in image_choices(path)] == [
        "T1 axial (series 7), stack a, 3 slices of 3 x 4, 2.5 mm apart",
        "T1 axial (series 7), stack b, 2 slices of 3 x 4, 2.5 mm apart",
    ]


def test_stacks_that_complete_one_volume_are_one_image(tmp_path: Path) -> None:
    dataset = enhanced([0, 1, 2, 3, 4, 5], StackID=["a", "b"] * 3)
    assert read_volume(saved(dataset, tmp_path / "a.dcm")).notices == ()


def test_a_missing_frame_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"1 slice is missing, at -17\.00 mm"):
        read_volume(saved(enhanced([0, 1, 3, 4]), tmp_path / "a.dcm"))


def test_frames_at_one_place_that_nothing_distinguishes_are_refused(tmp_path: Path) -> None:
    dataset = enhanced([0, 1, 1])
    dataset.PixelData = np.stack([slice_values(number) for number in range(3)]).tobytes()
    with pytest.raises(InputError, match="nothing in the headers tells them apart"):
        read_volume(saved(dataset, tmp_path / "a.dcm"))


def test_groups_for_other_than_all_frames_are_refused(tmp_path: Path) -> None:
    dataset = enhanced([0, 1, 2])
    del dataset.PerFrameFunctionalGroupsSequence[0]
    with pytest.raises(InputError, match="header of the file is damaged"):
        read_volume(saved(dataset, tmp_path / "a.dcm"))


def test_the_frames_of_a_dose_lie_where_their_offsets_say(tmp_path: Path) -> None:
    dose = image(
        np.stack([slice_values(number) for number in range(3)]),
        ImagePositionPatient=list(FIRST_MM),
        ImageOrientationPatient=[*ALONG_ROW, *ALONG_COLUMN],
        PixelSpacing=[0.5, 0.75],
        GridFrameOffsetVector=[0, 2.5, 5],
    )
    expected = read_volume(written(series(3), tmp_path / "classic"))
    volume = read_volume(saved(dose, tmp_path / "dose.dcm"))
    np.testing.assert_allclose(volume.affine, expected.affine)
    np.testing.assert_array_equal(volume.array, expected.array)


CENTIMETRES = {"PhysicalUnitsXDirection": 3, "PhysicalUnitsYDirection": 3}


@pytest.mark.parametrize(
    ("attributes", "spacing_mm", "known"),
    [
        ({}, (1, 1, 1), "assumed"),
        ({"PixelSpacing": [0.5, 0.25], "SpacingBetweenSlices": -2}, (0.25, 0.5, 2), "known"),
        ({"PixelSpacing": [0.5, 0.25], "SliceThickness": 3}, (0.25, 0.5, 3), "known"),
        (
            {"SequenceOfUltrasoundRegions": [item(PhysicalDeltaX=0.02, PhysicalDeltaY=0.03, **CENTIMETRES)]},
            (0.2, 0.3, 1),
            "known",
        ),
    ],
)
def test_frames_without_a_place_are_read_with_a_warning(
    tmp_path: Path, attributes: dict[str, object], spacing_mm: tuple[float, ...], known: str
) -> None:
    pixels = np.stack([slice_values(number) for number in (2, 0, 1)])
    volume = read_volume(saved(image(pixels, **attributes), tmp_path / "a.dcm"))
    assert volume.grid.spacing_mm == pytest.approx(spacing_mm)
    np.testing.assert_array_equal(from_working(volume.array, volume.grid).T, pixels)
    assert "does not say where its frames lie in the patient" in volume.notices[0]
    assert known in volume.notices[0]
