"""Distances of slices along their normal: one at each position, evenly spaced, none missing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from knowsam.errors import InputError

Distances = npt.NDArray[np.float64]

SAME_MM = 0.01
"""Slices this close to each other lie at one position."""

_GAP_TOLERANCE = 0.01
"""How far gaps may differ: by this fraction, and by this many mm since positions may be written with two decimals."""

_MOST_LISTED = 8


def are_even(distances_mm: Distances) -> bool:
    """Tell whether slices, in any order, lie one at each position and evenly spaced."""
    gaps_mm = np.diff(np.sort(distances_mm))
    return not gaps_mm.size or bool(gaps_mm.min() > SAME_MM and not _is_uneven(gaps_mm).any())


def refuse_uneven(distances_mm: Distances) -> None:
    """Check the distances of sorted slices along their normal.

    Raises
    ------
    InputError
        If two lie at one position, some are missing, or they are unevenly spaced.
    """
    gaps_mm = np.diff(distances_mm)
    if not np.isfinite(gaps_mm).all():
        raise InputError("A position in the series is no number. Export the series again, or convert it to NIfTI.")
    if gaps_mm.min() <= SAME_MM:
        repeated = _count(int(np.count_nonzero(gaps_mm <= SAME_MM)), "slice lies", "slices lie")
        raise InputError(
            f"{repeated} where another one lies that looks different, and nothing in the headers tells them apart, but "
            "one at each position is needed. Put one time point, echo or reconstruction into a folder of its own."
        )
    uneven = _is_uneven(gaps_mm)
    if not uneven.any():
        return
    usual_mm = float(np.median(gaps_mm))
    missing = np.rint(gaps_mm / usual_mm).astype(int) - 1
    if np.allclose(gaps_mm, (missing + 1) * usual_mm, rtol=_GAP_TOLERANCE, atol=_GAP_TOLERANCE):
        raise InputError(_missing_sentence(distances_mm, missing))
    gap = int(np.argmax(uneven))
    raise InputError(
        f"Slices {gap + 1} and {gap + 2} by position lie {gaps_mm[gap]:.2f} mm apart, but {usual_mm:.2f} mm are "
        "usual in the series. Export it again with all its slices, or resample it to even spacing."
    )


def _is_uneven(gaps_mm: Distances) -> npt.NDArray[np.bool_]:
    return ~np.isclose(gaps_mm, float(np.median(gaps_mm)), rtol=_GAP_TOLERANCE, atol=_GAP_TOLERANCE)


def _missing_sentence(distances_mm: Distances, missing: npt.NDArray[np.int_]) -> str:
    """Tell how many slices are missing and where; `missing` counts them behind each but the last."""
    usual_mm = float(np.median(np.diff(distances_mm)))
    positions_mm = [
        float(start + usual_mm * number)
        for start, count in zip(distances_mm, missing.tolist(), strict=False)
        for number in range(1, min(count, _MOST_LISTED + 1) + 1)
    ]
    listed = ", ".join(f"{place:.2f}" for place in positions_mm[:_MOST_LISTED])
    more = ", ..." if len(positions_mm) > _MOST_LISTED else ""
    return (
        f"{_count(int(missing.sum()), 'slice is', 'slices are')} missing, at {listed}{more} mm along the normal; the "
        f"{len(distances_mm)} that are there reach from {distances_mm[0]:.2f} to {distances_mm[-1]:.2f} mm. "
        "Export the series again with all its slices."
    )


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
