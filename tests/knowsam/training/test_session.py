"""What goes into a session, what comes out of it, and in which order."""

from __future__ import annotations

import gc
import threading
import weakref
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from sessions import Steps, of_kind, session_of, until
from weights import are_same

from knowsam.data.annotation import IGNORE, Annotation, LabelArray, LabelSlice, default_classes
from knowsam.data.case import Case
from knowsam.data.sampling import SliceKey
from knowsam.data.volume import Grid, Volume
from knowsam.errors import InputError, TrainingError
from knowsam.inference.ensemble import HeldOutWeight, StudentWeight
from knowsam.inference.metrics import dice_score
from knowsam.training import timed_training, trainer
from knowsam.training.events import (
    Event,
    Finished,
    ModelReady,
    ModelWanted,
    Notice,
    Pause,
    PredictionReady,
    Resume,
    SliceAnnotated,
    Stage,
    StageChanged,
    StepDone,
    Stop,
    Validated,
    Watch,
)
from knowsam.training.schedule import Budget

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.training.batch import Batch
    from knowsam.training.learner import Learner
    from knowsam.training.session import TrainingSession
    from knowsam.training.step import StepLosses


@pytest.fixture
def quick_config(still_config: Config) -> Config:
    """Students alone, two validations."""
    return still_config.with_values(variant="none", shape_prior=False, validations=2)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock of a training, which stands still."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(timed_training, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_a_run_counts_its_steps_and_ends_with_a_validation(
    case: Case, quick_config: Config, batches: list[Batch]
) -> None:
    events = list(session_of(case, config=quick_config, steps=4).run())
    assert [event.step for event in of_kind(events, StepDone)] == [1, 2, 3, 4]
    assert [event.progress for event in of_kind(events, StepDone)] == [0.25, 0.5, 0.75, 1.0]
    assert [event.step for event in of_kind(events, Validated)] == [2, 4]
    assert isinstance(events[-1], Finished)
    assert (events[-1].steps, events[-1].stopped) == (4, False)
    assert isinstance(events[-2], Validated)


@pytest.mark.usefixtures("batches")
def test_a_session_that_has_ended_frees_its_networks_at_once(case: Case, quick_config: Config) -> None:
    session = session_of(case, config=quick_config, steps=1)
    for _ in session.run():
        pass
    networks = [weakref.ref(network) for network in (session.trainer.learner.students, session.students)]
    gc.disable()
    try:
        del session
        assert [network() for network in networks] == [None, None]
    finally:
        gc.enable()


def test_the_training_slices_are_reported(case: Case, many: Case, quick_config: Config, batches: list[Batch]) -> None:
    few, enough = (of_kind(list(session_of(one, config=quick_config).run()), Notice) for one in (case, many))
    assert few[0].text == "No teacher: the students learn alone."
    assert few[1].text == "Training began with 2 annotated slices, none held out."
    assert enough[1].text == "Training began with 7 annotated slices, validating on 1 more."


def test_what_the_settings_leave_out_by_default_is_distinguished_from_other_notices(
    case: Case, quick_config: Config, batches: list[Batch]
) -> None:
    config = quick_config.with_values(mixing=None, variant="none")
    first, second, *_ = of_kind(list(session_of(case, config=config).run()), Notice)
    assert first == Notice("Slices are not mixed unless you ask for it.", by_default=True)
    assert not second.by_default


@pytest.mark.usefixtures("small_sam")
def test_the_teacher_is_reported(case: Case, tiny_config: Config, batches: list[Batch]) -> None:
    notice = until(session_of(case, config=tiny_config).run(), Notice)
    assert isinstance(notice, Notice)
    assert "trained from scratch" in notice.text


def test_a_budget_in_seconds_counts_the_steps_and_not_the_listener(
    case: Case, quick_config: Config, steps: Steps, clock: SimpleNamespace
) -> None:
    def take_two_seconds(*_: object) -> None:
        clock.now += 2.0

    steps.happens = take_two_seconds
    seconds = []
    for event in session_of(case, config=quick_config, budget=Budget(seconds=7.0)).run():
        if isinstance(event, StepDone):
            clock.now += 100.0
            seconds.append(event.seconds)
    assert seconds == [2.0, 4.0, 6.0, 8.0]


