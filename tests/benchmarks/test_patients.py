"""Patients of ACDC-like folders: who belongs to which part, and their slices as squares and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from patients import Slices, Split, patients_of
from tasks import find_data_set

from knowsam.data.annotation import default_classes

ACDC = [f"patient{number:03}" for number in range(1, 101)]


def _parts(split: Split) -> list[tuple[str, ...]]:
    return [split.labelled, split.unlabelled, split.validation, split.tested]


@pytest.mark.parametrize(("percent", "labelled"), [(5, 3), (10, 7)])
def test_a_hundred_patients_are_split_70_10_20_and_nobody_is_in_two_parts(percent: float, labelled: int) -> None:
    parts = _parts(Split.of(ACDC, percent))
    assert [len(part) for part in parts] == [labelled, 70 - labelled, 10, 20]
    assert sorted(name for part in parts for name in part) == ACDC


def test_the_same_patients_are_tested_whatever_share_is_labelled_and_not_only_those_of_one_disease() -> None:
    few, more = Split.of(ACDC, 5), Split.of(ACDC, 10)
    assert few.tested == more.tested
    assert set(few.labelled) < set(more.labelled)
    # ACDC has twenty patients of each of five diseases in a row.
    assert {(int(name[-3:]) - 1) // 20 for name in few.tested} == {0, 1, 2, 3, 4}


def test_each_part_has_somebody_where_patients_are_few() -> None:
    assert all(_parts(Split.of(ACDC[:4], 10)))
    with pytest.raises(ValueError, match="3 patients, but 4"):
        Split.of(ACDC[:3], 10)


def test_a_written_split_is_taken_as_it_is_unless_a_patient_is_unknown_or_in_two_parts() -> None:
    lists = {"labelled": ["a"], "unlabelled": ["b"], "validation": ["c"], "tested": ["d"]}
    assert Split.listed(lists, "abcd").unlabelled == ("b",)
    with pytest.raises(ValueError, match="no patient d"):
        Split.listed(lists, "abc")
    with pytest.raises(ValueError, match="without overlap"):
        Split.listed(lists | {"tested": ["a"]}, "abcd")


def test_frames_of_acdc_belong_to_their_patient(hearts: Path) -> None:
    patients = patients_of(find_data_set(hearts))
    assert list(patients) == ACDC[:5]
    assert patients["patient003"] == ("patient003_frame01", "patient003_frame12")


def test_slices_are_read_as_the_file_stores_them_and_resized_to_squares(hearts: Path) -> None:
    slices = Slices.read(find_data_set(hearts), "patient001_frame01")
    assert slices.images.shape == slices.labels.shape == (5, 40, 36)
    assert (slices.labels[0, 22, 18], slices.labels[0, 22, 25], slices.labels[0, 12, 18]) == (3, 2, 1)
    case = slices.case(64, default_classes([1, 2, 3]), labelled=True)
    assert case.volume.shape == (5, 64, 64)
    assert case.volume.spacing_mm == (10.0, 1.0, 1.0)
    assert case.annotation.annotated == (0, 1, 2, 3, 4)
    assert case.annotation.slices[0].labels[int(22.5 * 64 / 40), int(18.5 * 64 / 36)] == 3
    assert not slices.case(64, default_classes([1, 2, 3]), labelled=False).annotation.slices


def test_labels_of_finer_squares_come_back_to_the_pixels_of_the_file(hearts: Path) -> None:
    slices = Slices.read(find_data_set(hearts), "patient002_frame12")
    squares = slices.case(256, default_classes([1, 2, 3]), labelled=True).annotation
    finer = np.stack([squares.slices[index].labels for index in range(5)])
    np.testing.assert_array_equal(slices.restored(finer), slices.labels)
