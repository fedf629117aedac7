"""What the grey values say: which part of a structure lies in a range, what belongs to the core of a brush."""

from __future__ import annotations

import numpy as np

from knowsam.editing.intensity import like_the_core, within_range


def test_limits_of_a_range_are_inside() -> None:
    image = np.arange(6, dtype=np.int16).reshape(2, 3)
    assert within_range(np.ones((2, 3), bool), image, 2, 4).tolist() == [[False, False, True], [True, True, False]]


def test_the_brush_stops_at_an_edge_and_leaves_out_what_is_not_connected() -> None:
    noise = np.random.default_rng(0).normal(0, 3, (40, 40))
    image = noise.copy()
    image[:, :22] += 100
    image[:, 27:] += 100
    painted = like_the_core(image, (20, 15), (12.0, 12.0))
    assert not painted[:, 22:].any()
    assert painted[20, 4:22].all()


def test_on_a_slope_or_in_noise_the_brush_paints_its_disc() -> None:
    noise = np.random.default_rng(0).normal(0, 3, (40, 40))
    disc = sum(axis**2 for axis in np.ogrid[-20:20, -20:20]) <= 100
    painted = like_the_core(noise, (20, 20), (10.0, 10.0))
    assert np.count_nonzero(painted & disc) > 0.95 * disc.sum()
    assert not (painted & ~disc).any()


def test_pixels_that_are_not_square_get_a_round_brush_and_one_pixel_is_always_painted() -> None:
    flat = np.zeros((30, 30), np.uint8)
    assert like_the_core(flat, (15, 15), (8.0, 4.0)).any(1).sum() == 17
    assert like_the_core(flat, (0, 29), (0.1, 0.1)).sum() == 1
