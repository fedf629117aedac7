"""What a person points at in one slice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from knowsam.data.window import box_of

if TYPE_CHECKING:
    from collections.abc import Iterable

Box = tuple[tuple[int, int], tuple[int, int]]
"""(start, stop), each (row, column) in voxels."""

Logits = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_SURE = 6.0
"""A logit that stands for certainty; SAM's mask prompts are cut off there, see `knowsam.models.sam_prompting`."""


@dataclass(frozen=True, eq=False)
class SlicePrompts:
    """Prompts for one structure in one slice, in voxels of the slice.

    Parameters
    ----------
    clicks : (row, column, whether the structure is there) of each.
    box : that holds the structure.
    logits : (H, W), of a mask to go on from; above 0 is inside.
    """

    clicks: tuple[tuple[int, int, bool], ...] = ()
    box: Box | None = None
    logits: Logits | None = None

    def clicked(self, row: int, column: int, *, is_inside: bool) -> SlicePrompts:
        """Return these with one more click."""
        return replace(self, clicks=(*self.clicks, (row, column, is_inside)))

    @property
    def is_empty(self) -> bool:
        """Whether nothing was pointed at."""
        return not self.clicks and not self.has_size

    @property
    def extent(self) -> Box:
        """The smallest box that holds all that was pointed at."""
        return _round([*self._boxes(), *(((row, column), (row + 1, column + 1)) for row, column, _ in self.clicks)])

    @property
    def has_size(self) -> bool:
        """Whether it is known how large the structure is."""
        return bool(self._boxes())

    def _boxes(self) -> list[Box]:
        drawn = [] if self.box is None else [self.box]
        return drawn if self.logits is None or not (self.logits > 0).any() else [*drawn, box_of(self.logits > 0)]


def logits_of(mask: Mask) -> Logits:
    """Return logits of a mask (H, W) that is sure."""
    return np.where(mask, np.float32(_SURE), np.float32(-_SURE))


def _round(boxes: Iterable[Box]) -> Box:
    starts, stops = zip(*boxes, strict=True)
    (top, left), (bottom, right) = np.min(starts, axis=0), np.max(stops, axis=0)
    return (int(top), int(left)), (int(bottom), int(right))
