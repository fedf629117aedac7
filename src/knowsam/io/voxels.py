"""The voxels of one 3D image in a file, read piece by piece straight into the working order.

So a volume is in memory once, in whatever order the file holds it, and its size in the file is checked before.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from nibabel.volumeutils import apply_read_scaling

from knowsam.damage import damage_error
from knowsam.data.orientation import empty_for_working, to_working
from knowsam.errors import InputError
from knowsam.io.value_range import ValueRange, range_of

if TYPE_CHECKING:
    from knowsam.data.volume import Grid

_GZIP_MAGIC = b"\x1f\x8b"
_MOST_DEFLATED = 1032
"""A byte of deflated data inflates to at most this many."""

_PIECE_BYTES = 4 << 20
"""Fits into the cache, so that voxels are reordered before they reach the memory."""

READING_ERRORS = (OSError, EOFError, zlib.error)
"""Errors that reading a damaged stream may raise."""


@dataclass(frozen=True)
class Encoding:
    """The encoding of the voxels of one 3D image in a file, the first axis fastest.

    Parameters
    ----------
    dtype : of a stored number, with its byte order.
    start : bytes of the file before the stream of voxels.
    unpack : unpacks the stream; None if it is not packed.
    skipped : bytes of the unpacked stream before the first voxel.
    following : bytes of other images behind the last voxel in the unpacked stream.
    slope, inter : a stored number times `slope` plus `inter` is the value of a voxel.
    """

    dtype: np.dtype[Any]
    start: int = 0
    unpack: Callable[[BinaryIO], BinaryIO] | None = None
    skipped: int = 0
    following: int = 0
    slope: float = 1.0
    inter: float = 0.0

    def kept_dtype(self, real: npt.DTypeLike) -> np.dtype[Any]:
        """Return the type of the array: unscaled integers keep theirs, all else becomes `real`."""
        as_stored = self.dtype.kind in "iu" and (self.slope, self.inter) == (1, 0)
        return self.dtype.newbyteorder("=") if as_stored else np.dtype(real)

    def end(self, shape: tuple[int, int, int]) -> int:
        """Return the length in bytes of the unpacked stream up to the last voxel of an image of this shape."""
        return self.skipped + math.prod(shape) * self.dtype.itemsize

    def claimed(self, shape: tuple[int, int, int]) -> int:
        """Return the least length in bytes of the unpacked stream."""
        return self.end(shape) + self.following


def is_gzip(path: Path) -> bool:
    """Return whether a file is compressed, by its first bytes, whatever its name.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with path.open("rb") as opened:
        return opened.read(2) == _GZIP_MAGIC


