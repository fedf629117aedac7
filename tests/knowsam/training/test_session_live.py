"""A session somebody looks at: predictions as they come, obedience at once, and classes and regions that change."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sessions import of_kind, session_of, until

from knowsam.data.annotation import BACKGROUND_CLASS, IGNORE, Annotation, LabelArray, LabelClass, LabelSlice
from knowsam.data.case import Case
from knowsam.data.volume import Grid, Volume
from knowsam.inference.predictor import Predictor, SlicePrediction
from knowsam.models.students import Fusion
from knowsam.training import session as session_module
from knowsam.training.events import (
    ClassesChanged,
    Event,
    Finished,
    Message,
    Notice,
    Pause,
    PredictedSlice,
    PredictionReady,
    Resume,
    Shown,
    SliceAnnotated,
    Source,
    Stage,
    StageChanged,
    StepDone,
    Stop,
    Validated,
    Watch,
)
from knowsam.training.learner import Learner
from knowsam.training.propagation_session import PropagationSession

if TYPE_CHECKING:
    from torch import Tensor

    from knowsam.config import Config
    from knowsam.training.batch import Batch
    from knowsam.training.session import TrainingSession
    from knowsam.training.step import StepLosses

BALL, CYST = LabelClass(1, "ball", (1, 2, 3)), LabelClass(2, "cyst", (4, 5, 6))
PAUSED, TRAINING = StageChanged(Stage.PAUSED), StageChanged(Stage.TRAINING)


@pytest.fixture
def quick_config(still_config: Config) -> Config:
    """Students alone; but for the first and the last, no validation within fewer than a hundred steps."""
    return still_config.with_values(variant="none", shape_prior=False, validations=1)


@pytest.fixture
def wide(ball: Volume) -> Case:
    """Four slices of 80 x 80, of which the corner of one is painted."""
    labels = np.zeros((4, 80, 80), np.uint8)
    labels[1, 10:40, 10:40] = 1
    return Case(Volume(labels, Grid(labels.shape, ball.grid.affine)), Annotation.from_labels(labels, axis=0))


@pytest.fixture
def beyond() -> LabelSlice:
    """The opposite corner of another slice of it, painted in part."""
    labels = np.full((80, 80), IGNORE, np.uint8)
    labels[60:70, 60:70] = 1
    return LabelSlice(0, 2, labels)


def tight(config: Config) -> Config:
    """Without a margin round what is painted."""
    return config.with_values(margin=0.0, min_margin_px=0)


def submit_all(session: TrainingSession, *messages: Message) -> None:
    for message in messages:
        session.submit(message)


def shown(events: list[Event]) -> list[int]:
    return [predicted.index for ready in of_kind(events, PredictionReady) for predicted in ready.slices]


def during_first_call(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, act: Callable[[], None]) -> None:
    """Let something happen at the beginning of the first call of a method."""
    method, left = getattr(owner, name), [act]

    def watched(*args: Any, **given: Any) -> Any:
        if left:
            left.pop()()
        return method(*args, **given)

    monkeypatch.setattr(owner, name, watched)


def during_first_way_back(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Let something happen when the first gradient reaches the fused logits."""
    forward, left = Fusion.forward, [act]

    def hooked(self: Fusion, unet: Tensor, vnet: Tensor) -> Tensor:
        fused = forward(self, unet, vnet)
        if fused.requires_grad:
            fused.register_hook(lambda _: left.pop()() if left else None)
        return fused

    monkeypatch.setattr(Fusion, "forward", hooked)


def test_without_a_watcher_no_prediction_is_sent(case: Case, quick_config: Config, batches: list[Batch]) -> None:
    events = list(session_of(case, config=quick_config).run())
    assert of_kind(events, PredictionReady) == []
    assert of_kind(events, Finished)[0].outdated == 0


def test_the_watched_slice_is_shown_alone_right_after_the_first_step(
    case: Case, quick_config: Config, batches: list[Batch]
) -> None:
    session = session_of(case, config=quick_config)
    session.submit(Watch(5))
    events = session.run()
    until(events, StepDone)
    assert next(events) == Validated(1, None, adopted=True, shown=Shown(Source.STUDENTS, 1.0))
    ready = next(events)
    assert isinstance(ready, PredictionReady)
    assert ([predicted.index for predicted in ready.slices], ready.outdated) == ([5], 11)