def test_one_annotated_slice_is_learnt_by_heart(ball: Volume, ball_labels: LabelArray, quick_config: Config) -> None:
    config = quick_config.with_values(dropout=0.0, learning_rate=0.01, labelled_batch=1, unlabelled_batch=1)
    case = Case(ball, Annotation.from_labels(ball_labels, axis=0, indices=[5]))
    session = session_of(case, config=config, steps=40)
    losses = [event.losses for event in session.run() if isinstance(event, StepDone)]
    (prediction,) = session.predictor().slices([5])
    assert dice_score(prediction.labels, ball_labels[5], 1) > 0.97
    assert losses[-1].supervised < 0.2 * losses[0].supervised


@pytest.mark.usefixtures("small_sam")
def test_the_same_seed_gives_the_same_losses_and_another_one_does_not(case: Case, tiny_config: Config) -> None:
    def losses(seed: int) -> list[StepLosses]:
        session = session_of(case, config=tiny_config, steps=2, seed=seed)
        return [event.losses for event in session.run() if isinstance(event, StepDone)]

    first, again, other = losses(1), losses(1), losses(2)
    assert first == again != other


def test_a_run_can_go_on_from_an_earlier_model(case: Case, quick_config: Config, batches: list[Batch]) -> None:
    first = session_of(case, config=quick_config, seed=1)
    list(first.run())
    model = first.model()
    second = session_of(case, config=quick_config, seed=2, start_from=model)
    list(second.run())
    assert are_same(second.model().students.state_dict(), model.students.state_dict())


def test_a_model_is_a_copy_that_later_steps_do_not_change(case: Case, quick_config: Config) -> None:
    session = session_of(case, config=quick_config, steps=4)
    events = session.run()
    until(events, Validated)
    model = session.model()
    before = model.students.unet.head.weight.clone()
    list(events)
    assert torch.equal(model.students.unet.head.weight, before)
    assert not torch.equal(session.model().students.unet.head.weight, before)
    assert (model.steps, session.model().steps) == (2, 4)


def test_before_a_run_there_is_neither_model_nor_prediction(case: Case, quick_config: Config) -> None:
    session = session_of(case, config=quick_config)
    with pytest.raises(TrainingError, match="no model yet"):
        session.model()
    with pytest.raises(TrainingError, match="nothing to predict with yet"):
        session.predictor()


def test_stop_ends_a_run_before_its_next_step_and_keeps_the_model(
    case: Case, quick_config: Config, batches: list[Batch]
) -> None:
    session = session_of(case, config=quick_config, steps=1000)
    events = session.run()
    until(events, StepDone)
    session.submit(Stop())
    rest = list(events)
    assert of_kind(rest, StepDone) == []
    assert [event.adopted for event in of_kind(rest, Validated)] == [True]
    assert isinstance(rest[-1], Finished)
    assert (rest[-1].steps, rest[-1].stopped) == (1, True)


def test_a_run_that_is_stopped_at_once_takes_no_step(case: Case, quick_config: Config, batches: list[Batch]) -> None:
    session = session_of(case, config=quick_config)
    session.submit(Stop())
    *_, last = session.run()
    assert isinstance(last, Finished)
    assert (last.steps, last.stopped) == (0, True)
    assert batches == []


def test_a_paused_run_stands_still_until_it_is_resumed(case: Case, quick_config: Config, batches: list[Batch]) -> None:
    session = session_of(case, config=quick_config)
    events = session.run()
    until(events, StepDone)
    session.submit(Pause())
    assert next(events) == StageChanged(Stage.PAUSED)
    after: list[Event] = []
    waiting = threading.Thread(target=lambda: after.append(next(events)), daemon=True)
    waiting.start()
    waiting.join(timeout=0.05)
    assert waiting.is_alive()
    assert len(batches) == 1
    session.submit(Resume())
    waiting.join(timeout=10)
    assert after == [StageChanged(Stage.TRAINING)]
    step = next(events)
    assert isinstance(step, StepDone)
    assert step.step == 2


