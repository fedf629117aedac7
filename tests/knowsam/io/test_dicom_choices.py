"""Which images a folder or a file holds, how they are distinguished, and how one of them is picked."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from dicom_files import COLUMNS, ROWS, Slices, brighter, dicom_slice, repeated, saved, series, slice_values, written
from pydicom.uid import MediaStorageDirectoryStorage, SegmentationStorage

from knowsam.errors import InputError
from knowsam.io.image import image_choices, read_volume


def described(path: Path) -> list[str]:
    return [str(choice) for choice in image_choices(path)]


def other_series(count: int = 3, **attributes: object) -> Slices:
    values = {"SeriesInstanceUID": "1.2.4", "SeriesNumber": 3, "SeriesDescription": "T2 axial"}
    return brighter(series(count, **(values | attributes)), 5000)


@pytest.fixture
def two_series(tmp_path: Path) -> Path:
    written(series(), tmp_path / "study" / "a")
    written(other_series(), tmp_path / "study" / "b" / "c")
    (tmp_path / "study" / "readme.txt").write_text("not DICOM")
    return tmp_path / "study"


def test_series_in_folders_of_a_folder_are_listed_by_number_without_the_patient(two_series: Path) -> None:
    assert described(two_series) == [
        "T2 axial (series 3), 3 slices of 3 x 4, 2.5 mm apart",
        "T1 axial (series 7), 4 slices of 3 x 4, 2.5 mm apart",
    ]
    assert [choice.slices for choice in image_choices(two_series)] == [3, 4]


@pytest.mark.parametrize("pick", [2, "T1", "t1 AXIAL", "4 slices"])
def test_one_of_several_images_is_picked_by_number_or_by_a_part_of_its_description(
    two_series: Path, pick: int | str
) -> None:
    assert read_volume(two_series, pick).grid.shape == (COLUMNS, ROWS, 4)


@pytest.mark.parametrize(
    ("pick", "message"),
    [
        (None, "There are 2 images:\n"),
        ("axial", "There are 2 images, and 'axial' fits 2 of them:\n"),
        ("coronal", "There are 2 images, and 'coronal' fits none of them:\n"),
        (0, "0 fits none of them:\n"),
        (3, "3 fits none of them:\n"),
    ],
)
def test_a_pick_that_means_no_single_image_is_refused_with_the_list(
    two_series: Path, pick: int | str | None, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        read_volume(two_series, pick)
    assert message in str(caught.value)
    assert "\n  [2] T1 axial (series 7), 4 slices of 3 x 4, 2.5 mm apart\nOne is needed." in str(caught.value)


def test_a_number_means_the_place_in_the_list_and_not_that_of_the_series(two_series: Path) -> None:
    with pytest.raises(InputError, match="3 fits none of them"):
        read_volume(two_series, 3)
    assert read_volume(two_series, "series 3").grid.shape == (COLUMNS, ROWS, 3)


def test_a_whole_description_picks_its_image_although_it_is_a_part_of_another(tmp_path: Path) -> None:
    written(series(4, SeriesNumber=None), tmp_path / "a")
    written(other_series(SeriesNumber=None, SeriesDescription="T1 axial fat"), tmp_path / "b")
    assert read_volume(tmp_path, "T1 axial").grid.shape == (COLUMNS, ROWS, 4)


def test_a_pick_that_does_not_fit_the_only_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is 1 image, and 'T2' fits none of them"):
        read_volume(written(series(), tmp_path), "T2")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"EchoTime": [2.3, 4.6]}, ["echo time 2.3 ms", "echo time 4.6 ms"]),
        ({"EchoNumbers": [1, 2], "EchoTime": [2.3, 4.6]}, ["echo 1", "echo 2"]),
        ({"TemporalPositionIdentifier": [10, 9]}, ["time point 9", "time point 10"]),
        ({"AcquisitionNumber": [1, 2]}, ["acquisition 1", "acquisition 2"]),
        ({"DiffusionBValue": [0.0, 1000.0]}, ["b = 0", "b = 1000"]),
        ({"TriggerTime": [0, 40]}, ["time 1 of 2", "time 2 of 2"]),
        ({"AcquisitionTime": ["101500", "101600.5"]}, ["time 1 of 2", "time 2 of 2"]),
        ({"ImageType": [["ORIGINAL", "PRIMARY", "W"], ["ORIGINAL", "PRIMARY", "F"]]}, ["type f", "type w"]),
        ({"ConvolutionKernel": ["B30f", "B70f"]}, ["kernel B30f", "kernel B70f"]),
    ],
)
def test_slices_at_the_same_positions_are_distinguished_by_what_differs(
    tmp_path: Path, values: dict[str, list[object]], words: list[str]
) -> None:
    written(repeated(2, **values), tmp_path)
    assert described(tmp_path) == [f"T1 axial (series 7), {word}, 3 slices of 3 x 4, 2.5 mm apart" for word in words]
    for number, word in enumerate(words, 1):
        assert np.array_equal(read_volume(tmp_path, number).array, read_volume(tmp_path, word).array)


def test_echoes_at_several_times_are_distinguished_by_both(tmp_path: Path) -> None:
    written(repeated(4, EchoTime=[1, 1, 2, 2], TemporalPositionIdentifier=[1, 2, 1, 2]), tmp_path)
    expected = [f"time point {point}, echo time {echo} ms" for point in (1, 2) for echo in (1, 2)]
    assert [choice.description.removeprefix("T1 axial (series 7), ") for choice in image_choices(tmp_path)] == expected
    assert read_volume(tmp_path, "time point 2, echo time 1 ms").array.min() == 1000


def test_phases_whose_times_differ_from_slice_to_slice_are_distinguished_by_their_order(tmp_path: Path) -> None:
    slices = repeated(2)
    for rank, dataset in enumerate(slices):
        dataset.TriggerTime = 10 * (rank // 3) + rank % 3
    written(slices, tmp_path)
    assert [choice.description for choice in image_choices(tmp_path)] == [
        "T1 axial (series 7), time 1 of 2",
        "T1 axial (series 7), time 2 of 2",
    ]
    assert read_volume(tmp_path, "time 2").array.min() == 1000


def test_a_stack_with_a_hole_is_not_called_the_only_one_of_its_times(tmp_path: Path) -> None:
    slices = [dicom_slice(number, TriggerTime=number) for number in (0, 1, 3)]
    assert described(written(slices, tmp_path))[0].startswith("T1 axial (series 7), 3 slices")


def test_what_differs_from_slice_to_slice_does_not_split_a_stack(tmp_path: Path) -> None:
    slices = series(4)
    for rank, dataset in enumerate(slices):
        dataset.AcquisitionNumber, dataset.EchoTime, dataset.ImageType = rank, rank, ["ORIGINAL", f"N{rank}"]
    assert len(described(written(slices, tmp_path))) == 1


def test_stacks_of_one_orientation_with_a_hole_between_them_are_distinguished(tmp_path: Path) -> None:
    slices = series(9)
    del slices[4:6]
    for rank, dataset in enumerate(slices):
        dataset.AcquisitionNumber = 1 + (rank > 3)
    written(slices, tmp_path)
    assert [choice.slices for choice in image_choices(tmp_path)] == [4, 3]


def test_a_localizer_of_other_orientation_is_an_image_of_its_own(tmp_path: Path) -> None:
    slices = series(4)
    for number in range(2):
        slices.append(
            dicom_slice(number, ImageOrientationPatient=[1, 0, 0, 0, 1, 0], ImagePositionPatient=[0, 0, number])
        )
    assert [choice.slices for choice in image_choices(written(slices, tmp_path))] == [4, 2]


def test_a_single_image_of_another_look_is_left_out_with_a_notice(tmp_path: Path) -> None:
    narrow = dicom_slice(4, Columns=2, PixelData=bytes(12))
    volume = read_volume(written([*series(4), narrow], tmp_path))
    assert volume.grid.shape == (COLUMNS, ROWS, 4)
    assert volume.notices == ("1 image of the series belongs to no stack of slices and was left out.",)


def test_a_slice_of_another_modality_is_refused(tmp_path: Path) -> None:
    slices = series(4, Modality="CT")
    slices[1].Modality, slices[3].Modality = "PT", None
    with pytest.raises(InputError, match="several modalities, 2 of CT and 1 of PT"):
        read_volume(written(slices, tmp_path))


def test_copies_of_files_are_left_out_with_a_notice(tmp_path: Path) -> None:
    slices = series(4)
    written(slices, tmp_path / "a")
    written(slices[:2], tmp_path / "b")
    volume = read_volume(tmp_path)
    assert volume.grid.shape[2] == 4
    assert volume.notices == ("2 images of the series are copies of others and were left out.",)


@pytest.mark.parametrize("change", [{"PixelData": bytes(24)}, {"RescaleSlope": 2}], ids=["pixels", "rescaling"])
def test_one_number_for_different_images_makes_none_a_copy(tmp_path: Path, change: dict[str, object]) -> None:
    both = [
        dicom_slice(number, SOPInstanceUID="1.2.3.4", **other)
        for number in range(1, 4)
        for other in ({}, change)[:: 1 if number % 2 else -1]
    ]
    assert [choice.slices for choice in image_choices(written(both, tmp_path))] == [3]
    with pytest.raises(InputError, match="3 slices lie where another one lies that looks different"):
        read_volume(tmp_path)


def test_copies_of_one_slice_are_no_volume(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="copies of one slice, but at least 2"):
        read_volume(written([dicom_slice(1), dicom_slice(1)], tmp_path))


def test_slices_under_new_numbers_are_copies_if_their_pixels_are_equal(tmp_path: Path) -> None:
    volume = read_volume(written([*series(4), dicom_slice(2)], tmp_path))
    assert volume.grid.shape[2] == 4
    assert volume.notices == ("1 image of the series is a copy of another one and was left out.",)


def test_one_number_for_all_slices_makes_none_of_them_a_copy(tmp_path: Path) -> None:
    assert read_volume(written(series(4, SOPInstanceUID="1.2.3.4"), tmp_path)).grid.shape[2] == 4


def test_the_files_of_a_volume_are_listed_in_the_order_of_its_slices(tmp_path: Path) -> None:
    slices = series(4)
    written(slices, tmp_path)
    names = np.random.default_rng(1).permutation(4)
    assert read_volume(tmp_path).dicom_files == tuple(tmp_path / f"IM{name:03}" for name in names)


def test_one_slice_stands_for_the_stack_it_belongs_to(tmp_path: Path) -> None:
    slices = [*repeated(2, EchoTime=[1, 2]), *other_series()]
    for number, dataset in enumerate(slices):
        saved(dataset, tmp_path / f"{number}")
    volume = read_volume(tmp_path / "4")
    assert volume.array.min() == 1000
    assert volume.notices == ("The file holds one slice; the series it belongs to was read from its folder.",)


def test_one_slice_given_by_a_link_or_from_its_folder_stands_for_its_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written([*series(3), *other_series(2)], tmp_path)
    monkeypatch.chdir(tmp_path)
    assert read_volume(Path("IM000")).shape == read_volume(tmp_path / "IM000").shape


def test_a_dicomdir_stands_for_its_folder(two_series: Path) -> None:
    directory = dicom_slice(0)
    directory.file_meta.MediaStorageSOPClassUID = directory.SOPClassUID = MediaStorageDirectoryStorage
    for keyword in ("Rows", "Columns", "PixelData"):
        delattr(directory, keyword)
    saved(directory, two_series / "DICOMDIR")
    assert [choice.slices for choice in image_choices(two_series / "DICOMDIR")] == [3, 4]
    assert [choice.slices for choice in image_choices(two_series)] == [3, 4]


def test_a_slice_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 DICOM image was found, but at least 2 slices"):
        read_volume(saved(dicom_slice(0), tmp_path / "only.dcm"))


def test_a_segmentation_in_a_folder_is_no_image(tmp_path: Path) -> None:
    labels = dicom_slice(0)
    labels.file_meta.MediaStorageSOPClassUID = labels.SOPClassUID = SegmentationStorage
    with pytest.raises(InputError, match="No DICOM images"):
        read_volume(saved(labels, tmp_path / "labels.dcm").parent)


def test_a_description_is_one_short_line_whatever_the_header_holds(tmp_path: Path) -> None:
    written(series(SeriesDescription="\x1b[2Jhead\r\t and   neck" + 40 * "k"), tmp_path)
    (choice,) = image_choices(tmp_path)
    assert choice.description.isprintable()
    assert choice.description.startswith("[2Jhead and neck")
    assert len(choice.description) < 80


def test_choosing_reads_no_pixels(tmp_path: Path) -> None:
    slices = series(4)
    written(slices, tmp_path)
    for path in tmp_path.iterdir():
        whole = path.read_bytes()
        path.write_bytes(whole[:-24])
        os.truncate(path, len(whole))
    assert [choice.slices for choice in image_choices(tmp_path)] == [4]
    assert read_volume(tmp_path).array.max() == 0
    assert slice_values(3).max() == 311
