"""How good a model probably is in another volume, from how good models like it were in volumes left out of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.stats import t

PROBABILITY = 0.8


@dataclass(frozen=True)
class ExpectedDice:
    """What to expect of one class in another volume of the same kind.

    Parameters
    ----------
    value : label value of the class.
    mean : Dice in the volumes that were left out.
    low, high : between which the Dice of another volume lies with `PROBABILITY`.
    volumes : that were left out.
    """

    value: int
    mean: float
    low: float
    high: float
    volumes: int

    @classmethod
    def of(cls, value: int, dice: Sequence[float]) -> ExpectedDice:
        """Return what the Dice of some volumes predicts for another one.

        It is the prediction interval of a normal distribution, as wide as so few volumes make it.

        Parameters
        ----------
        dice : of each volume, by a model that has not learnt from it.

        Raises
        ------
        ValueError
            If there are fewer than two.

        >>> expected = ExpectedDice.of(1, [0.8, 0.9])
        >>> round(expected.low, 2), round(expected.high, 2)
        (0.58, 1.0)
        """
        if len(dice) < 2:
            raise ValueError(f"{len(dice)} scores, but two are needed.")
        mean = float(np.mean(dice))
        half = float(t.ppf((1 + PROBABILITY) / 2, len(dice) - 1) * np.std(dice, ddof=1) * sqrt(1 + 1 / len(dice)))
        return cls(value, mean, max(mean - half, 0.0), min(mean + half, 1.0), len(dice))

    @property
    def sentence(self) -> str:
        """Return it in words."""
        return (
            f"Dice {self.mean:.2f} on average of {self.volumes} volumes; in another one of their kind probably from "
            f"{self.low:.2f} to {self.high:.2f}"
        )
