"""Segment the sample volume from Python: paint in code, train, watch the events, correct, export.

Run it as ``python examples/segment_sample.py liver.nii.gz``, or with a budget: ``... liver.nii.gz 5m``.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from knowsam.data.annotation import BACKGROUND_CLASS, Annotation, LabelClass, LabelSlice
from knowsam.inference.metrics import dice_score
from knowsam.io.image import read_image
from knowsam.io.labels import read_labels, write_labels
from knowsam.io.sample import sample_folder
from knowsam.jobs import segment
from knowsam.training.events import Planned, PredictionReady, SliceAnnotated, StepDone, Validated, Watch
from knowsam.training.schedule import Budget

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelArray
    from knowsam.training.events import Event
    from knowsam.training.session import TrainingSession

AXIS = 0
LIVER = LabelClass(1, "liver", (230, 75, 53))
PAINTED, CORRECTED = (5, 13, 26), 20


def main(output: Path, budget: Budget) -> float:
    """Segment the liver from three painted slices and a correction; return the Dice in the slices nobody painted."""
    volume = read_image(sample_folder() / "phantom.nii.gz")
    truth = read_labels(sample_folder() / "phantom_labels.nii.gz").array

    annotation = Annotation(volume.shape, AXIS, classes=(BACKGROUND_CLASS, LIVER))
    for index in PAINTED:
        annotation = annotation.with_slice(paint(truth, index))

    result = segment(volume, annotation, budget=budget, listener=partial(follow, correction=paint(truth, CORRECTED)))
    write_labels(output, result.labels, volume.grid, annotation.classes, overwrite=True)

    hidden = np.delete(np.arange(volume.shape[AXIS]), [*PAINTED, CORRECTED])
    return dice_score(result.labels[hidden], truth[hidden], LIVER.value)


def paint(truth: np.ndarray, index: int) -> LabelSlice:
    """Paint the liver in one slice; the true labels stand for the hand of a person.

    A `LabelSlice` holds class indices, which are positions in `Annotation.classes`: 0 is background, 1 the liver.
    """
    indices: LabelArray = (truth[index] == LIVER.value).astype(np.uint8)
    return LabelSlice(AXIS, index, indices)


def follow(session: TrainingSession, event: Event, *, correction: LabelSlice) -> None:
    """Print what a training tells, ask for live predictions, and correct one slice while it runs."""
    match event:
        case Planned():
            print("Plan:", *event.plan.left_out, *event.plan.reasons, sep="\n  ")
            session.submit(Watch(correction.index))
        case PredictionReady():
            print("Predicted slices:", *(predicted.index for predicted in event.slices))
        case StepDone():
            print(f"Step {event.step}, {event.progress:.0%} of the budget, loss {event.losses.supervised:.3f}")
            if event.step == 1:
                session.submit(SliceAnnotated(replace(correction, by_hand=False, corrected=True)))
        case Validated():
            print("Validated; these students are", "in use" if event.adopted else "not in use")


if __name__ == "__main__":
    mask = Path(sys.argv[1] if len(sys.argv) > 1 else "liver.nii.gz")
    dice = main(mask, Budget.parse(sys.argv[2] if len(sys.argv) > 2 else "30s"))
    print(f"{mask}: Dice {dice:.3f} in the slices that nobody painted")
