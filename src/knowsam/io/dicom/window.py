"""The display window of a series."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from knowsam.io.dicom.frames import Frame
    from knowsam.io.dicom.pixels import Pixels


def display_range(frame: Frame, pixels: Pixels) -> tuple[float, float] | None:
    """Return the ends of the display window of a frame in the array; the first of several presets counts."""
    centre, width = pixels.as_changed(frame.number("WindowCenter", float("nan"))), frame.number("WindowWidth", 0)
    low, high = centre - width / 2, centre + width / 2
    return (low, high) if low < high else None
