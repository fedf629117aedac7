"""The part of a slice the network sees, and the network plane it is resampled to."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from knowsam.data.annotation import BACKGROUND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from knowsam.config import PlaneConfig
    from knowsam.data.annotation import Annotation, LabelSlice

PLANE_MULTIPLE = 16
"""Network planes are multiples of this: four poolings of the UNet, one patch of SAM."""

_FEWEST_ROUND_SCRIBBLES_PX = 32
"""Background within this distance always counts, however small the scribbles are."""

SMALLEST_SIDE_PX = 32
"""Below this the deepest level of the UNet is a single pixel, which cannot be normalised."""


@dataclass(frozen=True)
class Window:
    """A box in a slice and the network plane it is resampled to.

    Parameters
    ----------
    start, stop : (row, column) in voxels of the slice; may reach beyond the slice, whose edge is then repeated.
    plane : (H, W) of the network, multiples of 16.
    """

    start: tuple[int, int]
    stop: tuple[int, int]
    plane: tuple[int, int]

    @property
    def extent(self) -> tuple[int, int]:
        """Rows and columns of the box, in voxels of the slice."""
        return self.stop[0] - self.start[0], self.stop[1] - self.start[1]

    def pixel_mm(self, spacing_mm: tuple[float, float]) -> float:
        """Return the side of a network pixel, the mean of both, in a slice of a given spacing of rows and columns."""
        sides = [self.extent[i] * spacing_mm[i] / self.plane[i] for i in range(2)]
        return (sides[0] + sides[1]) / 2

    def crop(self, planes: npt.NDArray[Any], fill: int | None = None) -> npt.NDArray[Any]:
        """Cut the box out of `planes` (..., H, W); beyond them, the edge is repeated or set to `fill`."""
        top, left, bottom, right = self._inside(planes.shape[-2:])
        cut = planes[..., top:bottom, left:right]
        beyond = [(top - self.start[0], self.stop[0] - bottom), (left - self.start[1], self.stop[1] - right)]
        padding = [(0, 0)] * (planes.ndim - 2) + beyond
        return np.pad(cut, padding, mode="edge") if fill is None else np.pad(cut, padding, constant_values=fill)

    def paste(self, patch: npt.NDArray[Any], into: npt.NDArray[Any]) -> None:
        """Write `patch` (..., rows, columns of the box) into `into` (..., H, W), leaving out what lies outside."""
        top, left, bottom, right = self._inside(into.shape[-2:])
        rows = slice(top - self.start[0], bottom - self.start[0])
        columns = slice(left - self.start[1], right - self.start[1])
        into[..., top:bottom, left:right] = patch[..., rows, columns]

    def leaves_out(self, mask: npt.NDArray[np.bool_]) -> bool:
        """Return whether any marked pixel of `mask` (..., H, W) lies outside the box."""
        top, left, bottom, right = self._inside(mask.shape[-2:])
        return bool(np.count_nonzero(mask) > np.count_nonzero(mask[..., top:bottom, left:right]))

    def is_touched(self, mask: npt.NDArray[np.bool_]) -> bool:
        """Return whether `mask` (..., H, W) reaches an edge of the box beyond which the slice continues."""
        height, width = mask.shape[-2:]
        top, left, bottom, right = self._inside((height, width))
        edges = [
            mask[..., top, left:right] if top > 0 else None,
            mask[..., bottom - 1, left:right] if bottom < height else None,
            mask[..., top:bottom, left] if left > 0 else None,
            mask[..., top:bottom, right - 1] if right < width else None,
        ]
        return any(edge is not None and bool(edge.any()) for edge in edges)

    def _inside(self, size: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Return top, left, bottom and right of the part of the box that lies inside a slice."""
        top, left = max(self.start[0], 0), max(self.start[1], 0)
        return top, left, min(self.stop[0], size[0]), min(self.stop[1], size[1])


