"""Damaged files among good ones: they spoil no series but their own, and none is passed over in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
from dicom_files import brighter, saved, series

from knowsam.errors import InputError
from knowsam.io.image import image_choices, read_volume

LOST = "1 file is damaged and does not say to which series it belongs; a slice of this one may be missing."


@pytest.fixture
def two_series(tmp_path: Path) -> Path:
    """A folder with the series A of three slices, T1, and B of four, T2."""
    for number, dataset in enumerate(series(3)):
        saved(dataset, tmp_path / f"A{number}.dcm")
    second = series(4, SeriesInstanceUID="1.2.4", SeriesNumber=8, SeriesDescription="T2")
    for number, dataset in enumerate(brighter(second, 1000)):
        saved(dataset, tmp_path / f"B{number}.dcm")
    return tmp_path


def replace(path: Path, intact: bytes, spoiled: bytes) -> None:
    whole = path.read_bytes()
    assert intact in whole
    path.write_bytes(whole.replace(intact, spoiled))


def cut_off(path: Path, kept: int = 200) -> None:
    path.write_bytes(path.read_bytes()[:kept])


@pytest.mark.parametrize(
    ("intact", "spoiled"),
    [
        (rb"0.8\0.6", rb"0.8\0x6"),
        (b"\x28\x00\x10\x00US\x02\x00\x03\x00", b"\x28\x00\x10\x00US\x02\x00\xff\xff"),
        (b"\x20\x00\x32\x00DS", b"\x20\x00\x32\x00SQ"),
        (b"\x20\x00\x11\x00IS\x02\x007 ", b"\x20\x00\x11\x00IS\x02\x00x "),
    ],
    ids=["no number", "too many rows", "no sequence", "no series number"],
)
def test_a_damaged_file_affects_only_the_series_it_names(two_series: Path, intact: bytes, spoiled: bytes) -> None:
    replace(two_series / "A0.dcm", intact, spoiled)
    assert {choice.extent for choice in image_choices(two_series)} == {
        "damaged",
        "4 slices of 3 x 4, 2.5 mm apart",
    }
    volume = read_volume(two_series, "T2")
    assert (volume.grid.shape[2], volume.notices) == (4, ())
    with pytest.raises(InputError, match=r"The header of (file 1 of 7|the series)"):
        read_volume(two_series, "damaged")


def test_a_damaged_series_is_listed_by_its_name(two_series: Path) -> None:
    cut_off(two_series / "A1.dcm", 700)
    assert [str(choice) for choice in image_choices(two_series)] == [
        "T1 axial (series 7), damaged",
        "T2 (series 8), 4 slices of 3 x 4, 2.5 mm apart",
    ]


def test_a_file_of_a_damaged_series_stands_for_it(two_series: Path) -> None:
    cut_off(two_series / "A1.dcm", 700)
    with pytest.raises(InputError, match="file 2 of 7"):
        read_volume(two_series / "A0.dcm")
    assert read_volume(two_series / "B0.dcm").grid.shape[2] == 4


def test_a_damaged_file_without_a_series_is_reported_with_each(two_series: Path) -> None:
    cut_off(two_series / "A2.dcm")
    assert [read_volume(two_series, pick).notices for pick in (1, 2)] == [(LOST,), (LOST,)]
    cut_off(two_series / "B3.dcm")
    assert read_volume(two_series, 2).notices[0].startswith("2 files are damaged and do not say")


def test_a_series_that_nothing_else_belongs_to_is_no_series(two_series: Path) -> None:
    replace(two_series / "A2.dcm", b"UI\x06\x001.2.3\x00", b"UI\x06\x001.9.9\x00")
    cut_off(two_series / "A2.dcm", 700)
    assert read_volume(two_series, "T1").notices == (LOST,)


def test_a_file_that_is_called_dicom_but_has_lost_its_start_is_reported(two_series: Path) -> None:
    (two_series / "A2.dcm").write_bytes(bytes(900))
    assert read_volume(two_series, "T1").notices == (LOST,)


def test_what_a_system_puts_beside_a_file_is_no_damage(two_series: Path) -> None:
    (two_series / "._A2.dcm").write_bytes(bytes(900))
    assert read_volume(two_series, "T1").notices == ()


def test_a_folder_of_damaged_files_alone_is_refused(two_series: Path) -> None:
    for path in two_series.iterdir():
        cut_off(path, 700)
    with pytest.raises(InputError, match="The header of file 1 of 7, counted by name, is damaged"):
        image_choices(two_series)
