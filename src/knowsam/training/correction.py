"""What was learnt from finished volumes of how their proposals err, and how much that is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from knowsam.inference.proposed_slices import ProposedSlices, window_round_proposal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from torch import Tensor

    from knowsam.config import PlaneConfig
    from knowsam.data.proposed_mask import ProposedMask
    from knowsam.data.volume import Volume
    from knowsam.models.corrector import Corrector


_MOST_LARGER = 1.5
"""How much larger a structure may be than those before, for which the pixels were chosen, without learning anew."""


@dataclass(frozen=True)
class CorrectionScore:
    """Dice of one finished volume, mean over its classes, by correctors that have not learnt from it.

    Parameters
    ----------
    proposed : of what the others propose. corrected : of what is made of that.
    """

    proposed: float
    corrected: float


@dataclass(frozen=True, eq=False)
class Correction:
    """Correctors, and how far they count.

    Parameters
    ----------
    share : of the correctors beside the proposal, from 0 to 1.
    values : label values of the classes, background first.
    axis : working axis along which slices are stacked.
    pixel_mm : side of a network pixel.
    images : fingerprints of the finished volumes; number i was left out by corrector i modulo their number.
    scores : of the finished volumes, in the same order.
    """

    correctors: tuple[Corrector, ...]
    share: float
    values: tuple[int, ...]
    axis: int
    pixel_mm: float
    config: PlaneConfig
    images: tuple[str, ...]
    scores: tuple[CorrectionScore, ...]

    def can_go_on(
        self,
        images: Collection[str],
        values: Sequence[int],
        axis: int,
        config: PlaneConfig,
        correctors: int,
        pixel_mm: float,
    ) -> bool:
        """Return whether learning from some volumes can begin with it, so that each corrector leaves out what it did.

        Parameters
        ----------
        pixel_mm : side of the pixels with which these volumes fill the network plane.
        """
        own = self.values, self.axis, self.config, len(self.correctors)
        is_like = own == (tuple(values), axis, config, correctors) and pixel_mm <= _MOST_LARGER * self.pixel_mm
        return is_like and set(self.images) <= set(images)

    @property
    def helps(self) -> bool:
        """Whether it makes proposals for the finished volumes better."""
        return self.share > 0 and sum(one.corrected - one.proposed for one in self.scores) > 0

    @property
    def dice_by_image(self) -> dict[str, float]:
        """Dice of what is proposed for each finished volume from the others, by the fingerprint of its image."""
        return {
            image: score.corrected if self.helps else score.proposed
            for image, score in zip(self.images, self.scores, strict=True)
        }

    def corrected(
        self, volume: Volume, proposal: ProposedMask, check: Callable[[], None] = lambda: None
    ) -> ProposedMask:
        """Return what is proposed for a volume, corrected if that helps.

        Parameters
        ----------
        check : called regularly; an exception it raises stops the work.
        """
        if not self.helps:
            return proposal
        window = window_round_proposal(volume, proposal, self.axis, self.config, self.pixel_mm)
        device = next(self.correctors[0].parameters()).device
        slices = ProposedSlices.of(volume, proposal, self.values, window, self.axis, self.config, device, check)

        def correct(rows: list[int]) -> Tensor:
            check()
            return mean_probabilities(self.correctors, slices, rows, self.share)

        return slices.corrected(proposal, self.values, correct)

    @property
    def sentence(self) -> str:
        """How good it is, for people."""
        before, after = (np.array([getattr(one, name) for one in self.scores]) for name in ("proposed", "corrected"))
        where = "in finished volumes that were left out"
        if not self.helps:
            return f"Learning how proposals err was of no use: Dice {before.mean():.3f} {where}."
        spread = f"({after.min():.3f} to {after.max():.3f})"
        return f"Corrected: Dice {after.mean():.3f} {spread} for {before.mean():.3f} {where}."


def mean_probabilities(
    correctors: Sequence[Corrector], slices: ProposedSlices, rows: Sequence[int], share: float
) -> Tensor:
    """Return the probabilities (B, C, H, W) of slices: as proposed, and by correctors as far as their share."""
    proposed = slices.probabilities[list(rows)].float()
    if not share:
        return proposed
    maps = slices.maps(rows)
    found = torch.stack([corrector(maps).softmax(dim=1) for corrector in correctors]).mean(dim=0)
    return proposed.lerp(found, share)
