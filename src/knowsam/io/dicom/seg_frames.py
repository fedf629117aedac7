"""The places of the frames of a DICOM segmentation: only some slices of an image may have one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine

from knowsam.data.orientation import RAS_FROM_LPS, Affine
from knowsam.data.sparse_slices import SparseSlices
from knowsam.data.volume import Grid
from knowsam.errors import InputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Vectors = npt.NDArray[np.float64]

_SAME = 0.1
"""Frames this close to each other, in pixels, lie in one slice: positions may be written with different precision."""

_MAX_OFF_SLICE = 0.1
"""How far, in slices, a frame may lie beside the evenly spaced slices of its volume."""

_TOUCHING = 1.5
"""Largest distance of slices, in thicknesses, at which they still fill the space between them."""

_NEIGHBOURS = 3.0
"""Largest distance of slices, in thicknesses, at which they are still neighbours."""

_MOST_BETWEEN = 64
_MAX_SPARSE_VOXELS = 2**28
"""A larger volume is only allocated if the frames of the file fill a good part of it."""

_NO_STACK = (
    "The frames of {} are no slices of one stack, but one volume is needed. "
    "Export the segmentation as NIfTI on the grid of the image."
)


@dataclass(frozen=True)
class SegFrames:
    """The places of the frames of a file, and their segments.

    Parameters
    ----------
    segments : (frames,), the number of the segment; none in a label map, whose pixels hold it.
    slices : (frames,), index of the slice in the grid.
    sparse : places of the slices, if they do not surely fill the space between them.
    """

    segments: Sequence[int] | None
    slices: npt.NDArray[np.intp]
    grid: Grid
    sparse: SparseSlices | None


def seg_frames(path: Path, dataset: Dataset) -> SegFrames:
    """Return the places of the frames of a segmentation.

    Raises
    ------
    InputError
        If they are no slices of one volume.
    """
    shared, described = dataset.SharedFunctionalGroupsSequence[0], dataset.PerFrameFunctionalGroupsSequence
    directions = np.array([_group(f, shared, "PlaneOrientation").ImageOrientationPatient for f in described], float)
    positions_mm = np.array([_group(f, shared, "PlanePosition").ImagePositionPatient for f in described], float)
    measures = _group(described[0], shared, "PixelMeasures")
    if np.ptp(directions, axis=0).max() > 1e-4 or not np.isfinite(positions_mm).all():
        raise InputError(_NO_STACK.format(path.name))
    along_mm = positions_mm @ np.cross(directions[0, :3], directions[0, 3:])
    apart = _distances(along_mm, measures)
    spacing_mm, slices = _slices(path, along_mm - along_mm.min(), apart)
    lps = _affine(directions[0], positions_mm, slices, measures, spacing_mm)
    _refuse_shifted(path, positions_mm - lps[:3, 3], lps)
    shape = int(dataset.Columns), int(dataset.Rows), int(slices.max()) + 1
    _refuse_far_apart(path, shape, len(np.unique(slices)))
    segments = None
    if dataset.SegmentationType != "LABELMAP":
        segments = [int(_group(f, shared, "SegmentIdentification").ReferencedSegmentNumber) for f in described]
    sparse = None if apart.fill_space else _sparse(positions_mm, slices, apart.notice(spacing_mm))
    return SegFrames(segments, slices, Grid(shape, RAS_FROM_LPS @ lps), sparse)


@dataclass(frozen=True)
class _Distances:
    """Distances of slices in mm: as the header states them, and between the frames; 0 if not known."""

    stated: float
    thickness: float
    smallest_gap: float

    @property
    def touch(self) -> bool:
        """Whether each slice, by its thickness, reaches the next one."""
        return self.thickness > 0 and self.smallest_gap <= _TOUCHING * self.thickness

    @property
    def fill_space(self) -> bool:
        """Whether two statements of the header agree that nothing lies between neighbouring frames."""
        as_stated = abs(self.stated - self.smallest_gap) <= _MAX_OFF_SLICE * self.smallest_gap
        return self.touch and self.smallest_gap > 0 and as_stated

    def possible(self) -> Iterator[float]:
        """Yield possible distances, the likeliest first: as stated, or with slices of this thickness between frames."""
        if self.stated and (not self.thickness or self.stated <= _NEIGHBOURS * self.thickness):
            yield self.stated
        if not self.smallest_gap:
            yield self.thickness or 1.0
            return
        thick = self.smallest_gap / self.thickness if self.thickness else 1.0
        most = int(np.clip(thick + _MAX_OFF_SLICE, 1, _MOST_BETWEEN))
        yield from self.smallest_gap / np.arange(most, 0, -1)
        yield from self.smallest_gap / np.arange(most + 1, _MOST_BETWEEN + 1)

    def notice(self, chosen_mm: float) -> str:
        """Return a notice of an assumed distance; empty if none was assumed."""
        if chosen_mm == self.stated or self.touch:
            return ""
        return (
            "The file holds single slices, and does not say for sure how far apart those of the image are; "
            f"{chosen_mm:.4g} mm are assumed, so that volumes may be wrong."
        )


def _distances(along_mm: Vectors, measures: Dataset) -> _Distances:
    gaps_mm = np.diff(np.sort(along_mm))
    gaps_mm = gaps_mm[gaps_mm > _SAME * min(map(float, measures.PixelSpacing))]
    return _Distances(
        stated=abs(float(measures.get("SpacingBetweenSlices") or 0)),
        thickness=abs(float(measures.get("SliceThickness") or 0)),
        smallest_gap=float(gaps_mm.min()) if gaps_mm.size else 0.0,
    )


def _group(frame: Dataset, shared: Dataset, name: str) -> Dataset:
    """Return a functional group of a frame: its own, or the one shared by all."""
    holder = frame if f"{name}Sequence" in frame else shared
    found: Dataset = holder[f"{name}Sequence"].value[0]
    return found


def _slices(path: Path, along_mm: Vectors, apart: _Distances) -> tuple[float, npt.NDArray[np.intp]]:
    """Return the distance of slices, and the slice index of every frame; slices without a frame count, too."""
    for spacing_mm in apart.possible():
        slices = np.rint(along_mm / spacing_mm)
        if np.abs(along_mm - slices * spacing_mm).max() <= _MAX_OFF_SLICE * spacing_mm:
            indices: npt.NDArray[np.intp] = slices.astype(np.intp)
            return spacing_mm, indices
    raise InputError(_NO_STACK.format(path.name))


def _affine(
    directions: Vectors, positions_mm: Vectors, slices: npt.NDArray[np.intp], measures: Dataset, spacing_mm: float
) -> Affine:
    """Return the affine from (column, row, slice) to LPS+ mm."""
    row_spacing_mm, column_spacing_mm = (float(mm) for mm in measures.PixelSpacing)
    first, last = int(slices.argmin()), int(slices.argmax())
    lps = np.eye(4)
    lps[:3, 0] = directions[:3] * column_spacing_mm
    lps[:3, 1] = directions[3:] * row_spacing_mm
    lps[:3, 2] = np.cross(directions[:3], directions[3:]) * spacing_mm
    if slices[last]:
        lps[:3, 2] = (positions_mm[last] - positions_mm[first]) / slices[last]
    lps[:3, 3] = positions_mm[first]
    return lps


def _refuse_shifted(path: Path, offsets_mm: Vectors, lps: Affine) -> None:
    """Check that no frame lies more than half a pixel beside the line through the first and the last."""
    line = lps[:3, 2] / np.linalg.norm(lps[:3, 2])
    sideways_mm = np.linalg.norm(offsets_mm - np.outer(offsets_mm @ line, line), axis=1).max()
    if not sideways_mm <= np.linalg.norm(lps[:3, :2], axis=0).min() / 2:
        raise InputError(_NO_STACK.format(path.name))


def _refuse_far_apart(path: Path, shape: tuple[int, int, int], held: int) -> None:
    if np.prod(shape, dtype=float) > _MAX_SPARSE_VOXELS and shape[2] > 16 * held:
        raise InputError(
            f"The frames of {path.name} lie {shape[2]} slices apart, but one volume is needed. Export them again."
        )


def _sparse(positions_mm: Vectors, slices: npt.NDArray[np.intp], notice: str) -> SparseSlices:
    indices, frames = np.unique(slices, return_index=True)
    return SparseSlices(indices, apply_affine(RAS_FROM_LPS, positions_mm[frames]), notice)
