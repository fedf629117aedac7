"""Damaged and hostile DICOM: one error in words, soon, and without taking memory for what is not there."""

from __future__ import annotations

import logging
import os
import tracemalloc
import warnings
import zlib
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest
from dicom_files import Slices, brighter, dicom_slice, image, saved, series, written
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit

from knowsam.errors import InputError
from knowsam.io.dicom import files
from knowsam.io.image import image_choices, read_volume

MIB = 2**20


def refused(path: Path, message: str) -> None:
    """Check that a path is refused with this message, and that memory was never taken for it."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=message) as caught:
            read_volume(path)
        assert tracemalloc.get_traced_memory()[1] < 64 * MIB
    finally:
        tracemalloc.stop()
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    for secret in ("DOE", "JANE", "IM00"):
        assert secret not in str(caught.value)


def saved_all(slices: Slices, folder: Path) -> Path:
    for number, dataset in enumerate(slices):
        saved(dataset, folder / f"IM{number:03}")
    return folder


def cut_off(path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])


def test_a_header_that_is_cut_off_behind_its_series_is_refused_by_the_place_of_its_file(tmp_path: Path) -> None:
    cut_off(saved_all(series(), tmp_path) / "IM002", 700)
    refused(tmp_path, "header of file 3 of 4, counted by name, is damaged")


@pytest.mark.parametrize("kept", [200, 400])
def test_a_header_that_is_cut_off_before_its_series_is_reported_in_the_error(tmp_path: Path, kept: int) -> None:
    cut_off(saved_all(series(), tmp_path) / "IM002", kept)
    refused(tmp_path, "mm are usual in the series.* 1 file is damaged and does not say to which series it belongs")


@pytest.mark.parametrize(
    ("intact", "spoiled"),
    [(rb"0.8\0.6", rb"0.8\0x6"), (b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x10\x00US\x03\x00")],
    ids=["a coordinate that is no number", "a number of three bytes"],
)
def test_a_damaged_header_is_refused_by_the_place_of_its_file(tmp_path: Path, intact: bytes, spoiled: bytes) -> None:
    damaged = saved_all(series(), tmp_path) / "IM002"
    damaged.write_bytes(damaged.read_bytes().replace(intact, spoiled))
    refused(tmp_path, "header of file 3 of 4, counted by name, is damaged")


@pytest.mark.parametrize(
    "attributes",
    [
        {"Rows": 60000, "Columns": 60000},
        {"NumberOfFrames": 2**31 - 1},
        {"SamplesPerPixel": 60000},
        {"BitsAllocated": 64000},
        {"PixelData": b"\0\0"},
        {"Rows": 0},
    ],
)
def test_a_header_that_claims_more_pixels_than_there_are_is_refused(
    tmp_path: Path, attributes: dict[str, object]
) -> None:
    refused(written(series(4, **attributes), tmp_path), "which need .* bytes, but only .* are there")


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"Rows": 60000, "Columns": 60000}, "say that they hold .* MiB of pixels, but have only 0.0. MiB"),
        ({"NumberOfFrames": 2**31 - 1}, "which need .* bytes, but only"),
        ({}, "compressed as JPEG Baseline .* damaged or cannot be decoded"),
    ],
)
def test_compressed_pixels_that_could_not_be_there_are_refused(
    tmp_path: Path, attributes: dict[str, object], message: str
) -> None:
    slices = series(4, **attributes)
    for dataset in slices:
        dataset.PixelData = encapsulate([b"no JPEG at all"])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    refused(written(slices, tmp_path), message)


def test_a_deflated_file_that_grows_beyond_all_bounds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_PLAUSIBLE_BYTES", MIB)
    dataset = dicom_slice(0)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = saved(dataset, tmp_path / "a.dcm")
    whole = path.read_bytes()
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    start = 144 + int.from_bytes(whole[140:144], "little")
    path.write_bytes(whole[:start] + deflater.compress(bytes(50 * MIB)) + deflater.flush())
    refused(path, "grows beyond .* MiB, which no image does")


@pytest.mark.parametrize(
    "attributes",
    [
        {"BitsStored": 40},
        {"PixelRepresentation": 7},
        {"PhotometricInterpretation": "RGB"},
        {"BitsAllocated": 12},
        {"RescaleSlope": "1e300", "RescaleIntercept": "0"},
        {"RescaleSlope": "1e308", "RescaleIntercept": "1e308"},
    ],
)
def test_pixels_described_in_an_impossible_way_are_refused(tmp_path: Path, attributes: dict[str, object]) -> None:
    refused(written(series(4, **attributes), tmp_path), "damaged|fill|numbers of 32 bits")


@pytest.mark.parametrize("value", [b"nan ", b"inf ", b"1e400 "])
def test_positions_that_are_no_numbers_are_refused(tmp_path: Path, value: bytes) -> None:
    for path in saved_all(series(4, ImagePositionPatient=["1234", "0", "0"]), tmp_path).iterdir():
        path.write_bytes(path.read_bytes().replace(b"1234", value[:4]))
    refused(tmp_path, "no number|nothing in the headers|damaged")


def test_sequences_nested_without_end_are_refused(tmp_path: Path) -> None:
    path = saved(dicom_slice(0), tmp_path / "a.dcm")
    whole = path.read_bytes()
    nested = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 5000
    start = 144 + int.from_bytes(whole[140:144], "little")
    path.write_bytes(whole[:start] + nested + whole[start:])
    refused(path, "header of the file is damaged")


def test_a_file_cut_off_anywhere_is_refused_or_reported(tmp_path: Path) -> None:
    saved_all(brighter(series(3), 1), tmp_path)
    whole = (tmp_path / "IM001").read_bytes()
    read = 0
    for kept in range(132, len(whole), 17):
        (tmp_path / "IM001").write_bytes(whole[:kept])
        with suppress(InputError):
            volume = read_volume(tmp_path)
            assert volume.grid.shape[2] == 2
            assert volume.notices[0].startswith("1 file is damaged")
            read += 1
    assert 0 < read < 30


def test_noise_in_a_header_leaves_a_volume_or_one_error(tmp_path: Path) -> None:
    saved_all(series(3), tmp_path)
    whole = (tmp_path / "IM001").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(50):
        noisy = bytearray(whole)
        for place in rng.integers(132, len(whole), 4):
            noisy[place] = rng.integers(256)
        (tmp_path / "IM001").write_bytes(noisy)
        with suppress(InputError):
            assert read_volume(tmp_path, 1).array.ndim == 3


def test_folders_that_lead_back_to_themselves_are_walked_once(tmp_path: Path) -> None:
    written(series(), tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    assert [choice.slices for choice in image_choices(tmp_path)] == [4]
    assert read_volume(tmp_path).notices == ()


def test_folders_deep_in_each_other_are_refused(tmp_path: Path) -> None:
    tmp_path.joinpath(*"abcdefghijklmnopqrstuvwxyz").mkdir(parents=True)
    refused(tmp_path, "Folders lie more than 20 deep in each other")


def test_a_folder_with_files_beyond_all_bounds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_MOST_FILES", 3)
    refused(written(series(), tmp_path), "holds more than 3 files")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_in_a_folder_is_passed_over(tmp_path: Path) -> None:
    os.mkfifo(written(series(), tmp_path) / "pipe")
    assert len(image_choices(tmp_path)) == 1


def test_a_file_without_pixels_is_refused(tmp_path: Path) -> None:
    empty = image(np.zeros((2, 3, 4), np.uint16))
    del empty.PixelData
    refused(saved(empty, tmp_path / "a.dcm"), "header of the file is damaged")


def test_two_readers_at_once_keep_pydicom_silent_until_the_last_is_done() -> None:
    """Values of a header would reach the screen, or warnings stay off for ever."""
    logger = logging.getLogger("pydicom")
    before = logger.level, list(warnings.filters)
    one, other = ExitStack(), ExitStack()
    for reader in (one, other):
        reader.enter_context(files.pydicom_silenced)
    one.close()
    assert (logger.level, warnings.filters[0][0]) == (logging.CRITICAL + 1, "ignore")
    other.close()
    assert (logger.level, list(warnings.filters)) == before
