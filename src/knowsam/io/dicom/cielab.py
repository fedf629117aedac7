"""Colours as DICOM stores them: CIELab with the white point D65, each number scaled to 16 bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_RGB_FROM_XYZ = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
_WHITE = np.array([0.95047, 1.0, 1.08883])


def rgb_of_cielab(stored: Sequence[int]) -> tuple[int, int, int]:
    """Return the sRGB colour (0-255) of a Recommended Display CIELab Value (DICOM PS3.3, C.10.7.1.1).

    >>> rgb_of_cielab([65535, 32896, 32896])
    (255, 255, 255)
    """
    lightness, a, b = np.asarray(stored, dtype=float) / 65535 * (100, 255, 255) - (0, 128, 128)
    y = (lightness + 16) / 116
    roots = np.array([y + a / 500, y, y - b / 200])
    xyz = _WHITE * np.where(roots > 6 / 29, roots**3, (roots - 4 / 29) * 108 / 841)
    linear = np.clip(_RGB_FROM_XYZ @ xyz, 0, 1)
    rgb = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    red, green, blue = (int(part) for part in np.rint(255 * rgb))
    return red, green, blue