def test_waiting_takes_nothing_of_a_budget_in_seconds(
    case: Case, quick_config: Config, batches: list[Batch], clock: SimpleNamespace
) -> None:
    session = session_of(case, config=quick_config, budget=Budget(seconds=10.0))
    events = session.run()
    until(events, StepDone)
    session.submit(Pause())
    assert next(events) == StageChanged(Stage.PAUSED)
    clock.now += 3600.0
    session.submit(Resume())
    step = until(events, StepDone)
    assert isinstance(step, StepDone)
    assert (step.seconds, step.progress) == (0.0, 0.0)


def test_the_model_can_be_had_while_training_goes_on_once_something_is_learnt(
    case: Case, quick_config: Config, batches: list[Batch]
) -> None:
    session = session_of(case, config=quick_config, steps=4)
    events = session.run()
    session.submit(ModelWanted())
    assert any("Nothing has been learnt yet" in event.text for event in (until(events, Notice) for _ in range(3)))
    until(events, Validated)
    session.submit(ModelWanted())
    ready = until(events, ModelReady)
    assert isinstance(ready, ModelReady)
    assert ready.model.annotated_slices == 2
    expected = session.students
    assert expected is not None
    assert are_same(ready.model.students.state_dict(), expected.state_dict())
    assert isinstance(list(events)[-1], Finished)


def test_a_paused_run_can_be_stopped(case: Case, quick_config: Config, batches: list[Batch]) -> None:
    session = session_of(case, config=quick_config)
    for message in (Pause(), Pause(), Stop()):
        session.submit(message)
    events = list(session.run())
    assert events.count(StageChanged(Stage.PAUSED)) == 1
    assert of_kind(events, StepDone) == []


def test_a_slice_painted_meanwhile_takes_part_from_the_next_step(
    case: Case, quick_config: Config, batches: list[Batch]
) -> None:
    painted = np.full((32, 32), IGNORE, dtype=np.uint8)
    painted[:3] = 1
    session = session_of(case, config=quick_config.with_values(labelled_batch=3))
    events = session.run()
    until(events, StepDone)
    session.submit(SliceAnnotated(LabelSlice(0, 9, painted)))
    annotated_before = session.cases[0].annotation.annotated
    until(events, StepDone)
    assert annotated_before == (4, 7)
    assert session.cases[0].annotation.annotated == (4, 7, 9)
    assert not (batches[0].labels == IGNORE).any()
    assert sum((labels == torch.from_numpy(painted)).all().item() for labels in batches[1].labels) == 1


def test_a_slice_painted_during_a_pause_takes_part_when_it_ends(
    case: Case, ball_labels: LabelArray, quick_config: Config, batches: list[Batch]
) -> None:
    session = session_of(case, config=quick_config.with_values(labelled_batch=3))
    for message in (Pause(), SliceAnnotated(LabelSlice(0, 9, ball_labels[9])), Resume()):
        session.submit(message)
    until(session.run(), StepDone)
    sizes = sorted(int(labels.sum()) for labels in batches[0].labels)
    assert sizes == sorted(int(ball_labels[index].sum()) for index in (4, 7, 9))


def test_a_slice_of_another_volume_goes_to_that_volume(
    case: Case, ball_labels: LabelArray, quick_config: Config, batches: list[Batch]
) -> None:
    session = session_of(case, case, config=quick_config)
    session.submit(SliceAnnotated(LabelSlice(0, 9, ball_labels[9]), case=1))
    list(session.run())
    assert [c.annotation.annotated for c in session.cases] == [(4, 7), (4, 7, 9)]


