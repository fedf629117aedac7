"""Distances of slices along their normal: one at each position, evenly spaced, none missing."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from knowsam.errors import InputError

Distances = npt.NDArray[np.float64]

_SAME_MM, _SAME_FRACTION = 0.01, 1 / 10
"""Slices this close to each other, and closer than this fraction of the usual gap, lie at one position."""

_LEAST_GAP = 1 / 100
"""As a share of the largest gap; smaller gaps do not count for the usual one."""

_GAP_FRACTION = 0.01
_ROUNDED_MM, _ROUNDED_FRACTION = 0.01, 1 / 8
"""Tolerance of gaps, since positions may be written with two decimals; at most this fraction of the usual gap, since
slices may lie micrometres apart."""

_MOST_LISTED = 8


def positions(distances_mm: Distances) -> npt.NDArray[np.int_]:
    """Return the number of each slice's position, counted from the lowest; slices in any order."""
    order = np.argsort(distances_mm, kind="stable")
    gaps_mm = np.diff(distances_mm[order])
    numbers = np.zeros(len(order), dtype=np.int_)
    numbers[order[1:]] = np.cumsum(gaps_mm > _same_mm(gaps_mm))
    return numbers


def are_even(distances_mm: Distances) -> bool:
    """Return whether slices, in any order, lie one at each position and evenly spaced."""
    gaps_mm = np.diff(np.sort(distances_mm))
    return not gaps_mm.size or bool(gaps_mm.min() > _same_mm(gaps_mm) and not _is_uneven(gaps_mm).any())


def refuse_uneven(distances_mm: Distances) -> None:
    """Check the distances of sorted slices along their normal.

    Raises
    ------
    InputError
        If there is only one, two lie at one position, some are missing, or they are unevenly spaced.
    """
    if len(distances_mm) < 2:
        raise InputError("All images of the stack are copies of one slice, but at least 2 slices are needed.")
    gaps_mm = np.diff(distances_mm)
    if not np.isfinite(gaps_mm).all():
        raise InputError("A position in the series is no number. Export the series again, or convert it to NIfTI.")
    same = gaps_mm <= _same_mm(gaps_mm)
    if same.any():
        repeated = _count(int(np.count_nonzero(same)), "slice lies", "slices lie")
        raise InputError(
            f"{repeated} where another one lies that looks different, and nothing in the headers tells them apart, but "
            "one at each position is needed. Put one time point, echo or reconstruction into a folder of its own."
        )
    uneven = _is_uneven(gaps_mm)
    if not uneven.any():
        return
    usual_mm = float(np.median(gaps_mm))
    missing = np.rint(gaps_mm / usual_mm).astype(int) - 1
    if np.allclose(gaps_mm, (missing + 1) * usual_mm, rtol=_GAP_FRACTION, atol=_rounded_mm(usual_mm)):
        raise InputError(_missing_sentence(distances_mm, missing))
    gap = int(np.argmax(uneven))
    text = _formatter(usual_mm)
    lower, upper = text(distances_mm[gap]), text(distances_mm[gap + 1])
    raise InputError(
        f"The slices at {lower} and {upper} mm along the normal lie {text(gaps_mm[gap])} mm apart, but "
        f"{text(usual_mm)} mm are usual in the series. Export it again with all its slices, or resample it to even "
        "spacing."
    )


def _same_mm(gaps_mm: Distances) -> float:
    """Return how far apart slices at one position may lie, given the gaps between sorted slices."""
    apart = gaps_mm[gaps_mm > _LEAST_GAP * gaps_mm.max(initial=0)]
    return min(_SAME_MM, _SAME_FRACTION * float(np.median(apart))) if apart.size else _SAME_MM


def _is_uneven(gaps_mm: Distances) -> npt.NDArray[np.bool_]:
    usual_mm = float(np.median(gaps_mm))
    return ~np.isclose(gaps_mm, usual_mm, rtol=_GAP_FRACTION, atol=_rounded_mm(usual_mm))


def _rounded_mm(usual_mm: float) -> float:
    return min(_ROUNDED_MM, _ROUNDED_FRACTION * usual_mm)


def _formatter(usual_mm: float) -> Callable[[float], str]:
    """Return a formatter of lengths, with two decimals or as many as distinguish slices."""
    decimals = max(2, 2 - math.floor(math.log10(usual_mm)))
    return lambda length_mm: f"{length_mm:.{decimals}f}"


def _missing_sentence(distances_mm: Distances, missing: npt.NDArray[np.int_]) -> str:
    """Return a sentence on how many slices are missing and where; `missing` counts them behind each but the last."""
    usual_mm = float(np.median(np.diff(distances_mm)))
    positions_mm = [
        float(start + usual_mm * number)
        for start, count in zip(distances_mm, missing.tolist(), strict=False)
        for number in range(1, min(count, _MOST_LISTED + 1) + 1)
    ]
    text = _formatter(usual_mm)
    listed = ", ".join(text(place) for place in positions_mm[:_MOST_LISTED])
    more = ", ..." if len(positions_mm) > _MOST_LISTED else ""
    return (
        f"{_count(int(missing.sum()), 'slice is', 'slices are')} missing, at {listed}{more} mm along the normal; the "
        f"{len(distances_mm)} that are there reach from {text(distances_mm[0])} to {text(distances_mm[-1])} mm. "
        "Export the series again with all its slices."
    )


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
