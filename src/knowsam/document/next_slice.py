"""The slice of an annotation document that is worth most to check next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from knowsam.document.annotated_volume import AnnotatedVolume


_ERROR_POWER = 0.25
"""Of 0.25, 0.33 and 0.5, the one with the fewest seconds on each of the five tasks of `benchmarks/next_slice.py`."""

_SMALL = 0.1
"""Area of a small slice, relative to the largest one."""


@dataclass(frozen=True)
class NextSlice:
    """The slice whose annotation is probably worth most.

    Parameters
    ----------
    index : of the slice.
    wrong_share : see `wrong_shares`.
    before, after : indices of the nearest completely annotated slices, None where there are none.
    unconfirmed : how many slices hold an outline of SAM that nobody has corrected or accepted. This one is among them
        then, whatever its share.
    """

    index: int
    wrong_share: float
    before: int | None
    after: int | None
    unconfirmed: int = 0


def next_slice(document: AnnotatedVolume) -> NextSlice | None:
    """Return the slice to look at next; None without an outline of SAM and without an uncertain prediction.

    Outlines that nobody has confirmed come first, since they count as annotations until then.

    Parameters
    ----------
    document : its uncertainty is the probability of each pixel to be wrong.
    """
    outlined = document.unconfirmed
    known = document.fully_annotated
    worth = _outline_worths(document) if outlined else worths(np.array(document.expected_errors_px), known)
    if not worth.any():
        return None
    index = int(worth.argmax())
    before = max((one for one in known if one < index), default=None)
    after = min((one for one in known if one > index), default=None)
    return NextSlice(index, wrong_shares(document)[index], before, after, len(outlined))


def _outline_worths(document: AnnotatedVolume) -> npt.NDArray[np.float64]:
    """Return how much a look at each outline (N,) is worth: how far it lies from slices that a person has annotated.

    An outline that was followed to there errs the more, the farther it went.
    """
    indices = np.arange(document.slice_count)
    by_people = sorted({*document.annotated} - {*document.unconfirmed})
    return worths(np.isin(indices, document.unconfirmed).astype(np.float64), by_people)


def wrong_shares(document: AnnotatedVolume) -> tuple[float, ...]:
    """Return of each slice how many pixels are probably wrong, as a share of those that show any structure.

    Where little or nothing is shown, it is a share of what a small slice shows.
    """
    areas_px = np.array(document.structure_areas_px)
    smallest_px = max(_SMALL * areas_px.max(initial=0.0), 1.0)
    shares = np.array(document.expected_errors_px) / areas_px.clip(smallest_px)
    return tuple(shares.tolist())


def worths(errors_px: npt.NDArray[np.float64], known: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return how much an annotation of each slice is worth: a root of its error times its distance to known slices.

    An annotation also mends the slices beside it: the more of them, the further away the next known slice is. The
    fourth root lets the error decide between slices that are about as far from known ones.
    `benchmarks/next_slice.py` compares this with other rules.

    Parameters
    ----------
    errors_px : (N,), expected number of wrong pixels of each slice.
    known : indices of the slices that are known already.

    Returns
    -------
    (N,), zero in slices that are known.

    >>> worths(np.array([0.0, 1.0, 16.0, 1.0, 0.0]), [0, 4]).tolist()
    [0.0, 1.0, 4.0, 1.0, 0.0]
    """
    indices = np.arange(len(errors_px))
    distances = [np.abs(indices - index) for index in known] or [np.ones_like(indices)]
    worth: npt.NDArray[np.float64] = errors_px**_ERROR_POWER * np.min(distances, axis=0)
    return worth