def test_held_out_slices_are_never_drawn(
    ball: Volume, ball_labels: LabelArray, quick_config: Config, batches: list[Batch]
) -> None:
    """The column of a single painted pixel tells the slices apart."""
    labels = np.zeros_like(ball_labels)
    for index in range(12):
        labels[index, 10, 10 + index] = 1
    session = session_of(Case(ball, Annotation.from_labels(labels, axis=0)), config=quick_config, steps=12)
    list(session.run())
    first_column = session.trainer.windows[0].start[1]
    drawn = {int((one == 1).nonzero()[0, 1]) + first_column - 10 for batch in batches for one in batch.labels}
    held_out = {index for _, index in session.trainer.selection.holdout}
    assert len(held_out) == 2
    assert drawn == set(range(12)) - held_out


def test_no_slice_changes_sides_when_more_are_painted(
    ball: Volume, ball_labels: LabelArray, quick_config: Config, batches: list[Batch]
) -> None:
    case = Case(ball, Annotation.from_labels(ball_labels, axis=0, indices=[2, 3, 4, 5, 6]))
    session = session_of(case, config=quick_config.with_values(holdout_every=3, holdout_minimum=5), steps=6)
    events = session.run()
    until(events, StepDone)
    before = session.trainer.selection.holdout
    for index in (7, 8, 9):
        session.submit(SliceAnnotated(LabelSlice(0, index, ball_labels[index])))
    list(events)
    assert len(before) == 1
    assert len(session.trainer.selection.holdout) == 2
    assert before < session.trainer.selection.holdout
    assert session.trainer.selection.holdout - before <= {SliceKey(0, 7), SliceKey(0, 8)}


def test_students_are_adopted_only_if_they_are_not_worse_on_the_held_out_slices(
    many: Case, quick_config: Config, holdout_scores: list[float]
) -> None:
    holdout_scores[:] = [0.5, 0.4, 0.5, 0.6]
    config = quick_config.with_values(validations=4, holdout_noise=0.0)
    session = session_of(many, config=config, steps=4)
    adopted, weights = [], []
    for event in session.run():
        if isinstance(event, Validated):
            adopted.append((event.dice, event.adopted))
            weights.append(session.model().students.unet.head.weight)
    assert adopted == [(0.5, True), (0.4, False), (0.5, True), (0.6, True)]
    assert torch.equal(weights[1], weights[0])
    assert not torch.equal(weights[2], weights[1])


def test_small_falls_of_the_score_count_as_noise_but_do_not_add_up(
    many: Case, quick_config: Config, batches: list[Batch], holdout_scores: list[float]
) -> None:
    """With one slice held out, 0.1 below the best score so far is the limit."""
    holdout_scores[:] = [0.5, 0.45, 0.41, 0.39]
    config = quick_config.with_values(validations=4, holdout_noise=0.1)
    events = list(session_of(many, config=config, steps=4).run())
    assert [event.adopted for event in of_kind(events, Validated)] == [True, True, True, False]


def test_without_a_holdout_the_latest_students_are_adopted_unmeasured(
    case: Case, quick_config: Config, batches: list[Batch]
) -> None:
    validated = of_kind(list(session_of(case, config=quick_config).run()), Validated)
    assert {(event.dice, event.adopted) for event in validated} == {(None, True)}


@pytest.mark.usefixtures("painters")
def test_the_score_is_the_dice_on_the_held_out_slices(
    many: Case, ball_labels: LabelArray, quick_config: Config
) -> None:
    session = session_of(many, config=quick_config)
    last = of_kind(list(session.run()), Validated)[-1]
    ((_, index),) = session.trainer.selection.holdout
    area = int(ball_labels[index].sum())
    assert last.dice == pytest.approx(2 * area / (area + 32 * 32))


@pytest.mark.usefixtures("painters")
def test_unlabelled_pixels_do_not_count_in_the_score(many: Case, ball_labels: LabelArray, quick_config: Config) -> None:
    """One half of the held-out slice is taken back."""
    session = session_of(many, config=quick_config)
    events = session.run()
    until(events, StepDone)
    ((_, index),) = session.trainer.selection.holdout
    labels = ball_labels[index].copy()
    labels[:, 16:] = IGNORE
    session.submit(SliceAnnotated(LabelSlice(0, index, labels)))
    last = of_kind(list(events), Validated)[-1]
    area = int(ball_labels[index, :, :16].sum())
    assert last.dice == pytest.approx(2 * area / (area + 32 * 16))


