"""Validation and model selection: slices held out from training, the score on them, and whether it is good enough."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from knowsam.data.holdout import choose_holdout
from knowsam.data.sampling import SliceKey
from knowsam.training.validation import holdout_dice

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from knowsam.config import TrainingConfig
    from knowsam.data.case import Case
    from knowsam.inference.predictor import Predictor
    from knowsam.training.interruption import Interruption


class ModelSelection:
    """Holds annotated slices out, in which no slice ever changes sides, and compares students by them.

    Parameters
    ----------
    holdout, trained : of an earlier session that is gone on with.

    Attributes
    ----------
    holdout : slices kept for validation.
    trained : slices whose labels training has seen.
    """

    def __init__(
        self,
        config: TrainingConfig,
        interruption: Interruption,
        *,
        holdout: Collection[SliceKey] = (),
        trained: Collection[SliceKey] = (),
    ) -> None:
        self.holdout = frozenset(holdout)
        self.trained = frozenset(trained)
        self._config = config
        self._interruption = interruption
        self._best_score: float | None = None

    def note_trained(self, keys: Collection[SliceKey]) -> None:
        """Never hold these slices out any more: training has seen their labels."""
        self.trained |= set(keys)

    def choose(self, cases: Sequence[Case]) -> None:
        """Renew the hold-out after slices were painted."""
        holdout: set[SliceKey] = set()
        for number, case in enumerate(cases):
            chosen = choose_holdout(
                case.annotation,
                every=self._config.holdout_every,
                minimum=self._config.holdout_minimum,
                kept=[key.slice_index for key in self.holdout if key.case == number],
                trained=[key.slice_index for key in self.trained if key.case == number],
            )
            holdout.update(SliceKey(number, index) for index in chosen)
        if holdout != self.holdout:
            # Scores on different slices cannot be compared.
            self.forget()
        self.holdout = frozenset(holdout)

    def forget(self) -> None:
        """Forget the best score, which was measured on something else."""
        self._best_score = None

    def measure(self, predictors: Sequence[Predictor], cases: Sequence[Case]) -> float | None:
        """Return the Dice on the held-out slices, see `holdout_dice`.

        Raises
        ------
        Interrupted
            If an interruption was requested.
        """
        return holdout_dice(predictors, cases, self.holdout, self._interruption)

    def adopt(self, score: float | None, slices: int | None = None) -> bool:
        """Decide whether students of this score may predict: not if it is below the best one by more than noise.

        Parameters
        ----------
        score : Dice; None decides nothing.
        slices : how many it was measured on, by default those held out.
        """
        if score is None:
            self._best_score = None
            return True
        # A score on so few slices may fall by as much by chance.
        noise = self._config.holdout_noise / math.sqrt(len(self.holdout) if slices is None else slices)
        if self._best_score is not None and score < self._best_score - noise:
            return False
        self._best_score = max(score, self._best_score or 0.0)
        return True
