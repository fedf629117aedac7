"""The pixels of a DICOM segmentation: in each frame a mask of one segment, or the numbers of all segments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydicom.pixels.utils import iter_pixels

from knowsam.errors import InputError
from knowsam.io.overlap import Mask, SegmentPlanes, merged

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from knowsam.data.annotation import LabelClass
    from knowsam.io.dicom.seg_frames import SegFrames

Labels = npt.NDArray[np.integer]

_MAX_FRAME_PIXELS = 2**26


def refuse_sizes(path: Path, dataset: Dataset) -> None:
    """Check that the pixels fit the sizes in the header, before anything is allocated.

    Raises
    ------
    InputError
        If they do not.
    """
    rows, columns, frames = int(dataset.Rows), int(dataset.Columns), int(dataset.NumberOfFrames)
    described = len(dataset.PerFrameFunctionalGroupsSequence)
    bits = rows * columns * frames * int(dataset.BitsAllocated)
    native = not dataset.file_meta.TransferSyntaxUID.is_encapsulated
    if (
        min(rows, columns, frames) < 1
        or rows * columns > _MAX_FRAME_PIXELS
        or frames != described
        or (native and bits > 8 * len(dataset.PixelData))
    ):
        raise InputError(
            f"{path.name} says that it holds {frames} frames of {rows} x {columns} pixels, but holds less or describes "
            "others. Export the segmentation again."
        )


def label_values(
    path: Path, dataset: Dataset, frames: SegFrames, classes: Mapping[int, LabelClass]
) -> tuple[Labels, tuple[str, ...]]:
    """Return the values of classes in every slice, (slices, rows, columns), and notices of segments.

    Parameters
    ----------
    classes : by the numbers of their segments.

    Raises
    ------
    InputError
        If a segment is not described, or segments overlap and none lies inside the other.
    """
    if frames.segments is None:
        numbers = _label_map(path, dataset, frames)
        _refuse_undescribed(path, dataset, np.unique(numbers).tolist())
        return _relabelled(numbers, {number: one.value for number, one in classes.items()}), ()
    _refuse_undescribed(path, dataset, frames.segments)
    columns, rows, count = frames.grid.shape
    packed = _packed_masks(dataset, frames.segments, frames.slices)

    def planes(number: int) -> Iterator[tuple[int, Mask]]:
        for index, bits in packed[number].items():
            yield index, np.unpackbits(bits, count=rows * columns).view(bool).reshape(rows, columns)

    segments = [SegmentPlanes(one.name, partial(planes, number)) for number, one in classes.items()]
    numbers, notices = merged(path.name, (count, rows, columns), segments)
    if dataset.SegmentationType == "FRACTIONAL":
        thin = [one.name for number, one in classes.items() if not any(bits.any() for bits in packed[number].values())]
        notices = (_fractional_notice(thin), *notices)
    return _relabelled(numbers, {place: one.value for place, one in enumerate(classes.values(), 1)}), notices


def _label_map(path: Path, dataset: Dataset, frames: SegFrames) -> Labels:
    """Return the numbers in the pixels."""
    if len(np.unique(frames.slices)) < len(frames.slices):
        raise InputError(f"Several frames of the label map {path.name} lie in one slice. Export it again.")
    columns, rows, count = frames.grid.shape
    numbers = np.zeros((count, rows, columns), np.uint16)
    for index, pixels in zip(frames.slices, _pixels(dataset), strict=True):
        numbers[index] = pixels
    padding = dataset.get("PixelPaddingValue")
    if padding is not None:
        numbers[numbers == int(padding)] = 0
    return numbers


def _packed_masks(
    dataset: Dataset, segments: Iterable[int], slices: npt.NDArray[np.intp]
) -> Mapping[int, Mapping[int, npt.NDArray[np.uint8]]]:
    """Return for each segment number and slice the mask, a bit for each pixel."""
    packed: defaultdict[int, dict[int, npt.NDArray[np.uint8]]] = defaultdict(dict)
    # A pixel that two segments fill by half goes to neither.
    half = float(dataset.get("MaximumFractionalValue") or 1) / 2
    for number, index, pixels in zip(segments, slices.tolist(), _pixels(dataset), strict=True):
        mask = np.packbits(pixels > half)
        # Several frames of a segment in one slice complete, or repeat, each other.
        packed[number][index] = mask | packed[number].get(index, np.uint8(0))
    return packed


def _fractional_notice(empty: Sequence[str]) -> str:
    lost = f", and nothing is left of {', '.join(empty)}" if empty else ""
    return f"The segmentation is fractional; voxels that are filled by more than half were taken{lost}."


def _pixels(dataset: Dataset) -> Iterator[npt.NDArray[Any]]:
    """Yield the pixels of each frame, (rows, columns)."""
    if int(dataset.BitsAllocated) > 1 or dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        yield from iter_pixels(dataset, raw=True)
        return
    shape = int(dataset.Rows), int(dataset.Columns)
    size, packed = shape[0] * shape[1], np.frombuffer(dataset.PixelData, np.uint8)
    for start in range(0, size * int(dataset.NumberOfFrames), size):
        # pydicom requires that each frame begins with a byte of its own, the standard does not.
        bits = np.unpackbits(packed[start // 8 : (start + size + 7) // 8], bitorder="little")
        yield bits[start % 8 :][:size].reshape(shape)


def _refuse_undescribed(path: Path, dataset: Dataset, numbers: Iterable[int]) -> None:
    unknown = set(numbers) - {0, *(int(segment.SegmentNumber) for segment in dataset.SegmentSequence)}
    if unknown:
        raise InputError(
            f"{path.name} holds voxels of the segment {min(unknown)}, which it does not describe. "
            "Export the segmentation again."
        )


def _relabelled(numbers: Labels, values: Mapping[int, int]) -> Labels:
    """Return labels of the smallest type with each number replaced by its value, all others by background."""
    table = np.zeros(max(int(numbers.max()), *values) + 1, np.int32)
    table[list(values)] = list(values.values())
    labels: Labels = table.astype(np.min_scalar_type(int(table.max())))[numbers]
    return labels
