"""A model of other volumes in the window: what it predicts, and how what is painted there counts beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from knowsam import jobs
from knowsam.data.annotation import BACKGROUND_CLASS, Annotation, LabelArray, LabelClass, LabelSlice
from knowsam.data.case import Case
from knowsam.inference.ensemble import HeldOutWeight
from knowsam.models.students import StudentLogits, Students
from knowsam.training.application import ApplicationSession
from knowsam.training.events import (
    Applied,
    Event,
    PredictionReady,
    SliceAnnotated,
    Source,
    Stage,
    StageChanged,
    Stop,
    Watch,
)
from knowsam.training.trained_model import TrainedModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from knowsam.config import Config
    from knowsam.data.volume import Volume

BALL, SHELL = LabelClass(1, "ball", (1, 2, 3)), LabelClass(4, "shell", (4, 5, 6))


@pytest.fixture
def model(still_config: Config) -> TrainedModel:
    """Networks nobody has trained: what they see has nothing to do with the ball."""
    config = still_config.with_values(shape_prior=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        students = Students(3, config=config.students, prior=True)
    return TrainedModel(students.eval(), {}, config, (BACKGROUND_CLASS, BALL, SHELL), axis=0, pixel_mm=1.0, steps=1)


def unpainted(volume: Volume, *classes: LabelClass) -> Case:
    return Case(volume, Annotation(volume.shape, 0, (BACKGROUND_CLASS, *classes)))


def until_applied(events: Iterator[Event]) -> tuple[dict[int, LabelArray], Applied]:
    predicted: dict[int, LabelArray] = {}
    for event in events:
        if isinstance(event, PredictionReady):
            predicted |= {one.index: one.labels for one in event.slices}
        elif isinstance(event, Applied):
            return predicted, event
    raise AssertionError("It was never applied.")


def test_every_slice_is_predicted_as_the_command_line_does(model: TrainedModel, ball: Volume) -> None:
    session = ApplicationSession(model, unpainted(ball, BALL, SHELL), device="cpu")
    session.submit(Watch(5))
    events = session.run()
    assert next(events) == StageChanged(Stage.APPLYING)
    predicted, applied = until_applied(events)
    assert applied == Applied(stopped=False)
    _, expected = jobs.predict(model, ball, device="cpu")
    assert expected.labels.any()
    np.testing.assert_array_equal(np.stack([predicted[index] for index in range(12)]), expected.labels)


def test_a_model_that_finds_nothing_says_so(model: TrainedModel, ball: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    def background(_students: Students, images: torch.Tensor) -> StudentLogits:
        logits = torch.zeros(len(images), 3, *images.shape[-2:])
        logits[:, 0] = 9.0
        return StudentLogits(logits, logits, logits)

    monkeypatch.setattr(Students, "forward", background)
    session = ApplicationSession(model, unpainted(ball, BALL, SHELL), device="cpu")
    session.submit(Watch(5))
    predicted, applied = until_applied(session.run())
    assert not any(labels.any() for labels in predicted.values())
    assert applied == Applied(stopped=False, is_empty=True)


def test_classes_may_be_in_another_order_and_others_may_be_beside_them(model: TrainedModel, ball: Volume) -> None:
    other = LabelClass(9, "unknown to the model", (7, 8, 9))
    session = ApplicationSession(model, unpainted(ball, SHELL, other, BALL), device="cpu")
    session.submit(Watch(5))
    predicted, _ = until_applied(session.run())
    expected = jobs.predict(model, ball, device="cpu")[1].labels[5]
    np.testing.assert_array_equal(predicted[5], np.array([0, 3, 1])[expected])


def test_a_stop_ends_it_and_the_rest_stays_as_it_is(model: TrainedModel, ball: Volume) -> None:
    session = ApplicationSession(model, unpainted(ball, BALL, SHELL), device="cpu")
    session.submit(Watch(5))
    events = session.run()
    first = next(event for event in events if isinstance(event, PredictionReady))
    session.submit(Stop())
    assert list(events)[-1] == Applied(stopped=True, outdated=first.outdated)


def test_a_stop_while_a_slice_is_predicted_waits_for_that_slice(
    model: TrainedModel, ball: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = ApplicationSession(model, unpainted(ball, BALL, SHELL), device="cpu")
    forward = Students.forward

    def stopped_meanwhile(self: Students, images: torch.Tensor) -> object:
        session.submit(Stop())
        return forward(self, images)

    monkeypatch.setattr(Students, "forward", stopped_meanwhile)
    session.submit(Watch(5))
    assert list(session.run())[-1] == Applied(stopped=True, outdated=11)


def test_slices_painted_afterwards_count_beside_themselves_and_measure_the_model(
    model: TrainedModel, ball: Volume, case: Case
) -> None:
    session = ApplicationSession(model, unpainted(ball, BALL, SHELL), device="cpu")
    session.submit(Watch(5))
    events = session.run()
    until_applied(events)
    for index in (4, 7):
        session.submit(SliceAnnotated(case.annotation.slices[index]))
    after: dict[int, LabelArray] = {}
    for event in events:
        assert isinstance(event, PredictionReady)
        after |= {one.index: one.labels for one in event.slices}
        # Painted slices come last, since no prediction is seen in them, and do not count as outdated.
        if not event.outdated and {4, 7} <= after.keys():
            session.submit(Stop())
    assert event.shown.source is Source.ENSEMBLE
    for index in (4, 7):
        np.testing.assert_array_equal(after[index], case.annotation.slices[index].labels)
    assert session.display is not None
    assert isinstance(session.display.weight, HeldOutWeight)
    assert session.display.weight.error > 0.5


@pytest.mark.parametrize("painted_before", [(), (4, 7)])
def test_labels_are_propagated_in_the_region_of_what_the_model_found_and_what_is_painted(
    model: TrainedModel, ball: Volume, case: Case, monkeypatch: pytest.MonkeyPatch, painted_before: tuple[int, ...]
) -> None:
    """The model finds something in one corner of the slices, and nothing anywhere else."""

    def corner(students: Students, images: torch.Tensor) -> StudentLogits:
        logits = torch.zeros(len(images), 3, *images.shape[-2:])
        logits[:, 0] = 9.0
        logits[:, 1, :3, :3] = 99.0
        return StudentLogits(logits, logits, logits)

    monkeypatch.setattr(Students, "forward", corner)
    # Planes come in steps of 16 px, and no smaller than 32.
    config = model.config.with_values(margin=0.0, min_margin_px=1)
    fine = replace(model, pixel_mm=0.25, config=config)
    annotation = case.annotation.with_classes(model.classes)
    begun = Annotation(ball.shape, 0, model.classes)
    for index in painted_before:
        begun = begun.with_slice(annotation.slices[index])
    session = ApplicationSession(fine, Case(ball, begun), device="cpu")
    session.submit(Watch(5))
    events = session.run()
    until_applied(events)
    assert session.display is not None
    whole = session.display.volumes.slices[0].window
    for index in (4, 7):
        session.submit(SliceAnnotated(annotation.slices[index]))
    for event in events:
        if isinstance(event, PredictionReady) and not event.outdated:
            session.submit(Stop())
    region = session.display.volumes.slices[0].window
    structures = np.logical_or.reduce([annotation.slices[index].structures for index in (4, 7)])
    # Where slices are painted already, a model that contradicts them has no weight.
    structures[0, 0] = not painted_before
    assert not region.leaves_out(structures)
    assert np.prod(region.extent) < np.prod(whole.extent)


def test_while_a_model_is_being_applied_nothing_is_cut_off_by_what_is_painted(
    model: TrainedModel, ball: Volume, case: Case
) -> None:
    fine = replace(model, pixel_mm=0.25, config=model.config.with_values(margin=0.0, min_margin_px=1))
    session = ApplicationSession(fine, unpainted(ball, BALL, SHELL), device="cpu")
    session.submit(Watch(5))
    events = session.run()
    next(event for event in events if isinstance(event, PredictionReady))
    assert session.display is not None
    whole = session.display.volumes.slices[0].window
    for index in (4, 7):
        session.submit(SliceAnnotated(case.annotation.with_classes(model.classes).slices[index]))
    until_applied(events)
    assert session.display.volumes.propagations[0] is not None
    assert session.display.volumes.slices[0].window == whole


def test_a_model_that_contradicts_what_is_painted_counts_little(model: TrainedModel, case: Case) -> None:
    annotation = case.annotation.with_classes(model.classes)
    session = ApplicationSession(model, Case(case.volume, annotation), device="cpu")
    session.submit(Watch(5))
    until_applied(session.run())
    shown = session.display
    assert shown is not None
    assert isinstance(shown.weight, HeldOutWeight)
    assert shown.weight.error > 0.5
    assert shown.dice == pytest.approx(1 - shown.weight.error)


def test_a_model_is_validated_by_an_outermost_slice_where_those_between_show_background_only(
    model: TrainedModel, case: Case
) -> None:
    slices = {i: LabelSlice(0, i, np.zeros((32, 32), np.uint8)) for i in (0, 2)} | {7: case.annotation.slices[7]}
    annotation = Annotation(case.volume.shape, 0, model.classes, slices)
    session = ApplicationSession(model, Case(case.volume, annotation), device="cpu")
    session.submit(Watch(5))
    until_applied(session.run())
    assert session.display is not None
    assert isinstance(session.display.weight, HeldOutWeight)
    assert session.display.weight.error > 0.5
