"""The display window of a series."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from knowsam.io.dicom.frames import Frame


def display_range(frame: Frame, inverted_from: float | None) -> tuple[float, float] | None:
    """Return the grey values of the display window of a frame; the first of several presets counts.

    Parameters
    ----------
    inverted_from : see `Pixels`.
    """
    centre, width = frame.number("WindowCenter", float("nan")), frame.number("WindowWidth", 0)
    if inverted_from is not None:
        centre = inverted_from - centre
    low, high = centre - width / 2, centre + width / 2
    return (low, high) if low < high else None