def annotated_box(
    annotation: Annotation, beside: npt.NDArray[np.bool_] | None = None
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return (start, stop) of the smallest box, in voxels, that holds `pixels_to_see` of every slice.

    Where nothing but background was painted, the box is the whole slice.

    Parameters
    ----------
    beside : (H, W), other pixels that the box must contain.
    """
    held = np.zeros(annotation.plane_shape, dtype=bool) if beside is None else beside.copy()
    for label_slice in annotation.slices.values():
        held |= pixels_to_see(label_slice)
    return box_of(held)


def pixels_to_see(label_slice: LabelSlice) -> npt.NDArray[np.bool_]:
    """Return (H, W), the pixels of a slice that networks must see: structures and background scribbled round them.

    A scribble may lie deep in its structure, which ends somewhere before the background; so background counts up to as
    far from the scribbles as they are large.
    """
    held = label_slice.structures
    if not label_slice.can_be_completed:
        return held
    start, stop = box_of(held)
    reach = max(_FEWEST_ROUND_SCRIBBLES_PX, *(stop[i] - start[i] for i in range(2)))
    round_it = tuple(slice(max(start[i] - reach, 0), stop[i] + reach) for i in range(2))
    held[round_it] |= label_slice.labels[round_it] == BACKGROUND
    return held


def box_of(held: npt.NDArray[np.bool_]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return (start, stop) of the smallest box that holds all marked pixels (H, W); of the whole slice if none is."""
    if not held.any():
        return (0, 0), (held.shape[0], held.shape[1])
    rows, columns = np.flatnonzero(held.any(axis=1)), np.flatnonzero(held.any(axis=0))
    return (int(rows[0]), int(columns[0])), (int(rows[-1]) + 1, int(columns[-1]) + 1)


def with_margin(
    box: tuple[tuple[int, int], tuple[int, int]], plane_shape: tuple[int, int], config: PlaneConfig
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Widen a box by the configured margin, within the slice."""
    start, stop = box
    margin = [max(config.min_margin_px, round(config.margin * (stop[i] - start[i]))) for i in range(2)]
    widened_start = max(start[0] - margin[0], 0), max(start[1] - margin[1], 0)
    widened_stop = min(stop[0] + margin[0], plane_shape[0]), min(stop[1] + margin[1], plane_shape[1])
    return widened_start, widened_stop


def pixel_size_mm(extent_mm: tuple[float, float], spacing_mm: tuple[float, float], max_side_px: int) -> float:
    """Return the side of a square network pixel: the finer spacing, or more where the plane would grow too large."""
    return max(min(spacing_mm), max(extent_mm) / max_side_px)


def extent_mm_of(box: tuple[tuple[int, int], tuple[int, int]], spacing_mm: tuple[float, float]) -> tuple[float, float]:
    """Return height and width of a box (start, stop) in mm."""
    start, stop = box
    return (stop[0] - start[0]) * spacing_mm[0], (stop[1] - start[1]) * spacing_mm[1]


def common_plane(
    extents_mm: Sequence[tuple[float, float]], finest_mm: float, max_side_px: int, pixel_mm: float | None = None
) -> tuple[tuple[int, int], float]:
    """Return (H, W) of a plane that holds each of several extents, and the side of its pixels in mm.

    Parameters
    ----------
    finest_mm : the finest spacing of all slices. pixel_mm : where it is given already.
    """
    largest_mm = max(height for height, _ in extents_mm), max(width for _, width in extents_mm)
    pixel_mm = pixel_mm or pixel_size_mm(largest_mm, (finest_mm, finest_mm), max_side_px)
    return plane_for(largest_mm, pixel_mm), pixel_mm


def plane_for(extent_mm: tuple[float, float], pixel_mm: float) -> tuple[int, int]:
    """Return the smallest (H, W), multiples of 16 from 32 on, that holds an extent at a pixel size."""
    height, width = (ceil(round(mm / pixel_mm, 6) / PLANE_MULTIPLE) * PLANE_MULTIPLE for mm in extent_mm)
    return max(height, SMALLEST_SIDE_PX), max(width, SMALLEST_SIDE_PX)


def window_at(
    center_vx: tuple[float, float], plane: tuple[int, int], pixel_mm: float, spacing_mm: tuple[float, float]
) -> Window:
    """Return the window of a given plane and pixel size round a point of the slice."""
    extent = [max(round(plane[i] * pixel_mm / spacing_mm[i]), 1) for i in range(2)]
    start = round(center_vx[0] - extent[0] / 2), round(center_vx[1] - extent[1] / 2)
    return Window(start, (start[0] + extent[0], start[1] + extent[1]), plane)


def window_round(
    box: tuple[tuple[int, int], tuple[int, int]],
    pixel_mm: float,
    spacing_mm: tuple[float, float],
    plane: tuple[int, int] | None = None,
) -> Window:
    """Return the window at a given pixel size round a box (start, stop).

    Parameters
    ----------
    plane : (H, W) in px; by default the smallest one that holds the box.
    """
    start, stop = box
    plane = plane or plane_for(extent_mm_of(box, spacing_mm), pixel_mm)
    return window_at(((start[0] + stop[0]) / 2, (start[1] + stop[1]) / 2), plane, pixel_mm, spacing_mm)


def whole_slice_window(plane_shape: tuple[int, int], spacing_mm: tuple[float, float], pixel_mm: float) -> Window:
    """Return the window that covers a whole slice at a given pixel size."""
    return window_round(((0, 0), plane_shape), pixel_mm, spacing_mm)
