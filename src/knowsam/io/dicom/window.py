"""The window in which a series asks to be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from knowsam.io.dicom.frames import Frame


def display_range(frame: Frame, inverted_from: float | None) -> tuple[float, float] | None:
    """Return the grey values between which a frame asks to be shown; of several presets the first counts.

    Parameters
    ----------
    inverted_from : what all grey values were subtracted from, if they were.
    """
    centre, width = frame.number("WindowCenter", float("nan")), frame.number("WindowWidth", 0)
    if inverted_from is not None:
        centre = inverted_from - centre
    low, high = centre - width / 2, centre + width / 2
    return (low, high) if low < high else None
