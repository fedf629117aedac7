from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from knowsam import jobs
from knowsam.config import Config, PredictionConfig
from knowsam.data.annotation import IGNORE, Annotation, LabelArray, LabelSlice, default_classes
from knowsam.errors import InputError, TrainingError
from knowsam.inference.cpu_threads import CpuThreads
from knowsam.inference.metrics import dice_score
from knowsam.models.teachers import Teacher
from knowsam.training.events import Event, Finished, Stage, StageChanged, StepDone, Stop
from knowsam.training.schedule import Budget

if TYPE_CHECKING:
    from knowsam.data.case import Case
    from knowsam.data.volume import Volume
    from knowsam.training.session import TrainingSession

ALONE = Teacher("none")


def test_a_few_steps_segment_the_slices_that_were_not_painted_in_the_values_of_the_files(
    ball: Volume, ball_labels: LabelArray, tiny_config: Config
) -> None:
    annotation = Annotation.from_labels(7 * ball_labels, axis=0, indices=[4, 7])
    config = tiny_config.with_values(averaging=0.0, learning_rate=0.01)
    timer = jobs.PhaseTimer()
    result = jobs.segment(
        ball, annotation, budget=Budget(steps=25), config=config, teacher=ALONE, device="cpu", timer=timer
    )
    assert set(np.unique(result.labels)) == {0, 7}
    assert (result.labels[[4, 7]] == 7 * ball_labels[[4, 7]]).all()
    hidden = [3, 5, 6, 8]
    assert dice_score(result.labels[hidden], 7 * ball_labels[hidden], 7) > 0.8
    assert list(timer.seconds) == ["training", "prediction", "clean-up"]
    assert timer.seconds["training"] > 0

    again, prediction = jobs.predict(result.model, ball, device="cpu")
    assert (again == 7 * prediction.labels.astype(int)).all()
    assert dice_score(again[hidden], 7 * ball_labels[hidden], 7) > 0.8


def test_a_budget_of_zero_propagates_the_labels_without_training(ball: Volume, ball_labels: LabelArray) -> None:
    annotation = Annotation.from_labels(7 * ball_labels, axis=0, indices=[2, 9])
    timer = jobs.PhaseTimer()
    result = jobs.segment(ball, annotation, budget=Budget(seconds=0), device="cpu", timer=timer)
    assert result.model is None
    assert list(timer.seconds) == ["propagation", "clean-up"]
    assert set(np.unique(result.labels)) == {0, 7}
    assert dice_score(result.labels[3:9], 7 * ball_labels[3:9], 7) > 0.8


def test_without_training_threads_follow_what_other_programs_leave_free_too(
    ball: Volume, ball_labels: LabelArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[CpuThreads] = []
    monkeypatch.setattr(CpuThreads, "adapt", lambda threads: looks.append(threads))
    annotation = Annotation.from_labels(ball_labels, axis=0, indices=[2, 9])
    jobs.segment(ball, annotation, budget=Budget(seconds=0), device="cpu")
    assert looks


def test_the_pretrained_propagator_improves_on_what_is_propagated(ball: Volume, ball_labels: LabelArray) -> None:
    annotation = Annotation.from_labels(ball_labels, axis=0, indices=[2, 5, 9])
    dice = []
    for pretrained in (False, True):
        config = Config().with_values(pretrained=pretrained)
        result = jobs.segment(ball, annotation, budget=Budget(steps=0), config=config, device="cpu")
        dice.append(dice_score(result.labels[3:9], ball_labels[3:9], 1))
    assert dice[1] > dice[0]


@pytest.mark.parametrize("budget", [Budget(steps=0), Budget(steps=2)])
@pytest.mark.parametrize("beyond_ends", [True, False])
def test_where_structures_end_with_the_outermost_painted_slices_nothing_is_found_beyond(
    ball: Volume, ball_labels: LabelArray, tiny_config: Config, budget: Budget, beyond_ends: bool
) -> None:
    """The second class is painted in one of the three slices only."""
    labels = ball_labels.copy()
    labels[7, 16:] *= 2
    annotation = Annotation.from_labels(labels, axis=0, indices=[3, 5, 7])
    config = tiny_config.with_values(beyond_ends=beyond_ends, registration=False)
    result = jobs.segment(ball, annotation, budget=budget, config=config, teacher=ALONE, device="cpu")
    found = [set(np.flatnonzero((result.labels == value).any(axis=(1, 2)))) for value in (1, 2)]
    assert (found[0] <= set(range(3, 8))) is not beyond_ends
    assert (found[1] == {7}) is not beyond_ends


def test_without_training_what_it_needs_is_asked_for(ball: Volume, ball_labels: LabelArray) -> None:
    annotation = Annotation.from_labels(ball_labels, axis=0, indices=[4])
    with pytest.raises(TrainingError, match="at least two slices are needed that are painted completely"):
        jobs.segment(ball, annotation, budget=Budget(steps=0), device="cpu")
    finished = Annotation.from_labels(ball_labels, axis=0, indices=range(len(ball_labels)))
    with pytest.raises(TrainingError, match="slices are painted, so that none is left to segment"):
        jobs.segment(ball, finished, budget=Budget(seconds=0), device="cpu")
    structure_alone = np.full_like(ball_labels[4], IGNORE)
    structure_alone[15:17, 14:18] = 1
    slices = {index: LabelSlice(0, index, structure_alone) for index in range(len(ball_labels))}
    scribbled = Annotation(ball.shape, 0, default_classes([1]), slices)
    with pytest.raises(TrainingError, match="or scribbled with both structures and background"):
        jobs.segment(ball, scribbled, budget=Budget(seconds=0), device="cpu")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1j])
