"""Each sentence on the present state is one sentence."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from knowsam.training.events import Applied, Finished, Stage, StepDone
from napari_knowsam import status_messages
from napari_knowsam.status_messages import Shown

LOSSES: Any = SimpleNamespace(total=1.0)


@pytest.mark.parametrize(
    ("stage", "beginning"),
    [
        (Stage.PREPARING, "Getting ready"),
        (Stage.TRAINING, "Learning from what you painted"),
        (Stage.PAUSED, "Paused."),
    ],
)
def test_every_stage_has_a_sentence(stage: Stage, beginning: str) -> None:
    assert status_messages.stage_sentence(stage).startswith(beginning)


@pytest.mark.parametrize(("annotated", "slices"), [(1, "from one slice you"), (3, "from 3 slices you")])
def test_a_step_names_the_slices_it_learns_from(annotated: int, slices: str) -> None:
    sentence = status_messages.training_sentence(StepDone(12, 0.1, 3.0, LOSSES), annotated, None)
    assert sentence.startswith("Step 12: ")
    assert slices in sentence
    assert "Dice" not in sentence


def test_a_step_names_the_score_where_there_is_one() -> None:
    sentence = status_messages.training_sentence(StepDone(12, 0.1, 3.0, LOSSES), 6, 0.876)
    assert "Dice is 0.88." in sentence


@pytest.mark.parametrize("shown", list(Shown))
def test_a_step_says_what_is_shown(shown: Shown) -> None:
    sentence = status_messages.training_sentence(StepDone(12, 0.1, 3.0, LOSSES), 3, None, shown)
    assert sentence.endswith(f" Shown: {shown.value}" if shown.value else "all others.")


@pytest.mark.parametrize(
    ("outdated", "message"), [(1, "One slice still shows an older prediction"), (12, "12 slices still show an older")]
)
def test_slices_that_wait_for_a_new_prediction_are_counted(outdated: int, message: str) -> None:
    assert message in status_messages.finished_sentence(Finished(7, 2.0, stopped=True), outdated=outdated)
    assert message in status_messages.saved_sentence("mask.nii.gz", "MR", 0, outdated)
    assert message.split(" still")[0].lower() in status_messages.accepted_sentence(outdated)


def test_where_no_slice_waits_none_is_reported() -> None:
    assert "older" not in status_messages.finished_sentence(Finished(7, 2.0, stopped=True))
    assert status_messages.accepted_sentence(0) == ""


@pytest.mark.parametrize(
    ("empty_slices", "ending"),
    [
        (0, "grid of MR."),
        (1, "One slice has no prediction yet and is empty."),
        (12, "12 slices have no prediction yet and are empty."),
    ],
)
def test_an_export_says_what_it_lacks(empty_slices: int, ending: str) -> None:
    sentence = status_messages.saved_sentence("mask.nii.gz", "MR", empty_slices)
    assert "SAM" not in sentence
    assert sentence.startswith("Saved mask.nii.gz")
    assert sentence.endswith(ending)


def test_outlines_that_nobody_has_confirmed_are_counted_when_a_mask_is_saved() -> None:
    sentence = status_messages.saved_sentence("mask.nii.gz", None, 0, unconfirmed=3)
    assert sentence == "Saved mask.nii.gz. 3 slices were outlined by SAM, and nobody has corrected or accepted them."


@pytest.mark.parametrize(("unconfirmed", "which"), [(1, "it"), (3, "them")])
def test_a_file_of_labels_is_reported_to_keep_no_mark_of_outlines(unconfirmed: int, which: str) -> None:
    sentence = status_messages.saved_sentence("mask.nii.gz", "MR", 0, unconfirmed=unconfirmed)
    assert sentence.endswith(f"accepted {which}. The file does not tell {which} from painted slices.")


@pytest.mark.parametrize(("stopped", "how"), [(True, "Training stopped after 7 steps"), (False, "Training finished")])
def test_the_end_says_how_it_came_and_what_comes_next(stopped: bool, how: str) -> None:
    sentence = status_messages.finished_sentence(Finished(7, 2.0, stopped=stopped))
    assert sentence.startswith(how)
    assert "export" in sentence
    assert "Dice" not in sentence
    scored = status_messages.finished_sentence(Finished(7, 2.0, stopped=stopped), dice=0.914)
    assert "On painted slices it never learnt from, Dice is 0.91." in scored


def test_one_step_is_one_step() -> None:
    sentence = status_messages.finished_sentence(Finished(1, 2.0, stopped=True))
    assert sentence.startswith("Training stopped after one step.")


@pytest.mark.parametrize("shown", [Shown.PROPAGATED, Shown.PROPOSED, Shown.NOT_BETTER])
def test_an_end_without_gain_says_that_what_was_shown_stays(shown: Shown) -> None:
    kept = "did not improve on what is pro"
    assert kept in status_messages.finished_sentence(Finished(7, 2.0, stopped=False), shown)
    assert kept not in status_messages.finished_sentence(Finished(7, 2.0, stopped=False), Shown.BOTH)


@pytest.mark.parametrize(("outdated", "rest"), [(1, "one slice still changes"), (126, "126 slices still change")])
def test_an_end_without_gain_speaks_of_no_older_prediction_beside_what_stays(outdated: int, rest: str) -> None:
    sentence = status_messages.finished_sentence(Finished(7, 2.0, stopped=False), Shown.NOT_BETTER, outdated=outdated)
    assert f"propagated from your slices, so this is shown; {rest} to it by" in sentence
    assert "older" not in sentence


def test_an_end_before_the_first_step_claims_nothing_was_learnt() -> None:
    assert "nothing was learnt" in status_messages.finished_sentence(Finished(0, 0.0, stopped=True))
    sentence = status_messages.finished_sentence(Finished(0, 0.0, stopped=True), Shown.PROPAGATED)
    assert sentence.endswith(status_messages.shown_sentence(Shown.PROPAGATED))


def test_the_model_before_is_kept_where_the_next_training_ends_before_its_first_step() -> None:
    sentence = status_messages.finished_sentence(Finished(0, 0.0, stopped=True), has_earlier=True)
    assert "what was learnt before is kept" in sentence
    assert "nothing was learnt" not in sentence


def test_a_model_that_finds_nothing_is_reported_with_a_remedy() -> None:
    sentence = status_messages.applied_sentence(Applied(stopped=False, is_empty=True))
    assert "found no structure in this image: paint some slices" in sentence
    assert "export" not in sentence
    assert "no structure" not in status_messages.applied_sentence(Applied(stopped=False))


def test_where_all_is_painted_or_accepted_no_prediction_is_claimed_to_be_shown() -> None:
    sentence = status_messages.propagation_sentence(Shown.ANNOTATED)
    assert sentence.startswith("Shown: what you painted and accepted, in all slices.")
    assert "beside it" not in sentence
