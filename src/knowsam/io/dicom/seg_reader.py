"""DICOM segmentations in: the labels of one file, with the names and colours of its segments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.filereader import read_file_meta_info
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import UID, SegmentationStorage

from knowsam.data.annotation import LabelClass, default_classes
from knowsam.data.orientation import RAS_FROM_LPS, Affine, to_working
from knowsam.data.short_line import short_line
from knowsam.data.volume import Grid, Volume
from knowsam.errors import InputError
from knowsam.io.dicom.cielab import rgb_of_cielab
from knowsam.io.dicom.files import DAMAGE, damage_refused, is_dicom, opened, pydicom_silenced
from knowsam.io.dicom.seg_writer import VALUE_PREFIX

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

LABEL_MAP_STORAGE = UID("1.2.840.10008.5.1.4.1.1.66.7")
"""Label Map Segmentation Storage, which is younger than the pydicom in use may be."""

Vectors = npt.NDArray[np.float64]

_MAX_OFF_SLICE = 0.1
"""How far, in slices, a frame may lie beside the evenly spaced slices of its volume."""

_MAX_FRAME_PIXELS = 2**26
_MAX_SPARSE_VOXELS = 2**28
"""More are only allocated for a file whose frames fill a good part of them."""

_NO_STACK = (
    "The frames of {} are no evenly spaced slices of one stack, but one volume is needed. "
    "Export the segmentation as NIfTI on the grid of the image."
)

_LARGEST_VALUE = np.iinfo(np.int32).max


@dataclass(frozen=True)
class _Frames:
    """Where the frames of a file lie, and what they hold.

    Parameters
    ----------
    segments : (frames,), the number of the segment; none in a label map, whose pixels say it.
    slices : (frames,), index of the slice in the grid.
    """

    segments: Sequence[int] | None
    slices: npt.NDArray[np.intp]
    grid: Grid


def is_dicom_seg(path: Path) -> bool:
    """Tell by its first bytes whether a file is a DICOM segmentation."""
    if not is_dicom(path):
        return False
    with pydicom_silenced:
        try:
            sop_class = read_file_meta_info(path).get("MediaStorageSOPClassUID")
        except DAMAGE:
            # What is wrong with it is said by who reads it as an image.
            return False
    return sop_class in (SegmentationStorage, LABEL_MAP_STORAGE)


def read_dicom_seg(path: Path) -> Volume:
    """Read a DICOM segmentation as label values: those it was exported with, else the numbers of its segments.

    Of a fractional segmentation, voxels filled by at least half are taken. Where segments overlap, the last one counts.
    A notice says both.

    Raises
    ------
    InputError
        If the file is no segmentation, is damaged, or its frames are no evenly spaced slices of one volume.
    """
    sentence = (
        f"{path.name} is damaged, cut off or compressed in an unknown way. "
        "Export the segmentation again, uncompressed if you can choose."
    )
    with pydicom_silenced, damage_refused(sentence):
        with opened(path) or nullcontext(path) as file:
            dataset = pydicom.dcmread(file)
        _refuse_other_objects(path, dataset)
        return _volume(path, dataset)


def _refuse_other_objects(path: Path, dataset: Dataset) -> None:
    if dataset.get("SOPClassUID") not in (SegmentationStorage, LABEL_MAP_STORAGE):
        raise InputError(
            f"{path.name} is a DICOM file, but no segmentation. Give a DICOM segmentation or a NIfTI file as labels, "
            "and the folder of a series as an image."
        )


def _volume(path: Path, dataset: Dataset) -> Volume:
    _refuse_sizes(path, dataset)
    frames = _frames(path, dataset)
    columns, rows, count = frames.grid.shape
    numbers = np.zeros((count, rows, columns), np.uint16)
    overlapping = _fill(numbers, frames, dataset)
    values = _values_by_segment(dataset)
    table = np.zeros(int(max(numbers.max(), *values)) + 1, np.int32)
    table[list(values)] = list(values.values())
    labels = table.astype(np.min_scalar_type(int(table.max())))[numbers]
    return Volume(
        to_working(labels.T, frames.grid.affine),
        frames.grid,
        path.stem,
        notices=_notices(dataset, overlapping),
        classes=_classes(dataset, values),
    )


def _refuse_sizes(path: Path, dataset: Dataset) -> None:
    """Check what the header says of its pixels against the pixels that are there, before anything is allocated."""
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


def _frames(path: Path, dataset: Dataset) -> _Frames:
    shared, described = dataset.SharedFunctionalGroupsSequence[0], dataset.PerFrameFunctionalGroupsSequence
    directions = np.array([_group(f, shared, "PlaneOrientation").ImageOrientationPatient for f in described], float)
    positions_mm = np.array([_group(f, shared, "PlanePosition").ImagePositionPatient for f in described], float)
    measures = _group(described[0], shared, "PixelMeasures")
    if np.ptp(directions, axis=0).max() > 1e-4:
        raise InputError(_NO_STACK.format(path.name))
    normal = np.cross(directions[0, :3], directions[0, 3:])
    slices = _slices(path, positions_mm @ normal, _spacing_mm(measures))
    lps = _affine(directions[0], positions_mm, slices, measures)
    expected_mm = lps[:3, 3] + np.outer(slices, lps[:3, 2])
    if np.linalg.norm(positions_mm - expected_mm, axis=1).max() > np.linalg.norm(lps[:3, :2], axis=0).min() / 2:
        raise InputError(_NO_STACK.format(path.name))
    count = int(slices.max()) + 1
    pixels = int(dataset.Rows) * int(dataset.Columns)
    if count * pixels > _MAX_SPARSE_VOXELS and count > 16 * len(np.unique(slices)):
        raise InputError(
            f"The frames of {path.name} lie {count} slices apart, but one volume is needed. Export them again."
        )
    segments = None
    if dataset.SegmentationType != "LABELMAP":
        segments = [int(_group(f, shared, "SegmentIdentification").ReferencedSegmentNumber) for f in described]
    return _Frames(segments, slices, Grid((int(dataset.Columns), int(dataset.Rows), count), RAS_FROM_LPS @ lps))


def _group(frame: Dataset, shared: Dataset, name: str) -> Dataset:
    """Return a functional group of a frame, which may stand with the frame or be shared by all."""
    holder = frame if f"{name}Sequence" in frame else shared
    found: Dataset = holder[f"{name}Sequence"].value[0]
    return found


def _slices(path: Path, distances_mm: Vectors, stated_mm: float) -> npt.NDArray[np.intp]:
    """Return the index of the slice of every frame; slices without any frame count, too."""
    distances_mm = distances_mm - distances_mm.min()
    gaps_mm = np.diff(np.unique(distances_mm.round(3)))
    for spacing_mm in (stated_mm, *np.sort(gaps_mm)[:1]):
        if spacing_mm > 0:
            slices = np.rint(distances_mm / spacing_mm)
            if np.abs(distances_mm - slices * spacing_mm).max() <= _MAX_OFF_SLICE * spacing_mm:
                indices: npt.NDArray[np.intp] = slices.astype(np.intp)
                return indices
    raise InputError(_NO_STACK.format(path.name))


def _spacing_mm(measures: Dataset) -> float:
    """Return the distance of slices that the file states; 0 if it states none."""
    return abs(float(measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or 0))


def _affine(directions: Vectors, positions_mm: Vectors, slices: npt.NDArray[np.intp], measures: Dataset) -> Affine:
    """Return the affine from (column, row, slice) to LPS+ mm."""
    row_spacing_mm, column_spacing_mm = (float(mm) for mm in measures.PixelSpacing)
    first, last = int(slices.argmin()), int(slices.argmax())
    lps = np.eye(4)
    lps[:3, 0] = directions[:3] * column_spacing_mm
    lps[:3, 1] = directions[3:] * row_spacing_mm
    lps[:3, 2] = np.cross(directions[:3], directions[3:]) * _spacing_mm(measures)
    if slices[last]:
        lps[:3, 2] = (positions_mm[last] - positions_mm[first]) / slices[last]
    lps[:3, 3] = positions_mm[first]
    return lps


def _fill(numbers: npt.NDArray[np.uint16], frames: _Frames, dataset: Dataset) -> int:
    """Put the number of its segment into every voxel, (slices, rows, columns); return how many belong to several."""
    half = max(1.0, float(dataset.get("MaximumFractionalValue") or 1) / 2)
    overlapping = 0
    for index, pixels in enumerate(_pixels(dataset)):
        plane = numbers[frames.slices[index]]
        if frames.segments is None:
            plane[:] = pixels
        else:
            inside = pixels >= half
            overlapping += int(np.count_nonzero(plane[inside]))
            plane[inside] = frames.segments[index]
    return overlapping


def _pixels(dataset: Dataset) -> Iterator[npt.NDArray[Any]]:
    """Give the pixels of one frame after the other, (rows, columns)."""
    if int(dataset.BitsAllocated) > 1 or dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        yield from iter_pixels(dataset, raw=True)
        return
    shape = int(dataset.Rows), int(dataset.Columns)
    size, packed = shape[0] * shape[1], np.frombuffer(dataset.PixelData, np.uint8)
    for start in range(0, size * int(dataset.NumberOfFrames), size):
        # A frame need not begin with a byte of its own, which pydicom does not allow for.
        bits = np.unpackbits(packed[start // 8 : (start + size + 7) // 8], bitorder="little")
        yield bits[start % 8 :][:size].reshape(shape)


def _values_by_segment(dataset: Dataset) -> dict[int, int]:
    """Return the label value of each segment but a described background."""
    numbers = [int(segment.SegmentNumber) for segment in dataset.SegmentSequence]
    described = [str(segment.get("SegmentDescription", "")) for segment in dataset.SegmentSequence]
    exported = [text.removeprefix(VALUE_PREFIX) for text in described if text.startswith(VALUE_PREFIX)]
    values = [int(text) for text in exported if text.isdecimal() and 0 < int(text) <= _LARGEST_VALUE]
    if len(set(values)) < len(numbers):
        values = numbers
    return {number: value for number, value in zip(numbers, values, strict=True) if number > 0}


def _classes(dataset: Dataset, values: dict[int, int]) -> tuple[LabelClass, ...]:
    segments = {int(segment.SegmentNumber): segment for segment in dataset.SegmentSequence}
    plain = {label_class.value: label_class for label_class in default_classes(values.values())}
    return tuple(_named(plain[value], segments[number]) for number, value in values.items())


def _named(plain: LabelClass, segment: Dataset) -> LabelClass:
    name = short_line(str(segment.get("SegmentLabel") or "")) or plain.name
    cielab = segment.get("RecommendedDisplayCIELabValue")
    return LabelClass(plain.value, name, rgb_of_cielab(cielab) if cielab else plain.color)


def _notices(dataset: Dataset, overlapping: int) -> tuple[str, ...]:
    notices = []
    if dataset.SegmentationType == "FRACTIONAL":
        notices.append("The segmentation is fractional; voxels that are filled by at least half were taken.")
    if overlapping:
        notices.append(f"{overlapping} voxels belong to several segments; the last one was taken.")
    return tuple(notices)
