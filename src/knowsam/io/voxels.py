"""The voxels of one 3D image in a file, brought piece by piece straight into the working order.

So a volume is in memory once, however its file orders it, and what a header claims costs nothing before it is there.
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
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
from nibabel.volumeutils import apply_read_scaling

from knowsam.damage import damage_error
from knowsam.data.orientation import empty_for_working, to_working
from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.data.volume import Grid

_GZIP_MAGIC = b"\x1f\x8b"
_MOST_DEFLATED = 1032
"""A byte of deflated data stands for at most so many."""

_PIECE_BYTES = 4 << 20
"""Stays in the cache, so that voxels are turned round before they reach the memory."""

READING_ERRORS = (OSError, EOFError, zlib.error)
"""What a damaged stream may raise while it is read."""


@dataclass(frozen=True)
class Encoding:
    """How the voxels of one 3D image stand in a file, the first axis fastest.

    Parameters
    ----------
    dtype : of a stored number, with its byte order.
    start : bytes of the file before the stream of voxels.
    unpack : unpacks the stream; none where it is not packed.
    skipped : bytes of the unpacked stream before the first voxel.
    following : bytes of the unpacked stream behind the last voxel that are other images.
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
        """Return the type of the array: integers stay as they are where nothing is scaled, all else becomes `real`."""
        as_stored = self.dtype.kind in "iu" and (self.slope, self.inter) == (1, 0)
        return self.dtype.newbyteorder("=") if as_stored else np.dtype(real)

    def end(self, shape: tuple[int, int, int]) -> int:
        """Return how many bytes of the unpacked stream there are up to the last voxel of an image of this shape."""
        return self.skipped + math.prod(shape) * self.dtype.itemsize

    def claimed(self, shape: tuple[int, int, int]) -> int:
        """Return how many bytes the unpacked stream must have."""
        return self.end(shape) + self.following


def is_gzip(path: Path) -> bool:
    """Tell by its first bytes whether a file is compressed, whatever it is called.

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
    """Say that a file which is not compressed holds more bytes than its header claims, if it does.

    The voxels are then perhaps not where they are sought, as behind the header of another kind of file.
    """
    surplus = path.stat().st_size - encoding.start - encoding.claimed(shape)
    if encoding.unpack or surplus <= 0:
        return None
    return f"{path.name} holds {surplus} bytes more than its header tells of; check that the image looks right."


def read_voxels(
    name: str, path: Path, grid: Grid, encoding: Encoding, real: npt.DTypeLike
) -> tuple[npt.NDArray[Any], int]:
    """Read one image into the working order, (Z, Y, X), and count the voxels that are NaN or infinite.

    Parameters
    ----------
    name : of the image, for messages.
    path : the file that holds the voxels.
    real : type of the array where the file holds real numbers or scales its integers.

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
        array_ijk = empty_for_working(grid.shape, encoding.kept_dtype(real), grid.affine)
        with path.open("rb") as opened:
            opened.seek(encoding.start)
            stream = encoding.unpack(opened) if encoding.unpack else opened
            if encoding.skipped:
                stream.seek(encoding.skipped, os.SEEK_CUR)
            non_finite = _fill(array_ijk, stream, encoding)
            _read_to_checksum(stream, encoding.end(grid.shape))
    except MemoryError as error:
        raise InputError(f"{name}, of shape {grid.shape}, does not fit into memory. Crop it or reduce it.") from error
    except READING_ERRORS as error:
        raise damage_error(f"{name} is damaged or cut off ({error}). Copy or export the file again.", error) from error
    return to_working(array_ijk, grid.affine), non_finite


def _fill(array_ijk: npt.NDArray[Any], stream: BinaryIO, encoding: Encoding) -> int:
    """Fill an array from a stream, and return how many of its values are not finite."""
    columns, rows, planes = array_ijk.shape
    plane_bytes = columns * rows * encoding.dtype.itemsize
    step = max(1, _PIECE_BYTES // plane_bytes)
    buffer = memoryview(bytearray(step * plane_bytes))
    non_finite = 0
    for first in range(0, planes, step):
        count = min(step, planes - first)
        piece = buffer[: count * plane_bytes]
        _read_whole(stream, piece)
        stored = np.frombuffer(piece, encoding.dtype).reshape((columns, rows, count), order="F")
        with np.errstate(over="ignore", invalid="ignore"):
            values = apply_read_scaling(stored, encoding.slope, encoding.inter).astype(array_ijk.dtype, copy=False)
        if values.dtype.kind == "f":
            non_finite += values.size - int(np.count_nonzero(np.isfinite(values)))
        array_ijk[:, :, first : first + count] = values
    return non_finite


def _read_to_checksum(stream: BinaryIO, most: int) -> None:
    """Read on to the end, where a compressed stream is compared with its checksum; not for ever, if much follows."""
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