def test_when_memory_runs_out_the_batch_is_halved_with_a_notice(case: Case, quick_config: Config, steps: Steps) -> None:
    def run_out(_: Learner, batch: Batch) -> None:
        if len(batch.labelled) > 1:
            raise torch.OutOfMemoryError("out of memory")

    steps.happens = run_out
    config = quick_config.with_values(labelled_batch=4, unlabelled_batch=3)
    events = list(session_of(case, config=config, steps=2).run())
    sizes = [(len(batch.labelled), len(batch.unlabelled)) for batch in steps.batches]
    assert sizes == [(4, 3), (2, 1), (1, 1), (1, 1)]
    assert [event.step for event in of_kind(events, StepDone)] == [1, 2]
    assert [notice.text for notice in of_kind(events, Notice)[2:]] == [
        "Memory ran out; going on with 2 annotated and 1 unlabelled slices a step.",
        "Memory ran out; going on with 1 annotated and 1 unlabelled slices a step.",
    ]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), r"memory .* ran out.*--max-side-px"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), r"memory .* ran out.*--max-side-px"),
        (MemoryError(), r"memory .* ran out.*--max-side-px"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), r"shapes cannot be multiplied\. Train again\.$"),
    ],
    ids=["CUDA memory", "CPU memory", "Python memory", "any other"],
)
def test_no_runtime_error_leaves_a_session_and_only_one_of_memory_names_a_remedy(
    case: Case, quick_config: Config, steps: Steps, error: Exception, message: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    steps.happens = fail
    session = session_of(case, config=quick_config)
    with pytest.raises(TrainingError, match=f"Training failed at step 1.*{message}") as raised:
        list(session.run())
    assert raised.value.__cause__ is error
    assert session.students is not None


def test_an_error_while_networks_are_built_leaves_as_a_training_error(
    case: Case, quick_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **given: object) -> None:
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(trainer, "TrainingSlices", fail)
    with pytest.raises(TrainingError, match="no kernel image"):
        list(session_of(case, config=quick_config).run())


def test_without_an_annotated_slice_there_is_nothing_to_train(case: Case, quick_config: Config) -> None:
    empty = replace(case, annotation=replace(case.annotation, slices={}))
    with pytest.raises(InputError, match="No slice is annotated"):
        session_of(empty, config=quick_config)


def test_volumes_with_different_classes_are_refused(case: Case, quick_config: Config) -> None:
    other = replace(case, annotation=replace(case.annotation, classes=default_classes([1, 2])))
    with pytest.raises(InputError, match="different classes or along different axes"):
        session_of(case, other, config=quick_config)


@pytest.mark.usefixtures("painters")
def test_a_held_out_slice_may_be_taken_back_in_the_same_breath_as_a_stop(many: Case, quick_config: Config) -> None:
    session = session_of(many, config=quick_config)
    events = session.run()
    until(events, StepDone)
    ((_, index),) = session.trainer.selection.holdout
    session.submit(SliceAnnotated(LabelSlice(0, index, np.full((32, 32), IGNORE, np.uint8))))
    session.submit(Stop())
    assert of_kind(list(events), Finished)[-1].stopped


def test_a_slice_of_a_volume_that_is_not_there_is_reported_and_skipped(
    case: Case, quick_config: Config, batches: list[Batch]
) -> None:
    session = session_of(case, config=quick_config)
    session.submit(SliceAnnotated(case.annotation.slices[4], case=-1))
    events = list(session.run())
    assert "Volume -1 was annotated, but there are 1" in " ".join(notice.text for notice in of_kind(events, Notice))
    assert of_kind(events, Finished)[-1].steps == 4


def test_a_slice_painted_beyond_the_window_is_reported(
    quick_config: Config, ball: Volume, batches: list[Batch]
) -> None:
    labels = np.zeros((4, 80, 80), dtype=np.uint8)
    labels[1, 10:40, 10:40] = 1
    grid = Grid(labels.shape, ball.grid.affine)
    session = session_of(
        Case(Volume(labels, grid), Annotation.from_labels(labels, axis=0)),
        config=quick_config.with_values(margin=0.0, min_margin_px=0),
    )
    beyond = np.zeros((80, 80), dtype=np.uint8)
    beyond[60:70, 60:70] = 1
    session.submit(SliceAnnotated(LabelSlice(0, 2, beyond)))
    texts = [notice.text for notice in of_kind(list(session.run()), Notice)]
    assert any(text.startswith("Slice 3 is painted beyond the region") for text in texts)


def test_a_session_runs_only_once(case: Case, quick_config: Config, batches: list[Batch]) -> None:
    session = session_of(case, config=quick_config, steps=1)
    list(session.run())
    with pytest.raises(TrainingError, match="has run already"):
        list(session.run())
    assert session.model().steps == 1


def test_a_new_session_keeps_to_the_sides_the_slices_were_on(
    ball: Volume, ball_labels: LabelArray, quick_config: Config, batches: list[Batch]
) -> None:
    few = Case(ball, Annotation.from_labels(ball_labels, axis=0, indices=[2, 4, 6, 9]))
    first = session_of(few, config=quick_config)
    list(first.run())
    assert first.trainer.selection.trained == {SliceKey(0, index) for index in (2, 4, 6, 9)}
    more = Case(ball, Annotation.from_labels(ball_labels, axis=0, indices=[2, 4, 5, 6, 9]))
    again = session_of(
        more,
        config=quick_config.with_values(holdout_minimum=5),
        last=first.continuation(),
    )
    list(again.run())
    assert again.trainer.selection.holdout == {SliceKey(0, 5)}


def test_a_model_that_is_worse_than_the_one_started_from_is_not_adopted(
    many: Case, quick_config: Config, batches: list[Batch], holdout_scores: list[float]
) -> None:
    holdout_scores[:] = [0.9, 0.9]
    start = session_of(many, config=quick_config, steps=1)
    list(start.run())
    holdout_scores[:] = [0.9, 0.5, 0.5]
    again = session_of(many, config=learning_at_once(quick_config), steps=2, start_from=start.model())
    assert {event.adopted for event in of_kind(list(again.run()), Validated)} == {False}


def learning_at_once(config: Config) -> Config:
    """Let a model of other volumes learn from however few slices."""
    return config.with_values(adaptation_minimum=1)


def test_a_model_of_other_volumes_stays_as_it_is_where_few_slices_are_annotated(
    case: Case, quick_config: Config, batches: list[Batch]
) -> None:
    start = session_of(case, config=quick_config, steps=2)
    list(start.run())
    taught = len(batches)
    again = session_of(case, config=quick_config, steps=2, start_from=start.model())
    events = list(again.run())
    assert len(batches) == taught
    assert any("would forget more than it learns" in event.text for event in of_kind(events, Notice))
    assert of_kind(events, Finished)[-1].steps == 0
    assert again.predictor().volume().labels.shape == case.volume.shape


def test_whoever_watches_sees_a_model_that_stays_as_it_is_before_the_session_ends(
    case: Case, quick_config: Config, batches: list[Batch]
) -> None:
    start = session_of(case, config=quick_config, steps=1)
    list(start.run())
    again = session_of(case, config=quick_config, steps=2, start_from=start.model())
    again.submit(Watch(4))
    events = list(again.run())
    assert 4 in {one.index for ready in of_kind(events, PredictionReady) for one in ready.slices}
    assert not of_kind(events, StepDone)
    (finished,) = of_kind(events, Finished)
    assert (finished.steps, finished.stopped) == (0, False)


@pytest.mark.usefixtures("steps")
@pytest.mark.parametrize("goes_on", [False, True])
def test_the_error_of_students_is_a_held_out_one_on_slices_they_have_not_learnt_from(
    case: Case, quick_config: Config, goes_on: bool
) -> None:
    start = session_of(case, config=quick_config, steps=1)
    list(start.run())
    again = session_of(case, config=quick_config, steps=1, **left_by(start, goes_on=goes_on))
    again.submit(Watch(4))
    for event in again.run():
        if isinstance(event, PredictionReady):
            break
    weight = again.predictor().weight
    assert isinstance(weight, StudentWeight if goes_on else HeldOutWeight)


@pytest.mark.usefixtures("painters")
def test_a_model_of_other_volumes_is_not_validated_by_its_own_predictions(case: Case, quick_config: Config) -> None:
    start = session_of(case, config=quick_config, steps=1)
    list(start.run())
    slices = {4: case.annotation.slices[4]}
    slices |= {
        one.index: LabelSlice(0, one.index, one.labels, by_hand=False) for one in start.predictor().slices([2, 5, 7, 9])
    }
    accepted = replace(case, annotation=replace(case.annotation, slices=slices))
    errors = []
    for own in (accepted, replace(case, annotation=replace(case.annotation, slices={4: slices[4]}))):
        again = session_of(own, config=quick_config, steps=1, start_from=start.model())
        again.submit(Watch(3))
        next(event for event in again.run() if isinstance(event, PredictionReady))
        weight = again.predictor().weight
        assert isinstance(weight, HeldOutWeight)
        errors.append(weight.error)
    assert errors[0] == errors[1]


def left_by(start: TrainingSession, *, goes_on: bool) -> dict[str, Any]:
    """Return what the next session is given: the whole training to go on with, or a model of other volumes."""
    return {"last": start.continuation()} if goes_on else {"start_from": start.model()}


@pytest.mark.parametrize(("goes_on", "rate"), [(False, 1e-4), (True, 1e-3)])
def test_a_model_of_other_volumes_learns_more_slowly_than_one_of_this_volume(
    case: Case, quick_config: Config, goes_on: bool, rate: float
) -> None:
    config = learning_at_once(quick_config).with_values(learning_rate=1e-3, adaptation=0.1)
    start = session_of(case, config=config, steps=1)
    list(start.run())
    again = session_of(case, config=config, steps=1, **left_by(start, goes_on=goes_on))
    list(again.run())
    assert again.trainer.learner.config.training.learning_rate == pytest.approx(rate)


@pytest.mark.usefixtures("steps")
@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"width": 8}, "settings of the students"),
        ({"neighbours": False}, "neighbouring slices"),
        ({"shape_prior": True}, "shape prior"),
    ],
)
def test_a_model_of_another_kind_is_not_started_from(
    case: Case, quick_config: Config, changed: dict[str, Any], named: str
) -> None:
    session = session_of(case, config=quick_config, steps=1)
    list(session.run())
    with pytest.raises(InputError, match=named):
        session_of(case, config=quick_config.with_values(**changed), start_from=session.model())


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_held_out_slice_that_is_corrected_on_a_prediction_is_learnt_from(
    many: Case, quick_config: Config, batches: list[Batch], by_hand: bool
) -> None:
    session = session_of(many, config=quick_config)
    events = session.run()
    until(events, StepDone)
    (held_out,) = session.trainer.selection.holdout
    session.submit(SliceAnnotated(replace(many.annotation.slices[held_out.slice_index], by_hand=by_hand)))
    list(events)
    assert (held_out in session.trainer.selection.holdout) == by_hand
    assert (held_out in session.trainer.selection.trained) != by_hand


def test_slices_of_accepted_predictions_are_never_held_out(
    many: Case, quick_config: Config, batches: list[Batch]
) -> None:
    accepted = {index: replace(one, by_hand=False) for index, one in many.annotation.slices.items()}
    session = session_of(replace(many, annotation=replace(many.annotation, slices=accepted)), config=quick_config)
    list(session.run())
    assert session.trainer.selection.holdout == frozenset()
