"""Series whose slices are evenly spaced, one at each position, and still show more than one image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_files import brighter, by_turns, dicom_slice, repeated, series, written

from knowsam.errors import InputError
from knowsam.io.image import image_choices, read_volume

PREFIX = "T1 axial (series 7), "


def marks(folder: Path) -> list[str]:
    return [choice.description.removeprefix(PREFIX) for choice in image_choices(folder)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"DiffusionBValue": [0.0, 2000.0]}, ["b = 0", "b = 2000"]),
        ({"EchoTime": [10, 90]}, ["echo time 10 ms", "echo time 90 ms"]),
        ({"SequenceName": ["ep_b0", "ep_b1000t"]}, ["sequence ep_b0", "sequence ep_b1000t"]),
        ({"ImageType": [["DERIVED", "PRIMARY", "ADC"], ["DERIVED", "PRIMARY", "TRACEW"]]}, ["type adc", "type tracew"]),
        ({"TemporalPositionIdentifier": [1, 2]}, ["time point 1", "time point 2"]),
        ({"KVP": [80, 140]}, ["80 kV", "140 kV"]),
        ({"PatientID": ["JANE", "JOE"]}, ["patient 1 of 2", "patient 2 of 2"]),
    ],
)
def test_slices_of_two_images_that_lie_between_each_other_are_distinguished(
    tmp_path: Path, values: dict[str, list[object]], expected: list[str]
) -> None:
    written(by_turns(8, 2, **values), tmp_path)
    assert marks(tmp_path) == expected
    assert [choice.extent for choice in image_choices(tmp_path)] == ["4 slices of 3 x 4, 5 mm apart"] * 2
    assert (read_volume(tmp_path, 1).array.max(), read_volume(tmp_path, 2).array.min()) == (611, 1100)


@pytest.mark.parametrize(
    ("group", "creator", "element", "kind", "values"),
    [
        (0x0019, "SIEMENS MR HEADER", 0x0C, "IS", (0, 800)),
        (0x0043, "GEMS_PARM_01", 0x39, "IS", ([0, 8, 0, 0], [1000000800, 8, 0, 0])),
        (0x2001, "Philips Imaging DD 001", 0x03, "FL", (0.0, 800.0)),
    ],
)
@pytest.mark.parametrize("make", [by_turns, repeated])
def test_private_b_values_tell_images_apart(
    tmp_path: Path, group: int, creator: str, element: int, kind: str, values: tuple[object, ...], make: Callable
) -> None:
    slices = by_turns(8, 2) if make is by_turns else repeated(2)
    for number, dataset in enumerate(slices):
        rank = number % 2 if make is by_turns else number // 3
        dataset.private_block(group, creator, create=True).add_new(element, kind, values[rank])
    assert marks(written(slices, tmp_path)) == ["b = 0", "b = 800"]


def test_a_private_attribute_of_somebody_else_is_no_b_value(tmp_path: Path) -> None:
    slices = series(8)
    for number, dataset in enumerate(slices):
        dataset.private_block(0x0019, "GEMS_ACQU_01", create=True).add_new(0x0C, "IS", number % 2)
    assert len(marks(written(slices, tmp_path))) == 1


@pytest.mark.parametrize(
    ("values", "noun"),
    [
        ({"AcquisitionNumber": [1, 2], "AcquisitionTime": ["100000", "100500"]}, "acquisition"),
        ({"AcquisitionTime": ["100000", "100500"]}, "time"),
    ],
)
def test_two_acquisitions_by_turns_are_offered_one_by_one_and_as_one(
    tmp_path: Path, values: dict[str, list[object]], noun: str
) -> None:
    written(by_turns(8, 2, **values), tmp_path)
    assert [choice.slices for choice in image_choices(tmp_path)] == [4, 4, 8]
    assert marks(tmp_path)[2] == f"all 2 {noun}s interleaved"
    assert read_volume(tmp_path, "interleaved").shape[1] == 8
    with pytest.raises(InputError, match="There are 3 images"):
        read_volume(tmp_path)


def test_acquisitions_whose_times_differ_from_slice_to_slice_are_distinguished_by_the_pause(tmp_path: Path) -> None:
    slices = series(8)
    for number, dataset in enumerate(slices):
        dataset.AcquisitionTime = f"10{2 * (number % 2):02}{number:02}.25"
    assert [choice.slices for choice in image_choices(written(slices, tmp_path))] == [4, 4, 8]


@pytest.mark.parametrize(
    "attributes",
    [
        lambda n: {"AcquisitionNumber": 1 + n // 6, "AcquisitionTime": f"10{n // 6:02}00"},
        lambda n: {"AcquisitionNumber": n, "AcquisitionTime": f"1000{n:02}", "ContentTime": f"1001{n:02}"},
        lambda n: {"AcquisitionTime": f"10000{n % 2}", "ContentTime": f"10010{n % 2}"},
        lambda n: {"AcquisitionTime": f"1000{10 * (n % 6):02}"},
        lambda n: {"StackID": str(n % 2)},
        lambda n: {"EchoTime": ("4.6", "4.600")[n % 2]},
    ],
    ids=["halves", "slice by slice", "within a repetition", "two slices at once", "stacks", "digits"],
)
def test_one_image_stays_one_however_it_was_acquired(
    tmp_path: Path, attributes: Callable[[int], dict[str, object]]
) -> None:
    written([dicom_slice(number, **attributes(number)) for number in range(12)], tmp_path)
    volume = read_volume(tmp_path)
    assert (volume.grid.shape[2], volume.notices) == (12, ())


def test_halves_that_say_to_show_different_things_are_read_with_a_warning(tmp_path: Path) -> None:
    written([dicom_slice(number, KVP=100 + 20 * (number > 3)) for number in range(8)], tmp_path)
    (notice,) = read_volume(tmp_path).notices
    assert "100 kV, 120 kV" in notice


def test_halves_of_two_patients_are_two_images(tmp_path: Path) -> None:
    written([dicom_slice(number, PatientID=("JANE", "JOE")[number > 3]) for number in range(8)], tmp_path)
    assert marks(tmp_path) == ["patient 1 of 2", "patient 2 of 2"]
    with pytest.raises(InputError, match="There are 2 images"):
        read_volume(tmp_path)


def test_slices_that_name_no_patient_stay_with_the_others(tmp_path: Path) -> None:
    written([dicom_slice(number, PatientID=("JANE", "")[number > 3]) for number in range(8)], tmp_path)
    (notice,) = read_volume(tmp_path).notices
    assert "patient" in notice


@pytest.mark.parametrize("images", [2, 3])
def test_grey_values_that_alternate_without_a_reason_in_the_headers_are_reported(tmp_path: Path, images: int) -> None:
    (notice,) = read_volume(written(by_turns(9, images), tmp_path)).notices
    assert "alternate" in notice


@pytest.mark.parametrize("days", [("", ""), ("20240229", "20240301"), ("20240101", "20240101")])
def test_acquisitions_over_midnight_keep_their_order(tmp_path: Path, days: tuple[str, str]) -> None:
    slices = repeated(2)
    for number, dataset in enumerate(slices):
        # The first ends and the second begins behind midnight.
        time_s = 59 + number % 3 + 300 * (number // 3)
        minutes, behind = divmod(time_s, 60)
        dataset.AcquisitionTime = f"{'23' if not minutes else '00'}{59 if not minutes else minutes - 1:02}{behind:02}"
        dataset.AcquisitionDate = days[int(minutes > 0)]
    written(slices, tmp_path)
    assert marks(tmp_path) == ["time 1 of 2", "time 2 of 2"]
    assert (read_volume(tmp_path, 1).array.max(), read_volume(tmp_path, 2).array.min()) == (211, 1000)


@pytest.mark.parametrize("kind", [{"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}, {}])
@pytest.mark.parametrize("count", [1, 2])
def test_a_mosaic_is_refused_by_its_name(tmp_path: Path, kind: dict[str, object], count: int) -> None:
    slices = series(count, **kind)
    for dataset in slices:
        dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 9)
    with pytest.raises(InputError, match="mosaic of Siemens"):
        read_volume(written(slices, tmp_path))


def test_a_mosaic_spoils_no_slices_beside_it(tmp_path: Path) -> None:
    mosaic = brighter(series(1, ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]), 1)
    written([*series(4), *mosaic], tmp_path)
    assert read_volume(tmp_path, 1).grid.shape[2] == 4
    assert "mosaic" in image_choices(tmp_path)[1].extent


def test_the_middle_of_three_echoes_is_read_alone(tmp_path: Path) -> None:
    written(by_turns(9, 3, EchoTime=[10, 20, 30]), tmp_path)
    array = read_volume(tmp_path, "echo time 20 ms").array
    assert np.unique(array // 1000).tolist() == [1]
