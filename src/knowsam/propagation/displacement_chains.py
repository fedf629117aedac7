"""Displacements from annotated slices to others, computed once and shared."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from knowsam.propagation.slice_flows import SliceFlows

UP, DOWN = 1, -1

Way = tuple[int, int]
"""A slice to start from, and a direction."""


class DisplacementChains:
    """Keeps displacements as far as any of those who share it need them.

    Parameters
    ----------
    flows : between the slices of the volume.
    """

    def __init__(self, flows: SliceFlows) -> None:
        self.slices = flows.slices
        self._flows = flows
        self._still = flows.still()
        self._wanted: dict[object, Mapping[Way, int]] = {}
        self._chains: dict[Way, Tensor] = {}

    def follow(self, who: object, reach: Mapping[Way, int]) -> None:
        """Compute displacements that are needed now and not known yet; drop those that nobody needs.

        Parameters
        ----------
        reach : how many slices to go, by way.
        """
        self._wanted[who] = reach
        longest: dict[Way, int] = {}
        for wanted in self._wanted.values():
            longest |= {way: max(length, longest.get(way, 0)) for way, length in wanted.items()}
        self._chains = {way: chain[: longest[way]] for way, chain in self._chains.items() if way in longest}
        missing = [way for way, length in longest.items() if len(self._chains.get(way, ())) < length]
        found = self._flows.chains(
            [source for source, _ in missing], [source + side * longest[source, side] for source, side in missing]
        )
        self._chains |= dict(zip(missing, found, strict=True))

    def displacements(self, source: int, index: int) -> Tensor:
        """Return the displacements (2, H, W), float16, in px, that bring a slice to another one on its way."""
        if index == source:
            return self._still
        return self._chains[source, UP if index > source else DOWN][abs(index - source) - 1]
