"""Slices of labels that a person painted, also on another grid than that of the image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine

from knowsam.data.annotation import BACKGROUND_CLASS, Annotation, LabelClass, without_ignored
from knowsam.data.label_volume import slices_with_labels
from knowsam.data.resample import notices_of_lost_place, notices_of_outside
from knowsam.data.volume import Grid, Volume, grid_difference
from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.data.orientation import Affine

Values = npt.NDArray[np.integer]

UNLABELLED = -1
"""Value of the voxels of resampled labels that no painted slice covers."""

_ROUNDING = 1e-3
"""Part of a slice by which rounding may displace the middle of a voxel."""


@dataclass(frozen=True, eq=False)
class PaintedSlices:
    """Slices of labels that a person painted completely, except for voxels of the `ignore_value`.

    Parameters
    ----------
    labels : label values.
    axis : working axis the slices are stacked along.
    indices : of the painted slices.
    ignore_value : marks unlabelled voxels.
    tilt_deg : angle to the slices they were resampled to; 0 where they run along these.
    """

    labels: Volume
    axis: int
    indices: tuple[int, ...]
    ignore_value: int | None = None
    tilt_deg: float = 0.0

    @property
    def values(self) -> set[int]:
        """The label values in the painted slices, of labelled voxels."""
        planes = np.take(self.labels.array, self.indices, axis=self.axis)
        return {int(value) for value in np.unique(without_ignored(planes, self.ignore_value))}

    @property
    def partial(self) -> tuple[int, ...]:
        """Indices of the painted slices in which some voxels are unlabelled."""
        if self.ignore_value is None:
            return ()
        unlabelled = np.take(self.labels.array, self.indices, axis=self.axis) == self.ignore_value
        return tuple(np.compress(np.moveaxis(unlabelled, self.axis, 0).any(axis=(1, 2)), self.indices).tolist())

    def annotation(self, classes: tuple[LabelClass, ...]) -> Annotation:
        """Return the annotation of these slices.

        Raises
        ------
        InputError
            As `Annotation.from_labels`.
        """
        return Annotation.from_labels(self.labels.array, self.axis, self.indices, classes, self.ignore_value)

    def on(self, grid: Grid, *, image: Grid | None = None) -> PaintedSlices:
        """Return painted slices on the voxels of an image, each with the nearest label of the slice that covers it.

        Where painted slices do not run along those of the image, these are annotated in part. Beyond the edges of a
        painted slice is background. The returned labels have the notices of this step.

        Parameters
        ----------
        image : grid of the image, if it was resampled to `grid`.

        Raises
        ------
        InputError
            If no labelled voxel lies in the image.
        """
        if image is None and grid_difference(self.labels.grid, grid) is None:
            return self
        resampling = _Resampling(self, grid)
        notices = (
            *notices_of_lost_place(self.labels.grid, image or grid),
            *notices_of_outside(self.labels, image or grid),
        )
        values = resampling.nearest()
        notices += resampling.keep_small(values)
        axis = resampling.axis
        indices = _annotated_slices(values, axis)
        if not indices:
            raise InputError(
                f"No painted slice of {self.labels.name} lies in the image. Load the labels that belong to this image."
            )
        placed = replace(self.labels, array=values, grid=grid)
        painted = PaintedSlices(placed, axis, indices, UNLABELLED, resampling.tilt_deg)
        notices = (*resampling.notices(painted), *notices)
        return replace(painted, labels=replace(placed, notices=notices))


class _Resampling:
    """The resampling of painted slices to another grid."""

    def __init__(self, painted: PaintedSlices, grid: Grid) -> None:
        self._painted = painted
        self._grid = grid
        self._indices = np.unique(painted.indices)
        self._values = np.array(sorted(painted.values - {BACKGROUND_CLASS.value}))
        self._to_labels: Affine = np.linalg.inv(painted.labels.affine) @ grid.working_affine
        self._found = np.zeros((len(self._indices), len(self._values)), np.bool_)
        self._used = np.zeros(len(self._indices), np.bool_)
        cosines = self._cosines()
        self.axis = int(cosines.argmax())
        self.tilt_deg = float(np.degrees(np.arccos(min(cosines.max(), 1.0)))) if self._crosses() else 0.0
        self._slices_per_voxel = abs(self._to_labels[painted.axis, self.axis])

    def nearest(self) -> Values:
        """Return (Z, Y, X), the values of the nearest voxels in the painted slices, `UNLABELLED` beyond these."""
        values = np.full(self._grid.working_shape, UNLABELLED, np.int32)
        rows, columns = (np.arange(count) for count in values.shape[1:])
        matrix = self._to_labels[:3, :, np.newaxis, np.newaxis]
        for index, plane in enumerate(values):
            places = matrix[:, 0] * index + matrix[:, 1] * rows[:, np.newaxis] + matrix[:, 2] * columns + matrix[:, 3]
            self._fill(plane, places)
        return values

    def keep_small(self, values: Values) -> tuple[str, ...]:
        """Put labels that fell between the voxels onto those that hold them, and return the notices."""
        painted, small, merged = self._painted, set(), set()
        for number, index in enumerate(self._indices):
            plane = np.take(painted.labels.array, index, axis=painted.axis)
            lost = [v for v in np.unique(plane[np.isin(plane, self._values)]) if not self._has(number, v)]
            for value in lost:
                places = self._places(plane == value, index)
                if not len(places):
                    continue
                if not self._used[number]:
                    merged.add(number)
                if self._used[number] or not self._has(slice(None), value):
                    small.add(number)
                    free = values[tuple(places.T)] <= BACKGROUND_CLASS.value
                    values[tuple((places[free] if free.any() else places[:1]).T)] = value
        notices = []
        if merged:
            notices.append(
                f"{len(merged)} of {len(self._indices)} painted slices lie with another one in the same slice of the "
                "image, and further from its middle; they were left out."
            )
        if small:
            notices.append(
                f"Labels in {len(small)} painted slices are smaller than the voxels of the image; they were kept on "
                "the voxels that hold them."
            )
        return tuple(notices)

    def notices(self, placed: PaintedSlices) -> tuple[str, ...]:
        """Return notices of the slices of the image that count as painted."""
        notices = [
            "The labels have other voxels than the image, so they were resampled to those of the image, the nearest "
            "one each. Check their edges."
        ]
        is_crossed = bool(placed.partial) and self.tilt_deg > 0
        if self._slices_per_voxel < 0.75 and not is_crossed:
            notices.append(
                f"Each painted slice covers about {1 / self._slices_per_voxel:.2g} slices of the image, which count as "
                "painted."
            )
        if is_crossed:
            notices.append(
                f"The painted slices are tilted by {self.tilt_deg:.2g} degrees against those of the image, so that "
                f"{len(placed.partial)} of the {len(placed.indices)} slices they cut are partly painted. What "
                "lies between is guessed; the command knowsam segment propagates in the painted planes themselves."
            )
        return tuple(notices)

    def _crosses(self) -> bool:
        """Return whether painted slices leave those of the grid from one edge to the other."""
        across = np.abs(self._to_labels[self._painted.axis, :3]) * (np.array(self._grid.working_shape) - 1)
        return bool(across.sum() - across[self.axis] > _ROUNDING)

    def _cosines(self) -> npt.NDArray[np.float64]:
        """Return how well the painted slices run along those across each axis of the grid: 1 for wholly."""
        directions = self._grid.working_affine[:3, :3]
        normal = self._to_labels[self._painted.axis, :3] @ np.linalg.inv(directions)
        lengths = np.linalg.norm(normal) * np.linalg.norm(directions, axis=0)
        cosines: npt.NDArray[np.float64] = np.abs(normal @ directions) / lengths
        return cosines

    def _fill(self, plane: Values, places: npt.NDArray[np.float64]) -> None:
        """Give a plane (H, W) of the image its labels; `places` (3, H, W) are its voxels as indices of the labels."""
        axis, labels = self._painted.axis, self._painted.labels.array
        number = _nearest_number(places[axis], self._indices)
        beside = places[axis] - self._indices[number]
        # Half open, so that the middle between two slices belongs to one of them.
        reach = max(1.0, self._slices_per_voxel) / 2
        covered = (beside >= -reach - _ROUNDING) & (beside < reach - _ROUNDING)
        plane[covered] = BACKGROUND_CLASS.value
        nearest = np.rint(places).astype(np.intp)
        nearest[axis] = self._indices[number]
        bounds = np.array(labels.shape)[:, np.newaxis, np.newaxis]
        hit = covered & ((nearest >= 0) & (nearest < bounds)).all(axis=0)
        found = labels[tuple(nearest[:, hit])].astype(np.int32)
        self._used[number[covered]] = True
        known = np.isin(found, self._values)
        self._found[number[hit][known], np.searchsorted(self._values, found[known])] = True
        ignored = self._painted.ignore_value
        plane[hit] = found if ignored is None else np.where(found == ignored, UNLABELLED, found)

    def _has(self, number: int | slice, value: int) -> bool:
        return bool(np.any(self._found[number, np.searchsorted(self._values, value)]))

    def _places(self, mask: npt.NDArray[np.bool_], index: int) -> npt.NDArray[np.intp]:
        """Return (N, 3), the voxels of the grid that hold the middles of voxels of a painted slice."""
        within = np.insert(np.argwhere(mask), self._painted.axis, index, axis=1)
        places: npt.NDArray[np.intp] = np.rint(apply_affine(np.linalg.inv(self._to_labels), within)).astype(np.intp)
        return places[((places >= 0) & (places < self._grid.working_shape)).all(axis=1)]


def painted_by_default(labels: Volume, axis: int, ignore_value: int | None = None) -> PaintedSlices:
    """Return all slices that hold any label as painted.

    Raises
    ------
    InputError
        If there is none.
    """
    indices = slices_with_labels(without_ignored(labels.array, ignore_value), axis)
    if not indices:
        raise InputError(f"{labels.name} holds no label, but one painted slice at least is needed. Paint it first.")
    return PaintedSlices(labels, axis, indices, ignore_value)


def _nearest_number(positions: npt.NDArray[np.float64], indices: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
    """Return which of the ascending indices is nearest to each position."""
    after = np.clip(np.searchsorted(indices, positions - _ROUNDING), 1, max(1, len(indices) - 1))
    if len(indices) == 1:
        return np.zeros_like(after)
    middle = (indices[after - 1] + indices[after]) / 2
    nearest: npt.NDArray[np.intp] = after - (positions < middle - _ROUNDING)
    return nearest


def _annotated_slices(values: Values, axis: int) -> tuple[int, ...]:
    """Return the slices that hold labels or are annotated completely; some background alone would teach little."""
    planes = np.moveaxis(values, axis, 0)
    kept = (planes > BACKGROUND_CLASS.value).any(axis=(1, 2)) | (planes != UNLABELLED).all(axis=(1, 2))
    return tuple(np.flatnonzero(kept).tolist())