def test_an_image_of_what_are_no_numbers_is_refused_before_anything_is_computed(case: Case, value: complex) -> None:
    array = np.array(case.volume.array, dtype=np.result_type(value, np.float32))
    array[3, 5, 5] = value
    broken = replace(case.volume, array=array)
    with pytest.raises(InputError, match="numbers are needed"):
        jobs.segment(broken, case.annotation, budget=Budget(seconds=0))
    with pytest.raises(InputError, match="numbers are needed"):
        jobs.train([case, replace(case, volume=broken)], budget=Budget(steps=1))


@pytest.mark.parametrize("budget", [Budget(seconds=0), Budget(steps=1)])
def test_without_an_annotated_slice_one_is_asked_for(case: Case, budget: Budget) -> None:
    annotation = replace(case.annotation, slices={})
    with pytest.raises(InputError, match="No slice is annotated"):
        jobs.segment(case.volume, annotation, budget=budget)


def test_without_training_scribbles_are_completed_and_propagated(ball: Volume, ball_labels: LabelArray) -> None:
    annotation = Annotation(ball.shape, 0, default_classes([1]))
    for index in (4, 7):
        scribbles = np.full_like(ball_labels[index], IGNORE)
        scribbles[2], scribbles[15:17, 14:18] = 0, 1
        annotation = annotation.with_slice(LabelSlice(0, index, scribbles))
    found = jobs.segment(ball, annotation, budget=Budget(steps=0), device="cpu").labels
    for index in range(4, 8):
        assert dice_score(found[index], ball_labels[index], 1) > 0.9


def test_painted_slices_may_be_left_to_the_prediction(case: Case, tiny_config: Config) -> None:
    config = tiny_config.with_values(keep_annotations=False)
    result = jobs.segment(
        case.volume, case.annotation, budget=Budget(steps=1), config=config, teacher=ALONE, device="cpu"
    )
    assert (result.labels == result.prediction.labels).all()


def test_a_listener_hears_every_event_and_may_stop_the_session(case: Case, tiny_config: Config) -> None:
    events: list[Event] = []

    def listen(session: TrainingSession, event: Event) -> None:
        events.append(event)
        if isinstance(event, StepDone):
            session.submit(Stop())

    jobs.train([case], budget=Budget(steps=9), config=tiny_config, teacher=ALONE, device="cpu", listener=listen)
    assert events[0] == StageChanged(Stage.PREPARING)
    assert [event.step for event in events if isinstance(event, StepDone)] == [1]
    assert isinstance(events[-1], Finished)
    assert events[-1].stopped


def test_a_training_without_a_step_is_an_error(case: Case, tiny_config: Config) -> None:
    def stop_at_once(session: TrainingSession, _: Event) -> None:
        session.submit(Stop())

    with pytest.raises(TrainingError, match="before its first step"):
        jobs.train(
            [case], budget=Budget(steps=9), config=tiny_config, teacher=ALONE, device="cpu", listener=stop_at_once
        )


def test_clean_up_does_what_is_configured_and_no_more() -> None:
    indices = np.zeros((5, 7, 7), np.uint8)
    indices[1:4, 1:4, 1:4], indices[2, 2, 2], indices[4, 6, 6] = 1, 0, 1
    filled, alone = indices.copy(), indices.copy()
    filled[2, 2, 2], alone[4, 6, 6] = 1, 0
    assert (jobs.clean_up(indices, PredictionConfig()) == indices).all()
    assert (jobs.clean_up(indices, PredictionConfig(fill_holes=True)) == filled).all()
    assert (jobs.clean_up(indices, PredictionConfig(largest_component=True)) == alone).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_only_labelled_pixels_are_taken_from_the_annotation(case: Case, axis: int) -> None:
    annotation = replace(case.annotation, axis=axis, slices={})
    painted = np.full(annotation.plane_shape, IGNORE, np.uint8)
    painted[0, :2] = 1, 0
    annotation = annotation.with_slice(LabelSlice(axis, 3, painted))
    predicted = np.ones(annotation.shape, np.uint8)
    predicted.setflags(write=False)
    changed = np.argwhere(jobs.with_annotations(predicted, annotation) != predicted)
    assert changed.tolist() == [np.insert([0, 1], axis, 3).tolist()]


def test_the_time_of_a_phase_adds_up_even_if_it_fails() -> None:
    timer = jobs.PhaseTimer({"reading": 5.0})
    with pytest.raises(ValueError, match="broken"), timer.phase("reading"):
        raise ValueError("broken")
    assert timer.seconds["reading"] >= 5.0
    assert list(timer.seconds) == ["reading"]


def test_without_a_teacher_given_the_configured_one_is_taken(case: Case, tiny_config: Config) -> None:
    alone = jobs.train([case], budget=Budget(steps=1), config=tiny_config.with_values(variant="none"), device="cpu")
    assert alone.model().teacher == {}


def test_without_settings_given_those_of_the_model_to_start_from_are_taken(case: Case, tiny_config: Config) -> None:
    config = tiny_config.with_values(variant="none", shape_prior=False)
    model = jobs.train([case], budget=Budget(steps=1), config=config, device="cpu").model()
    assert jobs.train([case], budget=Budget(steps=1), start_from=model, device="cpu").config == config
