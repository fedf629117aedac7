"""What every row of a comparison is given, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks import Task

    from knowsam.data.annotation import LabelArray
    from knowsam.training.schedule import Budget


@dataclass(frozen=True)
class Effort:
    """How long a rival may train, its random seed and its threads."""

    budget: Budget
    seed: int
    threads: int


@dataclass(frozen=True)
class Outcome:
    """Class indices (N, H, W), slices first, and the training steps behind them.

    Parameters
    ----------
    live : Dice of what was shown while it trained, the first before any training.
    """

    labels: LabelArray
    steps: int = 0
    live: tuple[float, ...] = ()


@dataclass(frozen=True)
class Rival:
    """One way to fill in the slices that nobody annotated.

    Parameters
    ----------
    trains : whether the budget makes a difference.
    is_random : whether the seed makes a difference.
    """

    fill: Callable[[Task, Effort], Outcome]
    trains: bool = True
    is_random: bool = True
