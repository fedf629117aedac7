"""Grey values: rescaled, masked to the bits that count, turned from inverted display and colours, and their window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from dicom_files import COLUMNS, ROWS, Slices, changed, dicom_slice, item, series, slice_values, written
from numpy.typing import NDArray
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from knowsam.data.orientation import from_working
from knowsam.errors import InputError
from knowsam.io.image import read_volume

if TYPE_CHECKING:
    from knowsam.data.volume import Volume

STORED = np.stack([slice_values(number) for number in range(4)])
LUT = item(LUTDescriptor=[312, 0, 16], LUTData=[3 * value for value in range(312)])
LUT["LUTDescriptor"].VR = LUT["LUTData"].VR = "US"


def grey(volume: Volume) -> NDArray[np.generic]:
    """Return the values as they lie in the files: (slices, rows, columns)."""
    return from_working(volume.array, volume.grid).T


def with_pixels(slices: Slices, pixels: NDArray[np.generic], **attributes: object) -> Slices:
    for dataset, plane in zip(slices, pixels, strict=True):
        dataset.BitsAllocated = dataset.BitsStored = 8 * plane.dtype.itemsize
        dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, int(plane.dtype.kind == "i")
        dataset.PixelData = plane.tobytes() + b"\0" * (plane.nbytes % 2)
    changed(**attributes)(slices)
    return slices


@pytest.mark.parametrize(
    ("attributes", "low", "dtype"),
    [
        ({}, 0.0, np.int16),
        ({"RescaleSlope": 1, "RescaleIntercept": -1024}, -1024.0, np.int16),
        ({"RescaleSlope": 1, "RescaleIntercept": 40000}, 40000.0, np.int32),
        ({"RescaleSlope": 100, "RescaleIntercept": -31}, -31.0, np.int16),
        ({"RescaleSlope": 1000, "RescaleIntercept": 0}, 0.0, np.int32),
        ({"RescaleSlope": 1, "RescaleIntercept": 0.5}, 0.5, np.float32),
        ({"RescaleSlope": 2.5, "RescaleIntercept": -3}, -3.0, np.float32),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, 0.0, np.int16),
    ],
    ids=["none", "Hounsfield", "large", "whole", "large whole", "fractional intercept", "slope", "slope of zero"],
)
def test_rescaling_is_applied_and_whole_values_stay_integers(
    tmp_path: Path, attributes: dict[str, float], low: float, dtype: type
) -> None:
    volume = read_volume(written(series(4, **attributes), tmp_path))
    assert volume.array.dtype == dtype
    np.testing.assert_array_equal(grey(volume), (attributes.get("RescaleSlope") or 1) * STORED.astype(float) + low)


def test_each_slice_has_its_own_rescaling(tmp_path: Path) -> None:
    slices = series(4)
    slopes = np.array([1, 2, 0.5, 3])
    for slope, dataset in zip(slopes, slices, strict=True):
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, 0
    np.testing.assert_array_equal(grey(read_volume(written(slices, tmp_path))), slopes[:, None, None] * STORED)


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_slices_that_have_lost_their_rescaling_are_refused(tmp_path: Path, keyword: str) -> None:
    slices = series(4, RescaleSlope=2, RescaleIntercept=-1024)
    delattr(slices[2], keyword)
    with pytest.raises(InputError, match=f"1 of 4 slices lack the attribute {keyword}"):
        read_volume(written(slices, tmp_path))


def test_slices_may_lack_a_rescaling_that_changes_nothing(tmp_path: Path) -> None:
    slices = series(4, RescaleSlope=1, RescaleIntercept=0)
    del slices[1].RescaleSlope, slices[2].RescaleIntercept
    np.testing.assert_array_equal(grey(read_volume(written(slices, tmp_path))), STORED)


@pytest.mark.parametrize("slope", [1, 2, 0.5])
def test_monochrome1_is_inverted_with_a_notice(tmp_path: Path, slope: float) -> None:
    attributes = {"RescaleSlope": slope, "RescaleIntercept": -10}
    inverted = read_volume(written(series(4, PhotometricInterpretation="MONOCHROME1", **attributes), tmp_path / "1"))
    upright = read_volume(written(series(4, **attributes), tmp_path / "2"))
    np.testing.assert_array_equal(inverted.array, 311 * slope - 20 - upright.array)
    assert "MONOCHROME1" in " ".join(inverted.notices)
    assert upright.notices == ()


@pytest.mark.parametrize(("slope", "intercept"), [(2**-20, 1000), (0.5, 2e9), (1, 1e9)])
@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_grey_values_too_far_from_zero_for_float32_are_moved_with_a_notice(
    tmp_path: Path, kind: str, slope: float, intercept: float
) -> None:
    window = {"WindowCenter": intercept + 100 * slope, "WindowWidth": 20 * slope}
    rescaled = {"RescaleSlope": slope, "RescaleIntercept": intercept}
    volume = read_volume(written(series(4, PhotometricInterpretation=kind, **rescaled, **window), tmp_path))
    is_inverted = kind == "MONOCHROME1"
    np.testing.assert_array_equal(grey(volume), slope * (311 - STORED.astype(float) if is_inverted else STORED))
    assert f"{intercept:.10g} was subtracted from all of them" in volume.notices[-1]
    assert volume.display_range == tuple(slope * end for end in ((201, 221) if is_inverted else (90, 110)))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.uint32, np.int32])
def test_every_width_and_sign_is_read(tmp_path: Path, dtype: type) -> None:
    info = np.iinfo(dtype)
    pixels = np.linspace(max(info.min, -40000), min(info.max, 60000), STORED.size).astype(dtype).reshape(STORED.shape)
    volume = read_volume(written(with_pixels(series(4), pixels), tmp_path))
    np.testing.assert_array_equal(grey(volume), pixels)


@pytest.mark.parametrize(("bits", "signed"), [(12, 0), (12, 1), (10, 0), (10, 1), (9, 1)])
def test_bits_beyond_those_stored_are_masked_and_the_sign_is_that_of_the_highest_stored(
    tmp_path: Path, bits: int, signed: int
) -> None:
    low = -(2 ** (bits - 1)) * signed
    pixels = np.linspace(low, low + 2**bits - 1, STORED.size).astype(np.int32).reshape(STORED.shape)
    overlays = np.random.default_rng(0).integers(0, 2 ** (16 - bits), pixels.shape) << bits
    dirty = (pixels & (2**bits - 1) | overlays).astype(np.uint16)
    slices = with_pixels(series(4), dirty, BitsStored=bits, HighBit=bits - 1, PixelRepresentation=signed)
    np.testing.assert_array_equal(grey(read_volume(written(slices, tmp_path))), pixels)


def test_pixels_whose_highest_bit_is_not_the_last_stored_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fill 12 bits up to bit 15, not 11"):
        read_volume(written(series(4, BitsStored=12, HighBit=15), tmp_path))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_every_way_to_write_a_file_is_read(tmp_path: Path, syntax: str) -> None:
    slices = series(4)
    for dataset in slices:
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            dataset["PixelData"].VR = "OW"
            dataset.PixelData = np.frombuffer(dataset.PixelData, np.uint16).byteswap().tobytes()
    volume = read_volume(written(slices, tmp_path))
    np.testing.assert_array_equal(grey(volume), STORED)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_numbers_may_have_blanks_around_them_and_empty_ones_are_none(tmp_path: Path, syntax: str) -> None:
    slices = series(4, RescaleSlope=" 2 ", RescaleIntercept=None, WindowCenter="", WindowWidth=r" 9 \ 8")
    for dataset in slices:
        dataset.file_meta.TransferSyntaxUID = syntax
    volume = read_volume(written(slices, tmp_path))
    np.testing.assert_array_equal(grey(volume), 2 * STORED)
    assert volume.display_range is None


def test_fractions_are_read_and_those_that_are_no_numbers_refused(tmp_path: Path) -> None:
    slices = series(4, BitsAllocated=32)
    for dataset, plane in zip(slices, STORED, strict=True):
        del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
        dataset.FloatPixelData = (plane / np.float32(7)).astype(np.float32).tobytes()
    np.testing.assert_array_equal(
        grey(read_volume(written(slices, tmp_path / "a"))), (STORED / np.float32(7)).astype(np.float32)
    )
    slices[2].FloatPixelData = np.full(ROWS * COLUMNS, np.nan, np.float32).tobytes()
    with pytest.raises(InputError, match="NaN or infinite"):
        read_volume(written(slices, tmp_path / "b"))


def test_a_lookup_table_takes_the_place_of_rescaling(tmp_path: Path) -> None:
    volume = read_volume(written(series(4, ModalityLUTSequence=[LUT], RescaleSlope=9), tmp_path))
    np.testing.assert_array_equal(grey(volume), 3 * STORED)


def test_colours_become_their_luminance_with_a_notice(tmp_path: Path) -> None:
    slices = series(4, PhotometricInterpretation="RGB", SamplesPerPixel=3, PlanarConfiguration=0)
    colours = np.random.default_rng(0).integers(0, 256, (4, ROWS, COLUMNS, 3)).astype(np.uint8)
    volume = read_volume(written(with_pixels(slices, colours), tmp_path))
    np.testing.assert_array_equal(grey(volume), np.rint(colours @ [0.299, 0.587, 0.114]))
    assert volume.notices == ("The colours were turned into grey by their luminance.",)


def test_luma_of_colour_differences_is_their_luminance(tmp_path: Path) -> None:
    slices = series(4, PhotometricInterpretation="YBR_FULL", SamplesPerPixel=3, PlanarConfiguration=1)
    luma = np.random.default_rng(0).integers(0, 256, (4, ROWS, COLUMNS)).astype(np.uint8)
    planes = np.stack([luma, np.full_like(luma, 128), np.full_like(luma, 128)], axis=1)
    np.testing.assert_array_equal(grey(read_volume(written(with_pixels(slices, planes), tmp_path))), luma)


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    indices = (STORED % 4).astype(np.uint8)
    palettes = np.array([[0, 65535, 0, 30000], [0, 0, 65535, 30000], [0, 0, 0, 30000]], np.uint16)
    attributes: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, palette in zip(("Red", "Green", "Blue"), palettes, strict=True):
        attributes[f"{colour}PaletteColorLookupTableDescriptor"] = [4, 0, 16]
        attributes[f"{colour}PaletteColorLookupTableData"] = palette.tobytes()
    volume = read_volume(written(with_pixels(series(4), indices, **attributes), tmp_path))
    np.testing.assert_array_equal(grey(volume), np.array([0, 19595, 38469, 30000])[indices])


def test_pixels_of_an_unknown_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown kind") as caught:
        read_volume(written(series(4, PhotometricInterpretation="DOE JANE"), tmp_path))
    assert "DOE" not in str(caught.value)


@pytest.mark.parametrize(
    ("attributes", "shown"),
    [
        ({}, None),
        ({"WindowCenter": 150, "WindowWidth": 100}, (100, 200)),
        ({"WindowCenter": [150, 40], "WindowWidth": [100, 400]}, (100, 200)),
        ({"WindowCenter": 250, "WindowWidth": 200}, (150, 350)),
        ({"WindowCenter": 50, "WindowWidth": 20, "RescaleSlope": 1, "RescaleIntercept": -100}, (40, 60)),
        ({"WindowCenter": 100, "WindowWidth": 20, "PhotometricInterpretation": "MONOCHROME1"}, (201, 221)),
        ({"WindowCenter": 150, "WindowWidth": 0}, None),
        ({"WindowCenter": 150}, None),
    ],
)
def test_the_first_window_of_the_series_is_kept(
    tmp_path: Path, attributes: dict[str, object], shown: tuple[float, float] | None
) -> None:
    assert read_volume(written(series(4, **attributes), tmp_path)).display_range == shown


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize(
    ("attributes", "padding"),
    [
        ({}, None),
        ({"PixelPaddingValue": 5}, (5, 5)),
        ({"PixelPaddingValue": 5, "RescaleSlope": 2, "RescaleIntercept": -1024}, (-1014, -1014)),
        ({"PixelPaddingValue": 9, "PixelPaddingRangeLimit": 4}, (4, 9)),
        ({"PixelPaddingValue": 65535}, (65535, 65535)),
        ({"PixelPaddingValue": 63536, "PixelRepresentation": 1}, (-2000, -2000)),
        ({"PixelPaddingValue": 5, "PhotometricInterpretation": "MONOCHROME1"}, (306, 306)),
        ({"PixelPaddingValue": 5, "ModalityLUTSequence": [LUT]}, None),
        ({"PixelPaddingValue": None}, None),
    ],
)
def test_padding_is_known_by_its_grey_values(
    tmp_path: Path, syntax: str, attributes: dict[str, object], padding: tuple[float, float] | None
) -> None:
    slices = series(4, **attributes)
    for dataset in slices:
        dataset.file_meta.TransferSyntaxUID = syntax
        for keyword in {"PixelPaddingValue", "PixelPaddingRangeLimit"} & attributes.keys():
            dataset[keyword].VR = "US"
        if syntax == ExplicitVRBigEndian:
            dataset["PixelData"].VR = "OW"
            dataset.PixelData = np.frombuffer(dataset.PixelData, np.uint16).byteswap().tobytes()
    assert read_volume(written(slices, tmp_path)).padding == padding


@pytest.mark.parametrize(
    "directions",
    [[1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1], [-1, 0, 0, 0, -1, 0], [0, -1, 0, 1, 0, 0]],
)
@pytest.mark.parametrize("slope", [1, 2.5])
def test_slices_of_every_plane_come_out_in_one_piece_of_memory(
    tmp_path: Path, directions: list[int], slope: float
) -> None:
    slices = series(4, ImageOrientationPatient=directions, RescaleSlope=slope, RescaleIntercept=0)
    normal = np.cross(directions[:3], directions[3:])
    for number, dataset in enumerate(slices):
        dataset.ImagePositionPatient = [float(mm) for mm in 3 * number * normal]
    volume = read_volume(written(slices, tmp_path))
    np.testing.assert_array_equal(grey(volume), slope * STORED)
    assert volume.array.flags.c_contiguous


def test_a_slice_of_other_width_of_bits_is_read_with_the_others(tmp_path: Path) -> None:
    slices = series(3)
    (narrow,) = with_pixels([dicom_slice(3)], (STORED[:1] % 256).astype(np.uint8))
    volume = read_volume(written([*slices, narrow], tmp_path))
    np.testing.assert_array_equal(grey(volume)[3], STORED[0] % 256)
