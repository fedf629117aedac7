"""Leave-one-out cross-validation: each volume is predicted by a model of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from knowsam import jobs
from knowsam.data.annotation import BACKGROUND, IGNORE, class_indices
from knowsam.document.kept_files import fingerprint
from knowsam.errors import InputError
from knowsam.inference.metrics import dice_score
from knowsam.training.expected_dice import ExpectedDice

if TYPE_CHECKING:
    from knowsam.data.annotation import Annotation, LabelArray, LabelClass
    from knowsam.data.case import Case
    from knowsam.training.session import TrainingSession


@dataclass(frozen=True)
class LeftOut:
    """The Dice of a model in a volume that it has not learnt from.

    Parameters
    ----------
    name : of the volume.
    dice : by label value, of each class that was annotated there and in another volume: in all slices where those with
        the structures were annotated without a gap, so that beyond them there is none; else in what was annotated.
    """

    name: str
    dice: dict[int, float]


def leave_one_out(
    cases: Sequence[Case],
    train: Callable[[Sequence[Case]], TrainingSession],
    *,
    device: str = "auto",
    check: Callable[[], None] = lambda: None,
) -> Iterator[LeftOut]:
    """Predict each annotated volume by a model of all other images, and compare that with what was annotated.

    Parameters
    ----------
    train : trains on volumes, as `knowsam.jobs.train` does.
    check : called now and then while a volume is predicted; an exception it raises stops the work.

    Raises
    ------
    InputError
        If fewer than two different volumes are annotated.
    """
    require_two_volumes(cases)
    # An image may be there twice, or without labels as well.
    images = [fingerprint(case.volume) for case in cases]
    for left_out, own in zip(cases, images, strict=True):
        if not left_out.annotation.slices:
            continue
        others = [case for case, image in zip(cases, images, strict=True) if image != own]
        model = train(others).model()
        labels, _ = jobs.predict(model, left_out.volume, device=device, check=check)
        dice = _dice(class_indices(labels, model.classes), left_out.annotation)
        learnt = {value for case in others for value in _annotated_values(case.annotation)}
        yield LeftOut(left_out.volume.name, {value: one for value, one in dice.items() if value in learnt})


def require_two_volumes(cases: Sequence[Case]) -> None:
    """Check that two different images are annotated, so that one can be predicted by a model of the other.

    Raises
    ------
    InputError
        If not.
    """
    annotated = {fingerprint(case.volume) for case in cases if case.annotation.slices}
    if len(annotated) < 2:
        raise InputError(
            f"Different annotated volumes: {len(annotated)}. A model is validated in a volume that it has not learnt "
            "from. Give the masks of two or more."
        )


def expected_dice(found: Sequence[LeftOut], classes: Sequence[LabelClass]) -> tuple[ExpectedDice, ...]:
    """Return the expected Dice of each class in another volume, if at least two left-out volumes show it.

    Parameters
    ----------
    classes : background first.
    """
    dice = {one.value: [own.dice[one.value] for own in found if one.value in own.dice] for one in classes[1:]}
    return tuple(ExpectedDice.of(value, own) for value, own in dice.items() if len(own) > 1)


def _dice(indices: LabelArray, annotation: Annotation) -> dict[int, float]:
    """Compare class indices (Z, Y, X) with what was annotated, where it was annotated, by label value."""
    planes = np.moveaxis(indices, annotation.axis, 0)
    truth = _reference(annotation, planes.shape)
    predicted = np.where(truth == IGNORE, IGNORE, planes)
    return {value: dice_score(predicted, truth, index) for value, index in _annotated_values(annotation).items()}


def _reference(annotation: Annotation, shape: tuple[int, ...]) -> LabelArray:
    """Return what is known of all slices (N, H, W); where slices were annotated without a gap, the structures end."""
    annotated = list(annotation.slices)
    is_gapless = len(annotated) > 1 and max(annotated) - min(annotated) + 1 == len(annotated)
    is_whole = is_gapless and not any((one.labels == IGNORE).any() for one in annotation.slices.values())
    reference = np.full(shape, BACKGROUND if is_whole else IGNORE, np.uint8)
    for index, one in annotation.slices.items():
        reference[index] = one.labels
    return reference


def _annotated_values(annotation: Annotation) -> dict[int, int]:
    """Return the label values that occur in an annotation, each with its class index."""
    found = {int(index) for one in annotation.slices.values() for index in np.unique(one.labels)} - {BACKGROUND, IGNORE}
    return {annotation.classes[index].value: index for index in sorted(found)}
