"""Endless streams of annotated and of unlabelled slices, shuffled anew after each pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np


def evenly(indices: Sequence[int], most: int) -> Sequence[int]:
    """Return no more than `most` of the indices, evenly spread.

    >>> evenly(range(10), 4)
    range(0, 10, 3)
    """
    return indices[:: -(-len(indices) // most) or 1]


class SliceKey(NamedTuple):
    """One slice of one of several volumes."""

    case: int
    slice_index: int


class SliceStream:
    """An endless shuffled stream of slices.

    Parameters
    ----------
    keys : the slices to draw from; nothing is ever drawn if there are none.
    generator : source of the order.
    """

    def __init__(self, keys: Sequence[SliceKey], generator: np.random.Generator) -> None:
        self.keys = tuple(keys)
        self._generator = generator
        self._endless = self._shuffled_forever()

    def draw(self, count: int) -> list[SliceKey]:
        """Return the next `count` slices; none if the stream is empty."""
        return [next(self._endless) for _ in range(count)] if self.keys else []

    def _shuffled_forever(self) -> Iterator[SliceKey]:
        while True:
            for position in self._generator.permutation(len(self.keys)):
                yield self.keys[position]
