"""Colours for any number of classes, no two of them alike."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Color = tuple[int, int, int]
"""Red, green and blue in 0-255."""

_CHOSEN: tuple[Color, ...] = (
    (230, 75, 53),
    (77, 187, 213),
    (0, 160, 135),
    (250, 200, 60),
    (140, 90, 210),
    (150, 215, 90),
    (255, 140, 170),
    (126, 85, 50),
)

_TAKEN: tuple[Color, ...] = ((0, 0, 0), (128, 128, 128), (255, 255, 255))
"""Greys, reserved for the image and the background brush."""

_MOST = 256


def class_color(position: int) -> Color:
    """Return the colour of the class at a position, counted from 0.

    >>> class_color(0), class_color(8)
    ((230, 75, 53), (0, 0, 255))
    """
    return _CHOSEN[position] if position < len(_CHOSEN) else _palette()[position % _MOST]


@cache
def _palette() -> tuple[Color, ...]:
    """Return the chosen colours, followed by colours that are each farthest from all before."""
    steps = np.linspace(0, 255, 11)
    candidates = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    nearest = np.min([_distance(candidates, color) for color in (*_TAKEN, *_CHOSEN)], axis=0)
    colors = list(_CHOSEN)
    while len(colors) < _MOST:
        red, green, blue = (int(shade) for shade in candidates[nearest.argmax()])
        colors.append((red, green, blue))
        nearest = np.minimum(nearest, _distance(candidates, colors[-1]))
    return tuple(colors)


def _distance(colors: npt.NDArray[np.float64], other: Color) -> npt.NDArray[np.float64]:
    """Return how different colours (N, 3) look from another one: Euclid with weights that follow the mean red."""
    red = (colors[:, 0] + other[0]) / 2 / 256
    weights = np.stack([2 + red, np.full_like(red, 4.0), 3 - red], axis=1)
    distance: npt.NDArray[np.float64] = np.sqrt((weights * (colors - np.array(other)) ** 2).sum(axis=1))
    return distance
