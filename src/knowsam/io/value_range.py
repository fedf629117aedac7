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
    missing : how many are NaN or infinite.
    """

    low: float = np.inf
    high: float = -np.inf
    missing: int = 0

    def __add__(self, other: ValueRange) -> ValueRange:  # type: ignore[override]
        return ValueRange(min(self.low, other.low), max(self.high, other.high), self.missing + other.missing)

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
    finite = np.isfinite(values) if values.dtype.kind == "f" else np.True_
    missing = values.size - int(np.count_nonzero(finite)) if values.dtype.kind == "f" else 0
    # float32 holds these exactly.
    if np.can_cast(exact.dtype, np.float32):
        return ValueRange(missing=missing)
    measured = exact[finite & (exact != 0)]
    if not measured.size:
        return ValueRange(missing=missing)
    return ValueRange(float(measured.min()), float(measured.max()), missing)


def notice_of_subtraction(subtracted: float) -> str | None:
    """Return a notice of a number that was subtracted from the grey values in the file, if any was."""
    if not subtracted:
        return None
    return (
        "The grey values lie so far from zero that numbers of 32 bits would not tell them apart; "
        f"{subtracted:.10g} was subtracted from all of them."
    )
