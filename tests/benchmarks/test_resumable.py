"""A training in pieces: broken off anywhere, it ends as one that was not."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from patients import Slices
from publication import settings
from resumable import ResumableTraining
from tasks import find_data_set

from knowsam.data.annotation import default_classes
from knowsam.errors import TrainingError
from knowsam.models.teachers import Teacher
from knowsam.training.learner import Learner

STEPS = 6


@pytest.fixture
def training(hearts: Path, tmp_path: Path) -> ResumableTraining:
    """Six steps without a teacher, on a labelled and an unlabelled heart, with a checkpoint after every second."""
    data = find_data_set(hearts)
    slices = [Slices.read(data, f"patient00{number}_frame01") for number in (1, 2)]
    classes = default_classes([1, 2, 3])
    cases = [one.case(32, classes, labelled=number == 0) for number, one in enumerate(slices)]
    config = settings(variant="none", max_side_px=32, width=4, labelled_batch=2, unlabelled_batch=2)
    (tmp_path / "run").mkdir()
    return ResumableTraining(tmp_path / "run", cases, config, Teacher("none"), STEPS, every=2, seed=3, device="cpu")


def _logged(training: ResumableTraining) -> list[list[str]]:
    with (training.folder / "log.csv").open(newline="") as file:
        return [[step, *losses] for step, _, *losses in csv.reader(file)]


def test_a_training_that_was_broken_off_ends_as_one_that_was_not(
    training: ResumableTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(training, folder=training.folder.with_name("other"))
    other.folder.mkdir()
    *_, whole = other.checkpoints()

    step = Learner.step
    with monkeypatch.context() as broken:

        def step_of_a_killed_training(learner: Learner, *args: object) -> object:
            if args[1] == 3:
                raise KeyboardInterrupt
            return step(learner, *args)  # type: ignore[arg-type]

        broken.setattr(Learner, "step", step_of_a_killed_training)
        with pytest.raises(KeyboardInterrupt):
            list(training.checkpoints())
    assert [row[0] for row in _logged(training)] == ["step", "1", "2", "3"]
    seen = [one.model.steps for one in training.checkpoints()]
    assert seen == [2, 4, 6]

    *_, resumed = training.checkpoints()
    assert resumed.model.steps == whole.model.steps == STEPS
    for name, tensor in whole.learning.students.items():
        assert torch.equal(tensor, resumed.learning.students[name]), name
    assert _logged(training) == _logged(other)
    assert [note.step for note in training.notes.results if note.text.startswith("commit")] == [0]


def test_learning_rates_fall_over_all_steps_and_not_over_those_of_a_piece(
    training: ResumableTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = []
    step = Learner.step

    def noted(learner: Learner, *args: object) -> object:
        progress.append(args[2])
        return step(learner, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Learner, "step", noted)
    list(training.checkpoints())
    assert progress == pytest.approx([number / STEPS for number in range(STEPS)])


def test_what_a_killed_training_wrote_of_a_step_in_part_is_forgotten(training: ResumableTraining) -> None:
    next(training.checkpoints())
    with (training.folder / "log.csv").open("a") as file:
        file.write("3,0.1,1,1,1,1,1,1,1\n1")
    *_, last = training.checkpoints()
    assert last.model.steps == STEPS
    assert [row[0] for row in _logged(training)] == ["step", *"123456"]


def test_a_training_whose_batches_do_not_fit_into_memory_ends_instead_of_becoming_another_one(
    training: ResumableTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Learner, "step", without_memory)
    with pytest.raises(TrainingError, match="a step of 2 annotated and 2 unlabelled slices"):
        list(training.checkpoints())
