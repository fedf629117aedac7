"""Where structures end in an annotation document: possible, set and probable ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from knowsam.data.annotation import SliceState
from knowsam.data.ends import End, Side, outermost

if TYPE_CHECKING:
    from knowsam.document.annotated_volume import AnnotatedVolume

_TAPERED = 0.5
"""Area of an outermost painted slice, relative to the largest one, up to which the structure seems to end there."""

_UNTOLD = 0.02
"""Part of a structure beyond the outermost slices it is painted in from which on that is worth a word."""


@dataclass(frozen=True)
class EndsHere:
    """The ends of one structure at one slice.

    Parameters
    ----------
    possible : sides on which the structure is painted in no other slice.
    marked : sides on which a person says that it does not go on.
    tapering : sides on which it seems to end, for it is much smaller here than elsewhere.
    """

    possible: frozenset[Side] = frozenset()
    marked: frozenset[Side] = frozenset()
    tapering: frozenset[Side] = frozenset()


def ends_here(document: AnnotatedVolume, index: int, value: int) -> EndsHere:
    """Return the ends of the structure with this label value at a slice."""
    areas = document.painted_areas_px(value)
    if index not in areas:
        return EndsHere()
    edges = outermost(range(document.slice_count))
    possible = frozenset(side for side, outer in outermost(areas).items() if index == outer != edges[side])
    marked = frozenset(side for side in possible if End(value, side) in document.ends_at(index))
    is_whole = document.state(index) is SliceState.COMPLETE
    is_small = is_whole and len(areas) > 1 and areas[index] <= _TAPERED * max(areas.values())
    return EndsHere(possible, marked, possible if is_small else frozenset())


def goes_beyond_painted(document: AnnotatedVolume, value: int) -> bool:
    """Return whether much of a structure is shown beyond the outermost slices it is painted in."""
    painted, shown = document.painted_areas_px(value), document.shown_areas_px(value)
    if not painted:
        return False
    beyond_px = sum(area for index, area in shown.items() if not min(painted) <= index <= max(painted))
    return beyond_px > _UNTOLD * sum(shown.values())
