"""Grey values of a stack: decoded, rescaled slice by slice, and converted from colours or inverted where needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut

from knowsam.data.orientation import Affine, empty_for_working
from knowsam.errors import InputError
from knowsam.io.dicom.files import damage_refused, opened, refuse_implausible
from knowsam.io.dicom.header import whole_header
from knowsam.io.value_range import ValueRange, notice_of_subtraction, range_of

if TYPE_CHECKING:
    from pydicom.uid import UID

    from knowsam.io.dicom.frames import Frame
    from knowsam.io.dicom.header import ImageFile

Array = npt.NDArray[Any]

_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR")

_LARGEST_EXACT = 1 << 24
"""float32 holds all whole numbers up to this one."""

_LUMINANCE = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue (ITU-R BT.601)."""

_DECODERS = 'Install more decoders with `pip install "napari-knowsam[dicom]"`, or export the series uncompressed.'


@dataclass(frozen=True)
class Pixels:
    """Grey values of frames.

    Parameters
    ----------
    array : (frames, rows, columns), integers if frames map integers to integers that float32 holds, else float32.
    subtracted : from all values, if these lie too far from zero for float32.
    inverted_from : sum of the smallest and the largest value if all were then subtracted from it, else None.
    notices : sentences on changes of the values.
    """

    array: Array
    subtracted: float = 0.0
    inverted_from: float | None = None
    notices: tuple[str, ...] = ()

    def as_changed(self, value: float) -> float:
        """Return the value in the array that stands for a grey value of the files."""
        moved = value - self.subtracted
        return moved if self.inverted_from is None else self.inverted_from - moved


def read_pixels(frames: Sequence[Frame], affine: Affine) -> Pixels:
    """Read the grey values of frames, in their order.

    Parameters
    ----------
    affine : of the frames, for a memory order that need not be copied into the working order.

    Raises
    ------
    InputError
        If pixels are damaged, or of a kind or compression that cannot be read.
    """
    files = list({id(frame.file): frame.file for frame in frames}.values())
    for file in files:
        _refuse_kind(file)
        _refuse_undecodable(file.syntax)
    _refuse_lost_rescaling(frames)
    first = files[0]
    refuse_implausible(len(frames) * first.frame_bytes, sum(file.size for file in files))
    coloured = ("The colours were turned into grey by their luminance.",) if first.photometric in _COLOURS else ()
    scales = np.array([rescaling(frame) for frame in frames])
    is_whole = (scales == np.rint(scales)).all() and all(_holds_small_integers(file) for file in files)
    with damage_refused("The pixels of the series are damaged. Export it again."):
        try:
            whole = _whole(frames, affine, scales) if is_whole else None
            array, subtracted = _fractional(frames, affine, scales) if whole is None else (whole, 0.0)
        except MemoryError:
            raise InputError("The series does not fit into memory. Crop it or reduce it.") from None
    invert = first.photometric == "MONOCHROME1"
    turned = ("Low values are meant to be shown bright (MONOCHROME1); they were inverted.",) if invert else ()
    moved = notice_of_subtraction(subtracted)
    notices = (*coloured, *turned, *((moved,) if moved else ()))
    return Pixels(array, subtracted, _inverted(array) if invert else None, notices)


def equal_pixels(frames: Sequence[Frame]) -> bool:
    """Return whether all frames hold the same grey values."""
    (_, expected), *others = _planes(frames)
    alike = len({rescaling(frame) for frame in frames}) == 1
    return alike and all(np.array_equal(expected, plane) for _, plane in others)


def _whole(frames: Sequence[Frame], affine: Affine, scales: Array) -> Array | None:
    """Read frames that map integers to integers, into int16 if that holds all values, else into int32.

    None if float32, used in all computations, does not hold all values.
    """
    stored = _empty(frames, _stored_type(frames), affine)
    for index, plane in _planes(frames):
        stored[index] = plane
    ends = np.array([[plane.min(), plane.max()] for plane in stored]) * scales[:, :1] + scales[:, 1:]
    low, high = ends.min(), ends.max()
    if max(abs(low), abs(high)) > _LARGEST_EXACT:
        return None
    fits = np.iinfo(np.int16).min <= low and high <= np.iinfo(np.int16).max
    in_place = fits and stored.itemsize == 2
    array = stored.view(np.int16) if in_place else stored.astype(np.int16 if fits else np.int32)
    # An overflow on the way cancels out, since the result fits.
    for plane, (slope, intercept) in zip(array, scales.astype(np.int64).astype(array.dtype), strict=True):
        if slope != 1:
            plane *= slope
        if intercept != 0:
            plane += intercept
    return array


def _fractional(frames: Sequence[Frame], affine: Affine, scales: Array) -> tuple[Array, float]:
    """Read frames into float32, and return the number that was subtracted from all values for its sake."""
    array = _empty(frames, np.float32, affine)
    found = _fill(array, frames, scales, 0.0)
    subtracted = found.too_far_from_zero(array.dtype, array.dtype)
    if subtracted:
        found = _fill(array, frames, scales, subtracted)
    if found.missing:
        raise InputError(f"Pixels in the series are {found.fault}, but numbers are needed. Export it again.")
    return array, subtracted


def _fill(array: Array, frames: Sequence[Frame], scales: Array, subtracted: float) -> ValueRange:
    found = ValueRange()
    for index, plane in _planes(frames):
        slope, intercept = scales[index]
        exact = plane * slope + intercept
        array[index] = exact - subtracted
        found += range_of(exact, array[index])
    return found


