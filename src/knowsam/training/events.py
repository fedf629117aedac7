"""What a training session is told, and what it tells: the two sides of its mailbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelSlice
    from knowsam.training.step import StepLosses


@dataclass(frozen=True)
class SliceAnnotated:
    """To the session: a slice was painted or corrected; training takes it in from the next step."""

    label_slice: LabelSlice
    case: int = 0


@dataclass(frozen=True)
class Pause:
    """To the session: stand still before the next step; waiting takes nothing from the budget."""


@dataclass(frozen=True)
class Resume:
    """To the session: go on."""


@dataclass(frozen=True)
class Stop:
    """To the session: end before the next step and keep what was learnt."""


Message = SliceAnnotated | Pause | Resume | Stop


@dataclass(frozen=True)
class Notice:
    """From the session: one sentence a user should read."""

    text: str


@dataclass(frozen=True)
class StepDone:
    """From the session: one step was taken.

    Parameters
    ----------
    step : number of the step, from 1.
    progress : share of the budget that is used, in [0, 1].
    seconds : time since the start, without pauses.
    """

    step: int
    progress: float
    seconds: float
    losses: StepLosses


@dataclass(frozen=True)
class Validated:
    """From the session: the students were measured on the held-out slices.

    Parameters
    ----------
    dice : mean over the foreground classes that occur in the held-out slices; None if nothing is held out.
    adopted : whether predictions come from these students from now on.
    """

    step: int
    dice: float | None
    adopted: bool


@dataclass(frozen=True)
class Paused:
    """From the session: it stands still."""


@dataclass(frozen=True)
class Finished:
    """From the session, last of all.

    Parameters
    ----------
    stopped : whether a `Stop` ended it before its budget was used.
    """

    steps: int
    seconds: float
    stopped: bool


Event = Notice | StepDone | Validated | Paused | Finished