def opened_plain(path: Path) -> BinaryIO:
    """Open a file, unpacked if it is compressed.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    return gzip.open(path) if is_gzip(path) else path.open("rb")  # type: ignore[return-value]


def gunzipped(packed: BinaryIO) -> BinaryIO:
    """Return the content of a gzip stream."""
    return cast("BinaryIO", gzip.GzipFile(fileobj=packed))


def inflated(packed: BinaryIO) -> BinaryIO:
    """Return the content of a zlib stream."""
    return cast("BinaryIO", _Inflated(packed))


def require_size(path: Path, shape: tuple[int, int, int], encoding: Encoding) -> None:
    """Check that a file can hold as many bytes as its header claims.

    Raises
    ------
    InputError
        If it cannot.
    """
    held, claimed = path.stat().st_size, encoding.claimed(shape)
    plain = (encoding.start + (0 if encoding.unpack else claimed), held)
    packed = (claimed if encoding.unpack else 0, held * _MOST_DEFLATED)
    for needed, most in (plain, packed):
        if needed > most:
            raise InputError(
                f"{path.name} is damaged or cut off: its header claims {needed} bytes, but the file can hold {most} at "
                "most. Copy or export the file again."
            )


def notice_of_surplus(path: Path, shape: tuple[int, int, int], encoding: Encoding) -> str | None:
    """Return a notice if an uncompressed file holds more bytes than its header claims.

    The voxels may then lie elsewhere, as behind the header of another kind of file.
    """
    surplus = path.stat().st_size - encoding.start - encoding.claimed(shape)
    if encoding.unpack or surplus <= 0:
        return None
    return f"{path.name} holds {surplus} bytes more than its header tells of; check that the image looks right."


class Voxels(NamedTuple):
    """The voxels of one image.

    Parameters
    ----------
    array : (Z, Y, X), in the working order.
    found : range and missing values.
    subtracted : from all values, if these lie too far from zero for the type of the array.
    """

    array: npt.NDArray[Any]
    found: ValueRange
    subtracted: float = 0.0


def read_voxels(name: str, path: Path, grid: Grid, encoding: Encoding, real: npt.DTypeLike) -> Voxels:
    """Read one image into the working order.

    Parameters
    ----------
    name : of the image, for messages.
    path : the file that holds the voxels.
    real : type of the array if the file holds real numbers or scales its integers, or a number is subtracted.

    Raises
    ------
    InputError
        If the voxels are no real numbers, end early, are damaged, or do not fit into memory.
    """
    if encoding.dtype.kind not in "iuf":
        raise InputError(
            f"{name} holds {encoding.dtype} voxels, but real numbers are needed. Convert it to grey values."
        )
    try:
        array_ijk, found = _read(path, grid, encoding, encoding.kept_dtype(real))
        if subtracted := found.too_far_from_zero(array_ijk.dtype, real):
            del array_ijk
            array_ijk, found = _read(path, grid, encoding, np.dtype(real), subtracted)
    except MemoryError as error:
        raise InputError(f"{name}, of shape {grid.shape}, does not fit into memory. Crop it or reduce it.") from error
    except READING_ERRORS as error:
        raise damage_error(f"{name} is damaged or cut off ({error}). Copy or export the file again.", error) from error
    return Voxels(to_working(array_ijk, grid.affine), found, subtracted)


def _read(
    path: Path, grid: Grid, encoding: Encoding, dtype: np.dtype[Any], subtracted: float = 0.0
) -> tuple[npt.NDArray[Any], ValueRange]:
    """Return the voxels (I, J, K), with their range and missing values."""
    array_ijk = empty_for_working(grid.shape, dtype, grid.affine)
    with path.open("rb") as opened:
        opened.seek(encoding.start)
        stream = encoding.unpack(opened) if encoding.unpack else opened
        if encoding.skipped:
            stream.seek(encoding.skipped, os.SEEK_CUR)
        found = _fill(array_ijk, stream, encoding, subtracted)
        _read_to_checksum(stream, encoding.end(grid.shape))
    return array_ijk, found


def _fill(array_ijk: npt.NDArray[Any], stream: BinaryIO, encoding: Encoding, subtracted: float) -> ValueRange:
    """Fill an array from a stream, and return the range and missing values."""
    columns, rows, planes = array_ijk.shape
    plane_bytes = columns * rows * encoding.dtype.itemsize
    step = max(1, _PIECE_BYTES // plane_bytes)
    buffer = memoryview(bytearray(step * plane_bytes))
    found = ValueRange()
    for first in range(0, planes, step):
        count = min(step, planes - first)
        piece = buffer[: count * plane_bytes]
        _read_whole(stream, piece)
        stored = np.frombuffer(piece, encoding.dtype).reshape((columns, rows, count), order="F")
        with np.errstate(over="ignore", invalid="ignore"):
            exact = apply_read_scaling(stored, encoding.slope, encoding.inter)
            values = (exact - subtracted if subtracted else exact).astype(array_ijk.dtype, copy=False)
        found += range_of(exact, values)
        array_ijk[:, :, first : first + count] = values
    return found


def _read_to_checksum(stream: BinaryIO, most: int) -> None:
    """Read on to the end, where a compressed stream is checked; only a limited number of bytes, if much follows."""
    while most > 0 and (content := stream.read(_PIECE_BYTES)):
        most -= len(content)


def _read_whole(stream: BinaryIO, target: memoryview) -> None:
    done = 0
    while done < len(target):
        count = stream.readinto(target[done:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError("it ends before its last voxel")
        done += count


class _Inflated(io.RawIOBase):
    """The content of a zlib stream, unpacked as it is read."""

    def __init__(self, packed: BinaryIO) -> None:
        self._packed = packed
        self._inflate = zlib.decompressobj()

    def readinto(self, target: Any) -> int:
        content = b""
        while not content and not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._packed.read(1 << 16)
            if not packed:
                raise EOFError("it ends before its last voxel")
            content = self._inflate.decompress(packed, len(target))
        target[: len(content)] = content
        return len(content)