def _inverted(array: Array) -> float:
    """Invert values in place, and return the sum of the smallest and the largest, from which they were subtracted."""
    total = array.min().item() + array.max().item()
    # An overflow on the way cancels out, since the result fits.
    np.subtract(np.array(total).astype(array.dtype), array, out=array)
    return float(total)


def _empty(frames: Sequence[Frame], dtype: npt.DTypeLike, affine: Affine) -> Array:
    rows, columns = frames[0].file.shape
    return empty_for_working((columns, rows, len(frames)), dtype, affine).T


def _planes(frames: Sequence[Frame]) -> Iterator[tuple[int, Array]]:
    """Yield for each frame its place in the order and its grey values before rescaling, (rows, columns)."""
    numbers = sorted(range(len(frames)), key=lambda number: frames[number].file.path)
    for _, together in groupby(numbers, key=lambda number: frames[number].file.path):
        by_index = {frames[number].index: number for number in together}
        file = frames[next(iter(by_index.values()))].file
        with damage_refused(_damaged(file)):
            for index, plane in _decoded(file, list(by_index)):
                yield by_index.pop(index), _grey(file, plane)
            if by_index:
                raise ValueError("too few frames")


def _decoded(file: ImageFile, indices: list[int]) -> Iterator[tuple[int, Array]]:
    decoder = get_decoder(file.syntax)
    source = opened(file.path)
    if source is None:
        raise ValueError("no longer DICOM")
    with source:
        source.seek(file.offset)
        if file.syntax.is_encapsulated and file.frames > 1:
            # One after the other, since finding a single one takes a search from the first.
            every = decoder.iter_array(source, **file.pixel_options)
            yield from ((index, plane) for index, (plane, _) in enumerate(every) if index in indices)
        else:
            for index in indices:
                yield index, decoder.as_array(source, index=index, **file.pixel_options)[0]


def _grey(file: ImageFile, plane: Array) -> Array:
    if file.photometric == "PALETTE COLOR":
        plane = apply_color_lut(plane, whole_header(file.path))
    if file.photometric in _COLOURS:
        plane = np.rint(plane[..., :3] @ _LUMINANCE).astype(plane.dtype)
    elif has_lut(file):
        plane = apply_modality_lut(plane, file.header)
    if plane.shape != file.shape:
        raise ValueError("not one grey value for each pixel")
    return plane


def has_lut(file: ImageFile) -> bool:
    """Return whether grey values are looked up in a table instead of rescaled."""
    return bool(file.header.get("ModalityLUTSequence"))


def rescaling(frame: Frame) -> tuple[float, float]:
    """Return slope and intercept of the rescaling; a slope of zero, which would erase the image, counts as none."""
    if has_lut(frame.file) or frame.file.photometric in _COLOURS:
        return 1.0, 0.0
    return frame.number("RescaleSlope", 1.0) or 1.0, frame.number("RescaleIntercept", 0.0)


def _holds_small_integers(file: ImageFile) -> bool:
    return bool(file.pixel_options["pixel_keyword"] == "PixelData" and file.pixel_options["bits_allocated"] <= 16)


def _stored_type(frames: Sequence[Frame]) -> np.dtype[Any]:
    types = {_plane_type(file) for file in {id(frame.file): frame.file for frame in frames}.values()}
    return np.result_type(*types)


def _plane_type(file: ImageFile) -> str:
    if file.photometric == "PALETTE COLOR" or has_lut(file):
        return "u2"
    return f"{'ui'[file.pixel_options['pixel_representation']]}{max(file.pixel_options['bits_allocated'] // 8, 1)}"


def _refuse_kind(file: ImageFile) -> None:
    if file.photometric not in _GREY + _COLOURS:
        raise InputError(
            "The series has pixels of an unknown kind, but grey values or RGB, YBR or palette colours are needed. "
            "Export it in one of these."
        )
    with damage_refused(_damaged(file)):
        stored = int(file.pixel_options.get("bits_stored", 0))
        high_bit = int(file.header.get("HighBit") or stored - 1)
    if not file.syntax.is_encapsulated and stored and high_bit != stored - 1:
        raise InputError(
            f"The pixels of {file.place} fill {stored} bits up to bit {high_bit}, not {stored - 1}. "
            "Export the series again, or convert it to NIfTI."
        )


def _refuse_lost_rescaling(frames: Sequence[Frame]) -> None:
    for keyword, without_effect in (("RescaleSlope", 1), ("RescaleIntercept", 0), ("ModalityLUTSequence", None)):
        values = [frame.value(keyword) for frame in frames]
        lacking = sum(value is None for value in values)
        if lacking and any(value not in (None, without_effect) for value in values):
            raise InputError(
                f"{lacking} of {len(frames)} slices lack the attribute {keyword} that the others have, so that their "
                "grey values cannot be compared. Export the series again with all its attributes."
            )


def _refuse_undecodable(syntax: UID) -> None:
    with damage_refused(f"The pixels are compressed as {_name(syntax)}, which cannot be decoded. {_DECODERS}"):
        if not get_decoder(syntax).is_available:
            raise ValueError("no decoder")


def _damaged(file: ImageFile) -> str:
    if file.syntax.is_encapsulated:
        return (
            f"The pixels of {file.place}, compressed as {_name(file.syntax)}, are damaged or cannot be decoded here. "
            f"{_DECODERS}"
        )
    return f"The pixels of {file.place} are damaged or cut off. Export the series again."


def _name(syntax: UID) -> str:
    return syntax.name if syntax.name != str(syntax) else "an unknown transfer syntax"
