"""How good a model of several volumes probably is in another one: each volume, predicted by a model of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from knowsam import jobs
from knowsam.data.annotation import IGNORE, class_indices
from knowsam.errors import InputError
from knowsam.inference.metrics import dice_score
from knowsam.training.expected_dice import ExpectedDice

if TYPE_CHECKING:
    from knowsam.data.annotation import Annotation, LabelArray, LabelClass
    from knowsam.data.case import Case
    from knowsam.training.session import TrainingSession


@dataclass(frozen=True)
class LeftOut:
    """How good a model is in a volume that it has not learnt from.

    Parameters
    ----------
    name : of the volume.
    dice : by label value, in what was annotated there, of each class that was.
    """

    name: str
    dice: dict[int, float]


def leave_one_out(
    cases: Sequence[Case], train: Callable[[Sequence[Case]], TrainingSession], *, device: str = "auto"
) -> Iterator[LeftOut]:
    """Predict each annotated volume by a model of all others, and compare that with what was annotated.

    Parameters
    ----------
    train : trains on volumes, as `knowsam.jobs.train` does.

    Raises
    ------
    InputError
        If fewer than two volumes are annotated.
    """
    annotated = [case for case in cases if case.annotation.slices]
    if len(annotated) < 2:
        raise InputError(
            f"{len(annotated)} of {len(cases)} volumes are annotated, but a model is judged in a volume that it has "
            "not learnt from. Give the masks of two or more."
        )
    for left_out in annotated:
        model = train([case for case in cases if case is not left_out]).model()
        labels, _ = jobs.predict(model, left_out.volume, device=device)
        yield LeftOut(left_out.volume.name, _dice(class_indices(labels, model.classes), left_out.annotation))


def expected_dice(found: Sequence[LeftOut], classes: Sequence[LabelClass]) -> tuple[ExpectedDice, ...]:
    """Return what volumes that were left out let expect of each class in another one, if two at least show it.

    Parameters
    ----------
    classes : background first.
    """
    dice = {one.value: [own.dice[one.value] for own in found if one.value in own.dice] for one in classes[1:]}
    return tuple(ExpectedDice.of(value, own) for value, own in dice.items() if len(own) > 1)


def _dice(indices: LabelArray, annotation: Annotation) -> dict[int, float]:
    """Compare class indices (Z, Y, X) with the annotated slices, as far as these were judged."""
    planes = np.moveaxis(indices, annotation.axis, 0)
    truth = np.stack([one.labels for one in annotation.slices.values()])
    predicted = np.where(truth == IGNORE, IGNORE, planes[list(annotation.slices)])
    found = (index for index in np.unique(truth).tolist() if index not in (0, IGNORE))
    return {annotation.classes[index].value: dice_score(predicted, truth, index) for index in found}
