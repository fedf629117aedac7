from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from polygons import even_odd, non_zero

from knowsam.data.contours import outlines

Plane = NDArray[np.bool_]


def ring() -> Plane:
    y, x = np.indices((60, 70))
    distance = np.hypot(y - 30, x - 33)
    return (distance < 25) & (distance > 12)


def pieces() -> Plane:
    """Return a piece in the hole of another one, and one that touches it at a corner."""
    plane = np.zeros((30, 30), bool)
    plane[2:20, 2:20], plane[5:17, 5:17], plane[9:12, 9:12], plane[20:24, 20:24] = True, False, True, True
    return plane


def lines() -> Plane:
    plane = np.zeros((20, 30), bool)
    plane[4, 2:25], plane[4:15, 9], plane[18, 28] = True, True, True
    return plane


def noise() -> Plane:
    return np.random.default_rng(1).random((20, 25)) > 0.4


def sieve() -> Plane:
    """Return a plane with hundreds of holes, one of them with a piece in it."""
    plane = np.random.default_rng(2).random((80, 90)) > 0.06
    plane[30:50, 50:70] = False
    plane[35:45, 55:65] = True
    return plane


PLANES = {
    "ring": ring(),
    "pieces": pieces(),
    "lines": lines(),
    "noise": noise(),
    "sieve": sieve(),
    "full": np.ones((5, 6), bool),
}


@pytest.mark.parametrize("name", PLANES)
@pytest.mark.parametrize("rule", [even_odd, non_zero])
def test_the_pixels_inside_are_those_of_the_mask_by_every_rule(name: str, rule: Any) -> None:
    plane = PLANES[name]
    filled = [rule(polygon, plane.shape) for polygon in outlines(plane)]
    assert np.array_equal(np.sum(filled, axis=0), plane)


@pytest.mark.parametrize("name", PLANES)
def test_points_rounded_to_pixels_are_pixels_of_the_mask(name: str) -> None:
    plane = PLANES[name]
    for polygon in outlines(plane):
        rows, columns = np.rint(polygon).astype(int).T
        assert plane[rows, columns].all()


def test_the_area_is_that_of_the_pixels() -> None:
    (polygon,) = outlines(ring())
    y, x = polygon.T
    area = abs(np.dot(y, np.roll(x, 1)) - np.dot(x, np.roll(y, 1))) / 2
    assert area == pytest.approx(ring().sum(), rel=0.005)


def test_straight_sides_have_points_at_their_ends_only() -> None:
    (polygon,) = outlines(np.ones((50, 40), bool))
    assert len(polygon) == 8


def test_nothing_has_no_outline() -> None:
    assert outlines(np.zeros((4, 5), bool)) == []
