"""What is going on, in one sentence of plain language."""

from __future__ import annotations

from typing import TYPE_CHECKING

from knowsam.training.events import Stage

if TYPE_CHECKING:
    from knowsam.training.events import Finished, StepDone

READY = "Paint a few slices of the structure, then train. Slices you do not paint are used too."

_STAGES = {
    Stage.PREPARING: "Getting ready: loading PyTorch, building the networks, reading the slices.",
    Stage.TRAINING: "Learning from what you painted and from all other slices.",
    Stage.PAUSED: "Paused. You can go on painting; training takes it in when it goes on.",
    Stage.REFRESHING: "Training is done. Bringing the prediction up to date in all slices.",
}


def stage_sentence(stage: Stage) -> str:
    """Say what a stage means."""
    return _STAGES[stage]


def training_sentence(step: StepDone, annotated: int, dice: float | None) -> str:
    """Say how training stands.

    Parameters
    ----------
    annotated : slices a person has painted or corrected.
    dice : score on held-out slices, None if there is none.
    """
    slices = "one slice" if annotated == 1 else f"{annotated} slices"
    score = "" if dice is None else f" On painted slices it never learnt from, Dice is {dice:.2f}."
    return f"Step {step.step}: learning from what you painted in {slices} and from all the others.{score}"


def refreshing_sentence(outdated: int) -> str:
    """Say how much of the last refresh is to be done.

    Parameters
    ----------
    outdated : slices that still wait for their prediction.
    """
    return f"{_STAGES[Stage.REFRESHING]} {outdated} left." if outdated else _STAGES[Stage.REFRESHING]


def saved_sentence(name: str, image_name: str, empty_slices: int) -> str:
    """Say what was exported, and what it lacks.

    Parameters
    ----------
    name, image_name : of the file, and of the image whose grid it has.
    empty_slices : slices that are neither painted nor predicted, though others are predicted.
    """
    saved = f"Saved {name}, on the grid of {image_name}."
    if not empty_slices:
        return saved
    empty = "One slice has" if empty_slices == 1 else f"{empty_slices} slices have"
    rest = "is empty" if empty_slices == 1 else "are empty"
    return f"{saved} {empty} no prediction yet and {rest}."


def finished_sentence(finished: Finished) -> str:
    """Say how training ended and what comes next."""
    if not finished.steps:
        return "Training ended before its first step, so nothing was learnt. Train again."
    how = "stopped" if finished.stopped else "finished"
    return (
        f"Training {how} after {finished.steps} steps. Look through the slices, correct what is wrong and train again: "
        "it goes on from here. Or accept and export."
    )
