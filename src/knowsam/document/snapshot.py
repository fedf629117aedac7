"""All annotations of one volume at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from knowsam.data.annotation import LabelClass, plane_shape
from knowsam.document.slice_annotation import NOT_PAINTED, SliceAnnotation, Values

if TYPE_CHECKING:
    from datetime import datetime

    from knowsam.document.history import Step

_NOTHING = SliceAnnotation()


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What was painted, corrected and marked, slice by slice; its arrays are never changed.

    Parameters
    ----------
    taken_at : local time.
    shape : (Z, Y, X) of the volume.
    axis : working axis the slices are stacked along.
    classes : background first.
    brush_value : painted where background is known.
    slices : those with any annotation or mark, by index.
    undo, redo : what can be undone and what can be repeated, the next step last.
    """

    taken_at: datetime
    shape: tuple[int, int, int]
    axis: int
    classes: tuple[LabelClass, ...]
    brush_value: int
    slices: Mapping[int, SliceAnnotation]
    undo: tuple[Step, ...] = ()
    redo: tuple[Step, ...] = ()

    @property
    def annotated(self) -> tuple[int, ...]:
        """Indices of all slices that were annotated, completely or in part, ascending."""
        return tuple(index for index in sorted(self.slices) if (self._values(index) != NOT_PAINTED).any())

    def is_unchanged_in(self, later: Snapshot) -> bool:
        """Whether nothing has happened between this snapshot and a later one of the same document."""
        # Slices are replaced, never changed, so that there is no need to look at pixels.
        same_slices = self.slices.keys() == later.slices.keys() and all(
            later.slices[index] is one for index, one in self.slices.items()
        )
        return same_slices and (self.classes, self.brush_value) == (later.classes, later.brush_value)

    def holds(self, other: Snapshot) -> bool:
        """Whether this snapshot has the same annotations as another one of the same volume wherever that has any."""
        if self.axis != other.axis:
            return not other.annotated
        return all(self._agrees(other, index) for index in other.slices)

    def converted(self, brush_value: int, dtype: np.dtype[np.integer]) -> Snapshot:
        """Return the snapshot with known background painted with another value, none of its classes, and in a type."""

        def converted(slices: Mapping[int, SliceAnnotation]) -> dict[int, SliceAnnotation]:
            return {i: one.with_brush(self.brush_value, brush_value).astype(dtype) for i, one in slices.items()}

        undo, redo = (
            tuple(replace(step, slices=converted(step.slices)) for step in steps) for steps in (self.undo, self.redo)
        )
        return replace(self, brush_value=brush_value, slices=converted(self.slices), undo=undo, redo=redo)

    def _agrees(self, other: Snapshot, index: int) -> bool:
        mine, theirs = self._values(index), other._values(index)
        is_background = mine == self.brush_value
        if not np.array_equal(is_background, theirs == other.brush_value):
            return False
        return bool((mine == theirs)[~is_background].all())

    def _values(self, index: int) -> Values:
        return self.slices.get(index, _NOTHING).annotated_values(plane_shape(self.shape, self.axis), self.brush_value)
