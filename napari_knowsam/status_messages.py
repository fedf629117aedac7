"""Sentences on the present state, in plain language."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from knowsam.data.annotation import BACKGROUND, IGNORE
from knowsam.data.slice_number import slice_number
from knowsam.training.events import Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from knowsam.data.annotation import Annotation
    from knowsam.document.annotation_document import AnnotationDocument
    from knowsam.training.events import Applied, Downloading, Finished, StepDone

NO_IMAGE = "Open an image file or a DICOM folder first (Open, at the top)."

READY = "Paint a few slices of the structure, then train. Slices you do not paint are used too."

PAINTED = "Paint further slices of the structure, or train on what is painted. Slices you do not paint are used too."

PROPAGATING = "Propagating what you painted to the other slices; the first time, that takes some seconds."

BUSY = "A training goes on, or a model is being applied. Stop that first."


class Shown(Enum):
    """The origin of what is shown of unpainted slices, in words."""

    NOTHING = ""
    PROPAGATED = "propagated from your painted slices. Training adds to it once that helps."
    NOT_BETTER = "propagated from your painted slices; training has not made it better so far, so it adds nothing yet."
    PROPOSED = "what is proposed, and near your slices your own labels."
    BOTH = "your slices, propagated, and what the networks add."
    LEARNT = "what the networks have learnt."
    ANNOTATED = "what you painted and accepted, in all slices. Correct what is wrong, or export."


_STAGES = {
    Stage.PREPARING: "Getting ready: loading PyTorch, building networks, propagating what you painted to all slices.",
    Stage.TRAINING: "Learning from what you painted and from all other slices.",
    Stage.PAUSED: "Paused. You can go on painting; training takes it in when it goes on.",
    Stage.APPLYING: "Applying the model to all slices that you have not painted.",
    Stage.PROPOSING: "Bringing the masks of the finished volumes to this one, which takes some seconds for each.",
}

_SHOWN_WITHOUT_GAIN = {
    Shown.PROPAGATED: "what is propagated from your slices",
    Shown.NOT_BETTER: "what is propagated from your slices",
    Shown.PROPOSED: "what is proposed",
}


def next_sentence(document: AnnotationDocument | None) -> str:
    """Say what can be done next with the chosen image, or without one, where nothing goes on."""
    if document is None:
        return NO_IMAGE
    if document.is_fully_annotated:
        return shown_sentence(Shown.ANNOTATED)
    return PAINTED if document.painted_values() else READY


def missing_sentence(annotation: Annotation) -> str | None:
    """Say what has to be painted before there is something to learn, and something to tell it from; None if nothing."""
    labelled = [one.labels[one.labels != IGNORE] for one in annotation.slices.values()]
    if not any((labels != BACKGROUND).any() for labels in labelled):
        return "Nothing is painted yet. Choose a class, paint the structure in a few slices, then train on them."
    if not any((labels == BACKGROUND).any() for labels in labelled):
        return (
            "All painted slices are marked as partly painted, so nothing is known to be background. "
            "Mark one as complete (K), or paint some background with the background brush."
        )
    return None


def unfinished_sentence(indices: Sequence[int]) -> str:
    """Say what has to be done before an image can be called done.

    >>> unfinished_sentence([11])
    'Nobody has accepted slice 12 yet. Correct and accept it, or mark where each structure ends.'
    """
    if len(indices) == 1:
        number = slice_number(indices[0])
        return f"Nobody has accepted slice {number} yet. Correct and accept it, or mark where each structure ends."
    first, last = slice_number(indices[0]), slice_number(indices[-1])
    return (
        f"Nobody has accepted {len(indices)} slices between {first} and {last} yet. Correct and accept them (Accept, "
        "All), or mark where each structure ends."
    )


def finished_images_sentence(count: int) -> str:
    """Say that images that are done can help with one in which nothing is annotated yet."""
    images = "One image is" if count == 1 else f"{count} images are"
    return f"{images} done. To begin with a mask from them: Model, Propose from finished volumes."


def stage_sentence(stage: Stage) -> str:
    """Say what a stage means."""
    return _STAGES[stage]


def downloading_sentence(event: Downloading) -> str:
    """Say how much of the teacher's weights has arrived."""
    size = f" of {event.size / 1e6:.0f}" if event.size else ""
    return f"Downloading SAM: {event.arrived / 1e6:.0f}{size} MB. Stop ends it; the next training goes on there."


def shown_sentence(shown: Shown) -> str:
    """Say where what is on the screen comes from; nothing if nothing is."""
    return f"Shown: {shown.value}" if shown.value else ""


def propagation_sentence(shown: Shown) -> str:
    """Say what is shown while nobody trains."""
    if shown is Shown.ANNOTATED:
        return shown_sentence(shown)
    return f"{shown_sentence(shown)} What you paint or correct changes the slices beside it at once."


def proposed_sentence(applied: Applied) -> str:
    """Say what came of asking finished volumes, and what comes next."""
    if applied.stopped:
        return "Stopped before there was a proposal. Ask again, or paint."
    return (
        "The finished volumes propose what you see; nobody has checked it. Correct or accept a few slices, the first "
        "and the last of the structure among them."
    )


def applied_sentence(applied: Applied) -> str:
    """Say what came of applying a model, and what comes next."""
    if applied.stopped:
        return "Stopped before all slices were predicted. Apply the model again, or go on painting."
    if applied.is_empty:
        return (
            "The model was applied. It found no structure in this image: paint some slices and train, or open an image "
            "of the kind that the model has learnt from."
        )
    return (
        "The model was applied. Look through the slices and correct what is wrong, then accept and export. Or train: "
        "that begins with the model."
    )


