"""The range of grey values, and the number to subtract from all of them if they lie too far from zero for float32."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

_FEWEST_LEVELS = 4096
"""Grey values that scanners distinguish (12 bits), and the type of an array has to."""


class ValueRange(NamedTuple):
    """Range and missing values of an image, or of a piece of it; the sum of two is that of both.

    Parameters
    ----------
    low, high : the outermost values but 0, which masked voxels have.
    missing : how many are NaN or infinite in the array.
    too_large : how many of these are numbers, which float32 does not hold.
    """

    low: float = np.inf
    high: float = -np.inf
    missing: int = 0
    too_large: int = 0

    def __add__(self, other: ValueRange) -> ValueRange:  # type: ignore[override]
        low, high = min(self.low, other.low), max(self.high, other.high)
        return ValueRange(low, high, self.missing + other.missing, self.too_large + other.too_large)

    @property
    def fault(self) -> str:
        """What the missing values are, in words."""
        what = "beyond the 3.4e38 that numbers of 32 bits hold"
        if not self.too_large:
            return "NaN or infinite"
        return what if self.too_large == self.missing else f"NaN, infinite or {what}"

    def too_far_from_zero(self, kept: np.dtype[Any], real: npt.DTypeLike) -> float:
        """Return the lowest value if real numbers of a type are too coarse for the values, else 0.

        Parameters
        ----------
        kept : type of the array; integers that the real numbers hold exactly are fine.
        """
        if not 0 < self.high - self.low < np.inf:
            return 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            step = float(np.spacing(np.asarray(max(abs(self.low), abs(self.high)), real)))
        is_exact = kept.kind in "iu" and step <= 1
        return self.low if not is_exact and self.high - self.low < _FEWEST_LEVELS * step else 0.0


def range_of(exact: npt.NDArray[Any], values: npt.NDArray[Any]) -> ValueRange:
    """Return the range of values, exact as in the file, and the missing ones, as in the array."""
    # float32 holds these exactly.
    is_exact = np.can_cast(exact.dtype, np.float32)
    if is_exact and values.dtype.kind != "f":
        return ValueRange()
    finite = np.isfinite(values)
    measured = exact[:0] if is_exact else exact[finite & (exact != 0)]
    low, high = (float(measured.min()), float(measured.max())) if measured.size else (np.inf, -np.inf)
    lost = exact[~finite]
    return ValueRange(low, high, lost.size, int(np.count_nonzero(np.isfinite(lost))))


def notice_of_subtraction(subtracted: float) -> str | None:
    """Return a notice of a number that was subtracted from the grey values in the file, if any was."""
    if not subtracted:
        return None
    return (
        "The grey values lie so far from zero that numbers of 32 bits would not tell them apart; "
        f"{subtracted:.10g} was subtracted from all of them."
    )
