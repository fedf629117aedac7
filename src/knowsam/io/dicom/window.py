"""The window in which a series asks to be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from knowsam.io.dicom.frames import Frame
    from knowsam.io.dicom.pixels import Pixels


def display_range(frame: Frame, pixels: Pixels) -> tuple[float, float] | None:
    """Return the grey values between which a frame asks to be shown, as far as there are such values.

    Of several presets the first counts. None if there is none, or its centre is beyond all values.
    """
    centre, width = frame.number("WindowCenter", float("nan")), frame.number("WindowWidth", 0)
    if pixels.inverted_from is not None:
        centre = pixels.inverted_from - centre
    low, high = float(pixels.array.min()), float(pixels.array.max())
    if not low <= centre <= high or width <= 0:
        return None
    shown = max(low, centre - width / 2), min(high, centre + width / 2)
    return shown if shown[0] < shown[1] else None
