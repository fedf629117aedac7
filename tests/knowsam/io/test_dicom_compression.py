"""Compressed pixels come out as they went in."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import Slices, dicom_slice, enhanced, saved, written
from numpy.typing import NDArray
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders import base
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    MPEG2MPML,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from knowsam.data.orientation import from_working
from knowsam.errors import InputError
from knowsam.io.image import read_volume

SIZE = 24


def ramp(number: int, dtype: type, low: int, high: int) -> NDArray[np.generic]:
    """Return a smooth picture from `low` to `high`, another one for each number, with a few sharp dots."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    picture = low + (high - low) * (0.4 * x + 0.4 * y + 0.05 * number)
    picture[::7, ::5] = high
    return picture.astype(dtype)


def slices_of(dtype: type, bits: int) -> Slices:
    signed = np.dtype(dtype).kind == "i"
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    slices = []
    for number in range(3):
        dataset = dicom_slice(number, Rows=SIZE, Columns=SIZE, BitsStored=bits, HighBit=bits - 1)
        dataset.BitsAllocated, dataset.PixelRepresentation = 8 * np.dtype(dtype).itemsize, int(signed)
        dataset.PixelData = ramp(number, dtype, low, high).tobytes()
        slices.append(dataset)
    return slices


def recompressed(path: Path, syntax: str) -> None:
    """Compress a file with GDCM, in place."""
    gdcm = pytest.importorskip("gdcm")
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(syntax))))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetFileName(str(path))
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    assert pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID == syntax


@pytest.mark.parametrize(
    ("dtype", "bits"), [(np.uint8, 8), (np.uint16, 12), (np.uint16, 16), (np.int16, 16), (np.int16, 12)]
)
@pytest.mark.parametrize("syntax", [RLELossless, JPEGLosslessSV1, JPEGLossless, JPEGLSLossless, JPEG2000Lossless])
def test_lossless_pixels_equal_the_uncompressed_ones(tmp_path: Path, syntax: str, dtype: type, bits: int) -> None:
    expected = read_volume(written(slices_of(dtype, bits), tmp_path / "a"))
    folder = written(slices_of(dtype, bits), tmp_path / "b")
    for path in folder.iterdir():
        recompressed(path, syntax)
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.array, expected.array)
    assert volume.array.dtype == expected.array.dtype


@pytest.mark.parametrize("has_offsets", [True, False])
def test_compressed_frames_of_one_file_equal_the_uncompressed_ones(tmp_path: Path, has_offsets: bool) -> None:
    dataset = enhanced([2, 0, 3, 1])
    expected = read_volume(saved(dataset, tmp_path / "a.dcm"))
    planes = np.frombuffer(dataset.PixelData, np.uint16).reshape(4, dataset.Rows, dataset.Columns)
    compressed(dataset, [encoded(plane, "JPEG2000", no_jp2=True) for plane in planes], JPEG2000Lossless, has_offsets)
    np.testing.assert_array_equal(read_volume(saved(dataset, tmp_path / "b.dcm")).array, expected.array)


def test_one_of_two_images_in_a_compressed_file_is_read(tmp_path: Path) -> None:
    dataset = enhanced([0, 0, 1, 1], EchoTime=[1.0, 2.0] * 2)
    dataset.compress(RLELossless)
    volume = read_volume(saved(dataset, tmp_path / "a.dcm"), 2)
    assert volume.array.shape == (3, 2, 4)


def encoded(plane: NDArray[np.generic], form: str, **options: object) -> bytes:
    buffer = BytesIO()
    Image.fromarray(plane).save(buffer, form, **options)
    return buffer.getvalue()


def compressed(dataset: pydicom.Dataset, frames: list[bytes], syntax: str, has_offsets: bool = True) -> None:
    dataset.PixelData = encapsulate(frames, has_bot=has_offsets)
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax


@pytest.mark.parametrize(
    ("syntax", "form", "options"),
    [
        (JPEGBaseline8Bit, "JPEG", {"quality": 80}),
        (JPEGExtended12Bit, "JPEG", {"quality": 80}),
        (JPEG2000, "JPEG2000", {"irreversible": True, "quality_layers": [4], "no_jp2": True}),
    ],
)
def test_lossy_pixels_are_those_that_another_decoder_finds(
    tmp_path: Path, syntax: str, form: str, options: dict[str, object]
) -> None:
    slices, expected = slices_of(np.uint8, 8), []
    for dataset in slices:
        stream = encoded(np.frombuffer(dataset.PixelData, np.uint8).reshape(SIZE, SIZE), form, **options)
        expected.append(np.asarray(Image.open(BytesIO(stream)), dtype=int))
        compressed(dataset, [stream], syntax)
    volume = read_volume(written(slices, tmp_path))
    assert np.abs(from_working(volume.array, volume.grid).T - expected).max() <= 2


def test_colours_of_jpeg_become_their_luminance(tmp_path: Path) -> None:
    colours = np.zeros((SIZE, SIZE, 3), np.uint8)
    slices = slices_of(np.uint8, 8)
    for number, dataset in enumerate(slices):
        colours[..., number] = 200
        dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
        dataset.PhotometricInterpretation = "YBR_FULL_422"
        compressed(dataset, [encoded(colours, "JPEG", quality=95)], JPEGBaseline8Bit)
    volume = read_volume(written(slices, tmp_path))
    planes = from_working(volume.array, volume.grid).T
    np.testing.assert_allclose(planes.mean(axis=(1, 2)), np.cumsum([59.8, 117.4, 22.8]), atol=2)


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEG2000Lossless, HTJ2K])
def test_compression_without_a_decoder_is_refused_with_the_remedy(
    tmp_path: Path, syntax: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slices = slices_of(np.uint16, 12)
    for dataset in slices:
        compressed(dataset, [dataset.PixelData], syntax)
    monkeypatch.setattr(base.Decoder, "is_available", False)
    with pytest.raises(InputError, match=r'compressed as .*pip install "napari-knowsam\[dicom\]".*uncompressed'):
        read_volume(written(slices, tmp_path))


def test_a_film_is_refused(tmp_path: Path) -> None:
    slices = slices_of(np.uint8, 8)
    for dataset in slices:
        compressed(dataset, [dataset.PixelData], MPEG2MPML)
    with pytest.raises(InputError, match=r"compressed as MPEG2 .* cannot be decoded"):
        read_volume(written(slices, tmp_path))