def test_new_students_that_are_shown_alone_are_not_shown_before_they_know_anything(
    case: Case, quick_config: Config, batches: list[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "_FEWEST_STEPS", 3)
    session = session_of(case, config=quick_config)
    session.submit(Watch(5))
    before = of_kind(list(takewhile(lambda event: not isinstance(event, PredictionReady), session.run())), StepDone)
    assert [event.step for event in before] == [1, 2, 3]


def followed(session: TrainingSession, watch: Watch) -> list[PredictionReady]:
    """Return what the propagation that follows a training shows until every slice is up to date."""
    after = PropagationSession(session.cases[0], session.config, display=session.display)
    after.submit(watch)
    sent = []
    for event in after.run():
        assert isinstance(event, PredictionReady)
        sent.append(event)
        if not event.outdated:
            after.submit(Stop())
    return sent


def test_after_the_end_the_neighbours_follow_the_watched_slice_until_all_is_up_to_date(
    case: Case, quick_config: Config, batches: list[Batch]
) -> None:
    session = session_of(case, config=quick_config)
    session.submit(Watch(5))
    finished = until(session.run(), Finished)
    rest = followed(session, Watch(5))
    waiting = [ready.outdated for ready in rest]
    assert finished.outdated == len(shown(rest))
    assert shown(rest)[:5] == [5, 4, 6, 3, 7]
    assert sorted(shown(rest)) == list(range(12))
    assert all(later < sooner for sooner, later in pairwise(waiting))
    assert waiting[-1] == 0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_what_was_shown_last_is_what_the_predictor_says(
    ball: Volume, ball_labels: LabelArray, quick_config: Config, axis: int
) -> None:
    case = Case(ball, Annotation.from_labels(ball_labels, axis=axis))
    session = session_of(case, config=quick_config, steps=2)
    session.submit(Watch(3))
    latest: dict[int, PredictedSlice] = {}
    for event in (*session.run(), *followed(session, Watch(3))):
        if isinstance(event, PredictionReady):
            latest |= {predicted.index: predicted for predicted in event.slices}
    count = ball.shape[axis]
    assert sorted(latest) == list(range(count))
    for prediction in session.predictor().slices(range(count)):
        np.testing.assert_array_equal(latest[prediction.index].labels, prediction.labels)
        np.testing.assert_allclose(
            latest[prediction.index].uncertainty_percent, 100 * prediction.error_probability, atol=0.6
        )


def test_a_slice_turned_to_is_shown_after_the_next_step(case: Case, quick_config: Config, batches: list[Batch]) -> None:
    session = session_of(case, config=quick_config, steps=100)
    session.submit(Watch(5))
    events = session.run()
    until(events, PredictionReady)
    session.submit(Watch(11))
    assert 11 in [predicted.index for predicted in until(events, PredictionReady).slices]


def test_nothing_is_shown_any_more_when_nobody_watches(case: Case, quick_config: Config, batches: list[Batch]) -> None:
    session = session_of(case, config=quick_config)
    session.submit(Watch(5))
    events = session.run()
    until(events, PredictionReady)
    session.submit(Watch(None))
    assert of_kind(list(events), PredictionReady) == []


def test_the_other_volume_is_shown_when_it_is_turned_to(case: Case, quick_config: Config, batches: list[Batch]) -> None:
    session = session_of(case, case, config=quick_config)
    session.submit(Watch(5))
    events = session.run()
    until(events, PredictionReady)
    session.submit(Watch(0, case=1))
    rest = [*of_kind(list(events), PredictionReady), *followed(session, Watch(0, case=1))]
    assert {ready.case for ready in rest} == {1}
    assert {predicted.index for ready in rest for predicted in ready.slices} == set(range(12))


def test_a_slice_turned_to_in_a_pause_is_shown_in_the_pause(
    case: Case, quick_config: Config, batches: list[Batch]
) -> None:
    session = session_of(case, config=quick_config)
    session.submit(Watch(5))
    events = session.run()
    until(events, PredictionReady)
    submit_all(session, Pause(), Watch(11))
    assert until(events, StageChanged) == PAUSED
    assert shown([next(events)]) == [11]
    assert len(batches) == 1


def test_a_slice_turned_to_just_before_a_pause_is_shown_in_the_pause(
    case: Case, quick_config: Config, batches: list[Batch]
) -> None:
    session = session_of(case, config=quick_config)
    session.submit(Watch(5))
    events = session.run()
    until(events, PredictionReady)
    submit_all(session, Watch(11), Pause())
    after: list[Event] = []
    waiting = threading.Thread(target=lambda: after.extend(next(events) for _ in range(2)), daemon=True)
    waiting.start()
    waiting.join(timeout=0.5)
    session.submit(Stop())
    waiting.join(timeout=10)
    assert after[0] == PAUSED or shown(after[:1]) == [11]
    assert shown(after) == [11]


@pytest.mark.parametrize("watch", [Watch(-5), Watch(99), Watch(3, case=7), Watch(3, case=-1), Watch(None, case=7)])
def test_to_watch_what_is_not_there_does_no_harm(
    case: Case, quick_config: Config, batches: list[Batch], watch: Watch
) -> None:
    session = session_of(case, config=quick_config)
    session.submit(watch)
    assert list(session.run())[-1].steps == 4  # type: ignore[union-attr]


@pytest.mark.parametrize("watched_from", [1, 2])
def test_students_that_have_learnt_nothing_are_never_shown(
    case: Case, quick_config: Config, batches: list[Batch], watched_from: int
) -> None:
    session = session_of(case, config=quick_config, steps=100)
    events = session.run()
    seen: list[Event] = []
    for event in events:
        seen.append(event)
        if isinstance(event, StepDone) and event.step == watched_from:
            session.submit(Watch(5))
        if isinstance(event, PredictionReady):
            break
    assert len(of_kind(seen, Validated)) == 1


def test_a_model_that_is_gone_on_with_is_shown_before_the_first_step(
    case: Case, quick_config: Config, batches: list[Batch]
) -> None:
    first = session_of(case, config=quick_config, steps=1)
    list(first.run())
    again = session_of(case, config=quick_config, last=first.continuation())
    again.submit(Watch(5))
    kinds = [type(event) for event in again.run()]
    assert kinds.index(PredictionReady) < kinds.index(StepDone)


@pytest.mark.usefixtures("small_sam")
def test_watching_does_not_change_the_model(many: Case, tiny_config: Config) -> None:
    def losses(*messages: Message) -> list[StepLosses]:
        session = session_of(many, config=tiny_config.with_values(validations=2), steps=3)
        submit_all(session, *messages)
        return [event.losses for event in session.run() if isinstance(event, StepDone)]

    assert losses(Watch(5)) == losses()


@pytest.mark.parametrize("way", ["forward", "back"])
@pytest.mark.parametrize("variant", ["none", "compact"])
@pytest.mark.usefixtures("small_sam")
def test_a_pause_breaks_a_step_off_and_it_is_taken_afterwards(
    case: Case, still_config: Config, monkeypatch: pytest.MonkeyPatch, way: str, variant: str
) -> None:
    session = session_of(case, config=still_config.with_values(variant=variant), steps=2)
    if way == "forward":
        during_first_call(monkeypatch, Fusion, "forward", lambda: session.submit(Pause()))
    else:
        during_first_way_back(monkeypatch, lambda: session.submit(Pause()))
    events = session.run()
    seen = []
    for event in events:
        seen.append(event)
        if event == PAUSED:
            session.submit(Resume())
    assert seen.index(PAUSED) < seen.index(of_kind(seen, StepDone)[0])
    assert [event.step for event in of_kind(seen, StepDone)] == [1, 2]
    assert not of_kind(seen, Finished)[0].stopped


@pytest.mark.parametrize("way", ["forward", "back"])
def test_a_stop_breaks_a_step_off_and_it_does_not_count(
    case: Case, quick_config: Config, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    session = session_of(case, config=quick_config, steps=1000)
    if way == "forward":
        during_first_call(monkeypatch, Fusion, "forward", lambda: session.submit(Stop()))
    else:
        during_first_way_back(monkeypatch, lambda: session.submit(Stop()))
    events = list(session.run())
    assert of_kind(events, StepDone) == []
    assert (events[-1].steps, events[-1].stopped) == (0, True)  # type: ignore[union-attr]


def test_a_correction_breaks_off_a_step_but_not_the_one_after_it(
    case: Case, still_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody paints in each step; after the first one, every second step is finished."""
    session = session_of(case, config=still_config.with_values(variant="none", mixing=False), steps=6)
    painted = np.pad(np.ones((8, 8), np.uint8), 12)
    forward, begun = Fusion.forward, list[tuple[int, ...]]()

    def painting(self: Fusion, unet: Tensor, vnet: Tensor) -> Tensor:
        if unet.requires_grad:
            begun.append(tuple(unet.shape))
            session.submit(SliceAnnotated(LabelSlice(0, 4, np.roll(painted, len(begun), axis=0))))
        return forward(self, unet, vnet)

    monkeypatch.setattr(Fusion, "forward", painting)
    events = list(session.run())
    assert [event.step for event in events if isinstance(event, StepDone)] == [1, 2, 3, 4, 5, 6]
    assert len(begun) == 1 + 2 * 5
    np.testing.assert_array_equal(session.cases[0].annotation.slices[4].labels, np.roll(painted, len(begun), axis=0))


def test_after_a_pause_training_is_reported_to_go_on_even_before_its_first_step(
    case: Case, quick_config: Config, batches: list[Batch]
) -> None:
    session = session_of(case, config=quick_config)
    events = session.run()
    assert any(event == TRAINING for event in events)
    submit_all(session, Pause(), Resume())
    assert [next(events), next(events)] == [PAUSED, TRAINING]


def test_a_stop_while_networks_are_built_takes_no_step(
    case: Case, quick_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_of(case, config=quick_config)
    session.submit(Watch(5))
    during_first_call(monkeypatch, Learner, "__init__", lambda: session.submit(Stop()))
    assert [type(event) for event in session.run()] == [StageChanged, Finished]


def test_a_pause_while_networks_are_built_only_delays_the_training(
    case: Case, quick_config: Config, batches: list[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_of(case, config=quick_config)
    during_first_call(monkeypatch, Learner, "__init__", lambda: submit_all(session, Pause(), Watch(5), Resume()))
    events = list(session.run())
    assert events[:3] == [StageChanged(Stage.PREPARING), PAUSED, StageChanged(Stage.PREPARING)]
    assert [event.step for event in of_kind(events, StepDone)] == [1, 2, 3, 4]
    assert shown(events)[0] == 5


def hold_validations(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Let something happen while the first held-out slice is predicted."""
    slices, left = Predictor.slices, [act]

    def held(self: Predictor, indices: list[int]) -> Iterator[SlicePrediction]:
        for prediction in slices(self, indices):
            if left:
                left.pop()()
            yield prediction

    monkeypatch.setattr(Predictor, "slices", held)


def test_a_pause_breaks_a_validation_off_and_training_goes_on_afterwards(
    many: Case, quick_config: Config, batches: list[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_of(many, config=quick_config.with_values(validations=2))
    hold_validations(monkeypatch, lambda: submit_all(session, Pause(), Resume()))
    events = list(session.run())
    assert [event.step for event in of_kind(events, StepDone)] == [1, 2, 3, 4]
    assert [event.step for event in of_kind(events, Validated)] == [3, 4]
    assert events.count(PAUSED) == 1


def test_a_pause_in_the_last_validation_does_not_lose_the_model(
    many: Case, quick_config: Config, batches: list[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_of(many, config=quick_config)
    hold_validations(monkeypatch, lambda: submit_all(session, Pause(), Resume()))
    assert [event.step for event in of_kind(list(session.run()), Validated)] == [4]


@pytest.mark.parametrize("message", [Pause(), Stop()])
def test_a_message_at_the_last_step_does_not_lose_the_model(
    many: Case, quick_config: Config, batches: list[Batch], message: Message
) -> None:
    session = session_of(many, config=quick_config)
    validated = []
    for event in session.run():
        if isinstance(event, StepDone) and event.step == 4:
            submit_all(session, message, Resume())
        if isinstance(event, Validated):
            validated.append(event.step)
    assert validated == [4]


@pytest.mark.parametrize("stops", [1, 2])
def test_a_stop_in_a_pause_keeps_the_model(many: Case, quick_config: Config, batches: list[Batch], stops: int) -> None:
    session = session_of(many, config=quick_config)
    events = session.run()
    until(events, StepDone)
    session.submit(Pause())
    assert next(events) == PAUSED
    submit_all(session, *[Stop()] * stops)
    assert [event.step for event in of_kind(list(events), Validated)] == [1]


def test_a_stop_makes_nobody_wait_for_predictions_and_says_how_many_are_older(
    case: Case, quick_config: Config, batches: list[Batch]
) -> None:
    session = session_of(case, config=quick_config, steps=1000)
    session.submit(Watch(5))
    events = session.run()
    until(events, PredictionReady)
    session.submit(Stop())
    rest = list(events)
    assert of_kind(rest, StepDone) == of_kind(rest, PredictionReady) == []
    assert rest[-1] == Finished(1, rest[-1].seconds, stopped=True, outdated=12)  # type: ignore[union-attr]
    assert set(shown(followed(session, Watch(5)))) == set(range(12))


def test_a_new_name_is_taken_over_and_nothing_rebuilt(case: Case, quick_config: Config, batches: list[Batch]) -> None:
    session = session_of(case, config=quick_config, steps=3)
    session.submit(Watch(5))
    events = session.run()
    until(events, PredictionReady)
    students = session.students
    renamed = (BACKGROUND_CLASS, LabelClass(1, "tumour", (9, 9, 9)))
    session.submit(ClassesChanged(renamed))
    list(events)
    assert session.students is students
    assert session.model().classes == session.cases[0].annotation.classes == renamed
    assert followed(session, Watch(5))[-1].classes == renamed


def test_a_class_can_be_added_and_painted_in_the_same_breath(case: Case, quick_config: Config) -> None:
    painted = np.zeros((32, 32), np.uint8)
    painted[:8] = 2
    session = session_of(case, config=quick_config, steps=3)
    session.submit(Watch(5))
    events = session.run()
    until(events, StepDone)
    classes = (BACKGROUND_CLASS, BALL, CYST)
    submit_all(session, ClassesChanged(classes), SliceAnnotated(LabelSlice(0, 9, painted)))
    rest = list(events)
    assert of_kind(rest, Notice) == []
    assert [event.step for event in of_kind(rest, StepDone)] == [2, 3]
    assert session.trainer.classes == session.model().classes == classes
    assert session.cases[0].annotation.annotated == (4, 7, 9)
    assert followed(session, Watch(5))[-1].classes == classes
    assert next(session.predictor().slices([5])).probabilities.shape == (3, 32, 32)


def test_labels_of_a_new_class_reach_the_next_step(case: Case, quick_config: Config, batches: list[Batch]) -> None:
    painted = np.full((32, 32), 2, np.uint8)
    session = session_of(case, config=quick_config.with_values(labelled_batch=3))
    events = session.run()
    until(events, StepDone)
    submit_all(session, ClassesChanged((BACKGROUND_CLASS, BALL, CYST)), SliceAnnotated(LabelSlice(0, 9, painted)))
    until(events, StepDone)
    assert batches[0].labels.unique().tolist() == [0, 1]
    assert batches[1].labels.unique().tolist() == [0, 1, 2]


@pytest.mark.usefixtures("painters")
def test_adding_a_class_leaves_what_is_seen_as_it_was(case: Case, quick_config: Config) -> None:
    session = session_of(case, config=quick_config, steps=100)
    session.submit(Watch(5))
    events = session.run()
    before = until(events, PredictionReady).slices[0]
    session.submit(ClassesChanged((BACKGROUND_CLASS, BALL, CYST)))
    after = next(ready for ready in events if shown([ready])[:1] == [5])
    assert isinstance(after, PredictionReady)
    assert len(after.classes) == 3
    assert before.labels.all()
    np.testing.assert_array_equal(after.slices[0].labels, before.labels)


def test_a_class_that_is_removed_leaves_the_labels_and_what_was_partly_painted_becomes_unlabelled(
    ball: Volume, ball_labels: LabelArray, quick_config: Config, batches: list[Batch]
) -> None:
    classes = (BACKGROUND_CLASS, BALL, CYST)
    partly = np.full((32, 32), IGNORE, np.uint8)
    partly[0], partly[1], partly[2] = 0, 1, 2
    complete = ball_labels[4] * 2
    slices = {4: LabelSlice(0, 4, complete), 6: LabelSlice(0, 6, partly)}
    session = session_of(
        Case(ball, Annotation(ball.shape, 0, classes, slices)), config=quick_config.with_values(labelled_batch=2)
    )
    events = session.run()
    until(events, StepDone)
    session.submit(ClassesChanged((BACKGROUND_CLASS, CYST)))
    until(events, StepDone)
    kept = session.cases[0].annotation.slices
    np.testing.assert_array_equal(kept[4].labels, complete // 2)
    assert [row[0] for row in kept[6].labels[:4].tolist()] == [0, IGNORE, 1, IGNORE]
    assert sorted(batches[1].labels.unique().tolist()) == [0, 1, IGNORE]


def test_training_goes_on_when_a_class_is_removed(ball: Volume, ball_labels: LabelArray, quick_config: Config) -> None:
    labels = ball_labels.copy()
    labels[:, :16] *= 2
    session = session_of(Case(ball, Annotation.from_labels(labels, axis=0)), config=quick_config, steps=3)
    events = session.run()
    until(events, StepDone)
    session.submit(ClassesChanged(session.cases[0].annotation.classes[:2]))
    assert until(iter(list(events)), Finished).steps == 3
    assert session.model().students.unet.head.out_channels == 2


@pytest.mark.usefixtures("small_sam")
def test_a_teacher_goes_on_with_other_classes(case: Case, still_config: Config) -> None:
    session = session_of(case, config=still_config, steps=3)
    events = session.run()
    until(events, StepDone)
    session.submit(ClassesChanged((BACKGROUND_CLASS, BALL, CYST)))
    assert until(iter(list(events)), Finished).steps == 3
    heads = {name.split(".")[2] for name in session.model().teacher if name.startswith("prompt_heads.")}
    assert heads == {"1", "2"}


@pytest.mark.usefixtures("painters")
def test_the_region_grows_with_what_is_painted(wide: Case, quick_config: Config, beyond: LabelSlice) -> None:
    session = session_of(wide, config=tight(quick_config), steps=3)
    session.submit(Watch(1))
    events = session.run()
    until(events, PredictionReady)
    painted = beyond.labels == 1
    assert session.trainer.windows[0].leaves_out(painted)
    assert next(session.predictor().slices([2])).labels[60:70, 60:70].sum() == 0
    session.submit(SliceAnnotated(beyond))
    rest = list(events)
    assert [notice.text for notice in of_kind(rest, Notice)] == [
        "Slice 3 is painted beyond the region that was trained on; the region grows."
    ]
    assert [event.step for event in of_kind(rest, StepDone)] == [2, 3]
    assert not session.trainer.windows[0].leaves_out(painted | (wide.annotation.slices[1].labels == 1))
    assert next(session.predictor().slices([2])).labels[60:70, 60:70].all()
    assert set(shown(followed(session, Watch(1)))) == {0, 1, 2, 3}


def test_in_the_grown_region_all_slices_are_drawn_with_all_their_labels(
    wide: Case, quick_config: Config, batches: list[Batch], beyond: LabelSlice
) -> None:
    config = tight(quick_config).with_values(labelled_batch=2, unlabelled_batch=2, max_side_px=64)
    session = session_of(wide, config=config)
    events = session.run()
    until(events, StepDone)
    session.submit(SliceAnnotated(beyond))
    until(events, StepDone)
    assert session.trainer.selection.trained == {(0, 1), (0, 2)}
    assert batches[0].labels.shape[1:] == (32, 32)
    assert batches[1].labels.shape[1:] == batches[1].unlabelled.shape[2:] == session.trainer.windows[0].plane
    assert sorted(int((labels == 1).sum()) for labels in batches[1].labels) == [10 * 10, 30 * 30]


@pytest.mark.usefixtures("steps")
@pytest.mark.parametrize("last", [StepDone, Validated])
def test_a_slice_painted_after_the_last_step_belongs_into_the_mask(
    case: Case, quick_config: Config, last: type[Event]
) -> None:
    session = session_of(case, config=quick_config, steps=1)
    events = session.run()
    until(events, last)
    painted = LabelSlice(0, 9, np.zeros((32, 32), np.uint8))
    session.submit(SliceAnnotated(painted))
    list(events)
    assert session.cases[0].annotation.slices[9] is painted


@pytest.mark.parametrize(("max_side_px", "pixel_mm"), [(512, 1.0), (32, 60 / 32)])
def test_pixels_grow_coarser_with_the_region_but_never_finer(
    wide: Case, quick_config: Config, batches: list[Batch], beyond: LabelSlice, max_side_px: int, pixel_mm: float
) -> None:
    session = session_of(wide, config=tight(quick_config).with_values(max_side_px=max_side_px))
    events = session.run()
    until(events, StepDone)
    before = session.trainer.pixel_mm
    session.submit(SliceAnnotated(beyond))
    list(events)
    assert before == 1.0
    assert session.trainer.pixel_mm == session.model().pixel_mm == pytest.approx(pixel_mm)
    assert not session.trainer.windows[0].leaves_out(beyond.labels == 1)


@pytest.mark.usefixtures("small_sam")
def test_a_teacher_goes_on_in_a_grown_region(wide: Case, still_config: Config, beyond: LabelSlice) -> None:
    session = session_of(wide, config=tight(still_config).with_values(max_side_px=64), steps=2)
    events = session.run()
    until(events, StepDone)
    session.submit(SliceAnnotated(beyond))
    assert until(iter(list(events)), Finished).steps == 2


def test_a_score_in_the_old_region_is_not_compared_with_one_in_the_grown_region(
    wide: Case, quick_config: Config, batches: list[Batch], beyond: LabelSlice, holdout_scores: list[float]
) -> None:
    holdout_scores[:] = [0.9, 0.1, 0.1]
    config = tight(quick_config).with_values(validations=2, holdout_minimum=3, holdout_every=3)
    annotation = wide.annotation
    for index in (0, 3):
        annotation = annotation.with_slice(LabelSlice(0, index, annotation.slices[1].labels))
    session = session_of(Case(wide.volume, annotation), config=config)
    events = session.run()
    until(events, Validated)
    session.submit(SliceAnnotated(beyond))
    assert session.trainer.selection.holdout == {(0, 1)}
    assert until(events, Validated).adopted


def test_a_region_grows_in_spite_of_a_second_pause(
    wide: Case, quick_config: Config, batches: list[Batch], beyond: LabelSlice
) -> None:
    session = session_of(wide, config=tight(quick_config))
    events = session.run()
    until(events, StepDone)
    session.submit(Pause())
    assert next(events) == PAUSED
    submit_all(session, SliceAnnotated(beyond), Pause(), Resume())
    assert until(events, Finished).steps == 4
    assert not session.trainer.windows[0].leaves_out(beyond.labels == 1)


def test_a_region_that_is_growing_can_be_paused(
    wide: Case, quick_config: Config, batches: list[Batch], beyond: LabelSlice
) -> None:
    session = session_of(wide, config=tight(quick_config))
    events = session.run()
    until(events, StepDone)
    session.submit(SliceAnnotated(beyond))
    assert "the region grows" in until(events, Notice).text
    submit_all(session, Pause(), Resume())
    rest = list(events)
    assert rest[:2] == [PAUSED, TRAINING]
    assert until(iter(rest), Finished).steps == 4
    assert not session.trainer.windows[0].leaves_out(beyond.labels == 1)


@pytest.mark.parametrize("paused", [True, False])
def test_training_can_be_stopped_while_the_region_grows(
    wide: Case, quick_config: Config, batches: list[Batch], beyond: LabelSlice, paused: bool
) -> None:
    session = session_of(wide, config=tight(quick_config))
    events = session.run()
    until(events, StepDone)
    submit_all(session, *([Pause()] if paused else []), SliceAnnotated(beyond))
    until(events, StageChanged if paused else Notice)
    session.submit(Stop())
    finished = until(events, Finished)
    assert (finished.steps, finished.stopped) == (1, True)
    assert session.cases[0].annotation.annotated == (1, 2)
    assert next(session.predictor().slices([2])).labels.shape == (80, 80)


@pytest.mark.usefixtures("steps")
@pytest.mark.parametrize("goes_on", [False, True])
def test_in_another_volume_labels_are_not_propagated_on_the_coarse_plane_of_whole_slices(
    wide: Case, quick_config: Config, goes_on: bool
) -> None:
    """A training that goes on in the same volume keeps its plane."""
    start = session_of(wide, config=quick_config.with_values(whole_slices=True), steps=1)
    list(start.run())
    own = session_of(wide, config=quick_config, steps=1)
    earlier: dict[str, Any] = {"last": start.continuation()} if goes_on else {"start_from": start.model()}
    config = quick_config.with_values(whole_slices=True) if goes_on else start.model().config_elsewhere
    again = session_of(wide, config=config, steps=1, **earlier)
    assert start.trainer.pixel_mm > own.trainer.pixel_mm
    assert again.trainer.pixel_mm == (start if goes_on else own).trainer.pixel_mm