def removed_sentence(name: str) -> str:
    """Say that an image was removed while it was trained on."""
    return (
        f"{name}: The image was removed, so its training was ended. What you painted and what was learnt is kept: open "
        "the image again to go on."
    )


def paused_sentence(shown: Shown) -> str:
    """Say what can be done while training stands still."""
    if shown in (Shown.NOTHING, Shown.LEARNT):
        return _STAGES[Stage.PAUSED]
    return (
        "Paused. You can go on painting: what you paint or correct changes the slices beside it at once. "
        "Training takes it in when it goes on."
    )


def training_sentence(step: StepDone, annotated: int, dice: float | None, shown: Shown = Shown.NOTHING) -> str:
    """Say how training stands, and what is shown of it.

    Parameters
    ----------
    annotated : slices a person has painted or corrected.
    dice : score on held-out slices, None if there is none.
    """
    slices = slices_in_words(annotated)
    doing = f"Step {step.step}: learning from {slices} you painted and all others.{_score(dice)}"
    return f"{doing} {shown_sentence(shown)}".strip()


def saved_sentence(
    name: str, image_name: str | None, empty_slices: int, outdated: int = 0, unconfirmed: int = 0
) -> str:
    """Say what was exported, and what it lacks.

    Parameters
    ----------
    name, image_name : of the file, and of the image if the file has its grid.
    empty_slices : slices that are neither painted nor predicted, though others are predicted.
    outdated : slices that wait for a new prediction.
    unconfirmed : slices with an outline of SAM that nobody has corrected or accepted; a file of labels keeps no mark.
    """
    grid = "" if image_name is None else f", on the grid of {image_name}"
    saved = f"Saved {name}{grid}.{_waiting(outdated)}{' Then export again.' * bool(outdated)}"
    outlined = unconfirmed_sentence(unconfirmed)
    if outlined and image_name is not None:
        outlined += f" The file does not tell {'it' if unconfirmed == 1 else 'them'} from painted slices."
    return " ".join(one for one in (saved, outlined, empty_sentence(empty_slices)) if one)


def unconfirmed_sentence(count: int) -> str:
    """Say in how many slices an outline of SAM is to be confirmed; nothing if in none.

    >>> unconfirmed_sentence(1)
    'One slice was outlined by SAM, and nobody has corrected or accepted it.'
    """
    if not count:
        return ""
    slices, them = ("One slice was", "it") if count == 1 else (f"{count} slices were", "them")
    return f"{slices} outlined by SAM, and nobody has corrected or accepted {them}."


def empty_sentence(empty_slices: int) -> str:
    """Say how many slices are neither painted nor predicted."""
    if not empty_slices:
        return ""
    empty = "One slice has" if empty_slices == 1 else f"{empty_slices} slices have"
    rest = "is empty" if empty_slices == 1 else "are empty"
    return f"{empty} no prediction yet and {rest}."


def slices_in_words(count: int) -> str:
    """Return how many slices.

    >>> slices_in_words(1), slices_in_words(7)
    ('one slice', '7 slices')
    """
    return "one slice" if count == 1 else f"{count} slices"


def steps_in_words(count: int) -> str:
    """Return how many steps of training."""
    return "one step" if count == 1 else f"{count} steps"


def accepted_sentence(outdated: int) -> str:
    """Say that an older prediction was accepted in slices that wait for a new one; nothing if none does."""
    if not outdated:
        return ""
    waited = f"{slices_in_words(outdated)} waited for a new prediction"
    return f"Accepted while {waited}. To accept that, undo, wait and accept again."


def finished_sentence(
    finished: Finished,
    shown: Shown = Shown.NOTHING,
    dice: float | None = None,
    outdated: int = 0,
    *,
    has_earlier: bool = False,
) -> str:
    """Say how training ended, how well what is shown does, and what comes next.

    Parameters
    ----------
    dice : as in `training_sentence`.
    outdated : slices that wait for a new prediction by now.
    has_earlier : whether an earlier training of this volume has learnt something.
    """
    if not finished.steps and not finished.stopped:
        return f"Nothing was trained.{_waiting(outdated)} {shown_sentence(shown)}".strip()
    if not finished.steps:
        kept = "what was learnt before is kept" if has_earlier else "nothing was learnt"
        ended = f"Training ended before its first step, so {kept}. Train again."
        return f"{ended} {shown_sentence(Shown.PROPAGATED)}" if shown is Shown.PROPAGATED else ended
    how = "stopped" if finished.stopped else "finished"
    gain = _without_gain(shown, outdated) if shown in _SHOWN_WITHOUT_GAIN else _waiting(outdated)
    return (
        f"Training {how} after {steps_in_words(finished.steps)}.{gain}{_score(dice)} Look through the slices, correct "
        "what is wrong and train again: it goes on from here. Or accept and export."
    )


def _without_gain(shown: Shown, outdated: int) -> str:
    """Say what is shown where the networks add nothing to it, and how many slices do not show it yet."""
    rest = f"; {outdated} slices still change to it by themselves" if outdated else ""
    if outdated == 1:
        rest = "; one slice still changes to it by itself"
    return f" It did not improve on {_SHOWN_WITHOUT_GAIN[shown]}, so this is shown{rest}."


def _score(dice: float | None) -> str:
    return "" if dice is None else f" On painted slices it never learnt from, Dice is {dice:.2f}."


def _waiting(outdated: int) -> str:
    if not outdated:
        return ""
    slices = "One slice still shows" if outdated == 1 else f"{outdated} slices still show"
    return f" {slices} an older prediction; the new one follows by itself."
