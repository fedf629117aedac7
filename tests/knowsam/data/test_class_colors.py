from __future__ import annotations

from itertools import combinations

import numpy as np
from skimage.color import rgb2lab

from knowsam.data.annotation import default_classes
from knowsam.data.class_colors import class_color


def test_no_two_of_all_possible_classes_have_one_colour() -> None:
    assert len({class_color(position) for position in range(254)}) == 254


def test_the_colours_of_many_classes_differ_to_the_eye() -> None:
    colors = [label_class.color for label_class in default_classes(range(1, 106))[1:]]
    apart = min(
        sum(abs(a - b) for a, b in zip(one, other, strict=True))
        for number, one in enumerate(colors)
        for other in colors[:number]
    )
    assert apart >= 25
    assert all(40 < sum(color) < 720 for color in colors)


def test_the_first_classes_are_distinguished_and_from_grey_tissue_that_shines_through_them() -> None:
    tissue = np.full(3, 128.0)
    painted = [(np.array(class_color(position)) + tissue) / 2 for position in range(8)]
    seen = [rgb2lab(color / 255) for color in (tissue, *painted)]
    # 2.3 is a difference that is just seen; a thin overlay on tissue wants much more.
    assert min(np.linalg.norm(one - other) for one, other in combinations(seen, 2)) > 15
