from __future__ import annotations

import numpy as np
from highdicom.color import CIELabColor

from knowsam.io.dicom.cielab import rgb_of_cielab


def test_a_colour_comes_back_from_cielab_as_it_was() -> None:
    corners = [(r, g, b) for r in (0, 255) for g in (0, 255) for b in (0, 255)]
    others = np.random.default_rng(0).integers(0, 256, (200, 3)).tolist()
    for color in [*corners, *(tuple(other) for other in others)]:
        assert rgb_of_cielab(CIELabColor.from_rgb(*color).value) == color


def test_colours_no_screen_can_show_are_cut_off_at_what_it_can() -> None:
    assert rgb_of_cielab([32000, 65535, 0])[1:] == (0, 255)
