"""Transfer of a model of other volumes: its weight in a new one, and when it begins to learn there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from knowsam.inference.ensemble import HeldOutWeight
from knowsam.training.validation import holdout_score

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from knowsam.data.case import Case
    from knowsam.data.sampling import SliceKey
    from knowsam.inference.predictor import Predictor
    from knowsam.training.interruption import Interruption
    from knowsam.training.validation import HoldoutScore
    from knowsam.training.volume_propagation import VolumePropagation


def student_score(
    predictors: Sequence[Predictor],
    cases: Sequence[Case],
    annotated: Collection[SliceKey],
    propagations: Sequence[VolumePropagation | None],
    interruption: Interruption,
) -> HoldoutScore | None:
    """Compare students of other volumes with annotated slices, which are held out for them; None as `holdout_score`.

    Parameters
    ----------
    predictors : one for each case, by the students alone.

    Raises
    ------
    Interrupted
        If an interruption was requested.
    """
    return holdout_score(predictors, cases, _reference_slices(annotated, cases, propagations), interruption)


def transfer_weight(score: HoldoutScore | None) -> HeldOutWeight:
    """Return the weight of students of other volumes beside propagated labels.

    Parameters
    ----------
    score : None if there is none, so that nothing speaks against them.
    """
    return HeldOutWeight(0.0) if score is None else HeldOutWeight(1 - score.dice, score.self_assessed_error)


def _reference_slices(
    keys: Collection[SliceKey], cases: Sequence[Case], propagations: Sequence[VolumePropagation | None]
) -> Collection[SliceKey]:
    """Leave the outermost annotated slices out if others show a structure: students err there as nowhere else."""
    between = [key for key in keys if (own := propagations[key.case]) and own.lies_between(key.slice_index)]
    shows_structure = any(cases[key.case].annotation.slices[key.slice_index].classes for key in between)
    return between if shows_structure else keys


class Transfer:
    """Decides whether the earlier model learns; one of the same volumes always does.

    Parameters
    ----------
    is_transfer : whether the earlier model is one of other volumes.
    minimum : annotated slices from which it learns.
    """

    def __init__(self, *, is_transfer: bool, minimum: int) -> None:
        self._minimum = minimum if is_transfer else 0

    def has_too_few(self, annotated: int) -> bool:
        """Return whether so few slices are annotated that the model would forget more than it learns."""
        return annotated < self._minimum

    def too_few_sentence(self, annotated: int) -> str:
        """Return why it does not learn, and what would change that."""
        return (
            f"Annotate at least {self._minimum} slices to let a model of other volumes learn: from {annotated} it "
            "would forget more than it learns."
        )
