"""Where structures end: marks of a person on the outermost painted slices."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from knowsam.data.annotation import LabelSlice


class Side(Enum):
    """The side of a slice on which a structure does not continue."""

    BELOW = "below"
    ABOVE = "above"


class End(NamedTuple):
    """A mark on a slice: the structure is in none of the slices on that side of it.

    It holds while no slice further out on that side is painted with the structure: painting one there revokes it.

    Parameters
    ----------
    of : the structure; a class index in `LabelSlice`, a label value in the annotation document.
    """

    of: int
    side: Side


def outermost(indices: Collection[int]) -> dict[Side, int]:
    """Return the first and the last of the slices that hold a structure."""
    return {Side.BELOW: min(indices), Side.ABOVE: max(indices)}


@dataclass(frozen=True, eq=False)
class Extents:
    """The slices in which each class can be.

    Parameters
    ----------
    first, last : (C,), slice indices, both included.
    """

    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]

    @classmethod
    def of(cls, slices: Mapping[int, LabelSlice], classes: int) -> Extents:
        """Return the extents of all classes, from the marked ends that still hold."""
        first, last = np.full(classes, -1), np.full(classes, np.iinfo(np.int64).max)
        marked = [(index, end) for index, one in slices.items() for end in one.ends if end.of in one.classes]
        for index, end in marked:
            holding = [other for other, one in slices.items() if end.of in one.classes]
            if index == outermost(holding)[end.side]:
                (first if end.side is Side.BELOW else last)[end.of] = index
        return cls(first, last)

    def absent(self, indices: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Return (B, C), whether a class cannot be in a slice; never true of background."""
        slices = np.asarray(indices)[:, None]
        result: npt.NDArray[np.bool_] = (slices < self.first) | (slices > self.last)
        return result
