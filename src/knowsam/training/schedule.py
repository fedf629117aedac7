"""How long training goes on, and how settings change on the way: everything is a function of progress in [0, 1]."""

from __future__ import annotations

import re
from dataclasses import dataclass

from knowsam.errors import ConfigError

_UNITS_S = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Budget:
    """An amount of training, in seconds or in steps; exactly one of them is given. Zero trains nothing.

    Raises
    ------
    ConfigError
        If both or neither are given, or the amount is negative.
    """

    seconds: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        given = [amount for amount in (self.seconds, self.steps) if amount is not None]
        if len(given) != 1 or not given[0] >= 0:
            raise ConfigError(
                f"The budget is {' and '.join(map(str, given)) or 'missing'}, but a number of seconds or of steps "
                "was expected, zero or more. Give one of them."
            )

    @property
    def is_zero(self) -> bool:
        """Whether there is no training at all."""
        return not (self.steps or self.seconds)

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read a duration such as ``60s``, ``5m``, ``0.5h`` or ``90`` (seconds).

        >>> Budget.parse("5m").seconds
        300.0
        """
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h)?\s*", text)
        if match is None:
            raise ConfigError(f"The budget is {text!r}, but a duration such as 60s, 5m or 1h was expected.")
        return cls(seconds=float(match[1]) * _UNITS_S[match[2] or "s"])

    def after(self, *, steps: int, seconds: float) -> Budget:
        """Return the budget of a training of which so much is done and all of this one is left.

        >>> Budget(seconds=60.0).after(steps=90, seconds=30.0)
        Budget(seconds=90.0, steps=None)
        """
        if self.seconds is not None:
            return Budget(seconds=self.seconds + seconds)
        return Budget(steps=(self.steps or 0) + steps)

    def progress(self, *, steps: int, seconds: float) -> float:
        """Return how much of the budget is used, in [0, 1]."""
        if self.is_zero:
            return 1.0
        used = steps / self.steps if self.steps is not None else seconds / (self.seconds or 1.0)
        return min(used, 1.0)


def decayed(learning_rate: float, progress: float) -> float:
    """Return a learning rate that falls linearly to zero.

    >>> decayed(0.01, 0.75)
    0.0025
    """
    return learning_rate * (1 - progress)
