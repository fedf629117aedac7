"""Which slices are held out, and which students may predict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from knowsam.data.annotation import Annotation, LabelArray, LabelSlice
from knowsam.data.case import Case
from knowsam.data.sampling import SliceKey
from knowsam.data.window import whole_slice_window
from knowsam.inference.planes import NetworkSlices, network_planes
from knowsam.inference.predictor import Predictor
from knowsam.models.students import Students
from knowsam.training.interruption import Interrupted, Interruption
from knowsam.training.model_selection import ModelSelection

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.data.volume import Volume

HOLDOUT = {SliceKey(0, 5)}
FOUR_HELD_OUT = {SliceKey(0, index) for index in (3, 4, 5, 6)}


def selection_of(config: Config, **given: Any) -> ModelSelection:
    return ModelSelection(config.training, Interruption(), **given)


def painted(ball: Volume, labels: LabelArray, *indices: int) -> Case:
    return Case(ball, Annotation.from_labels(labels, axis=0, indices=indices))


@pytest.mark.parametrize(
    ("scores", "adopted"),
    [
        ([0.5], [True]),
        ([0.5, 0.45, 0.41, 0.39], [True, True, True, False]),
        ([0.5, 0.39, 0.45], [True, False, True]),
        ([0.5, 0.8, 0.69, 0.71], [True, True, False, True]),
        ([0.0, 0.0], [True, True]),
    ],
    ids=["first", "falls do not add up", "back again", "the best counts", "nothing found"],
)
def test_students_may_predict_unless_they_are_worse_than_the_best_by_more_than_noise(
    tiny_config: Config, scores: list[float], adopted: list[bool]
) -> None:
    """With one slice held out, noise is 0.1."""
    selection = selection_of(tiny_config.with_values(holdout_noise=0.1), holdout=HOLDOUT)
    assert [selection.adopt(score) for score in scores] == adopted


def test_noise_shrinks_with_the_root_of_the_number_of_slices(tiny_config: Config) -> None:
    """With four slices held out, it is 0.05."""
    selection = selection_of(tiny_config.with_values(holdout_noise=0.1), holdout=FOUR_HELD_OUT)
    assert [selection.adopt(score) for score in (0.5, 0.46, 0.44)] == [True, True, False]


def test_without_a_score_students_predict_and_nothing_is_compared_with_it(tiny_config: Config) -> None:
    selection = selection_of(tiny_config, holdout=HOLDOUT)
    assert [selection.adopt(score) for score in (0.9, None, 0.1)] == [True, True, True]


def test_a_forgotten_score_is_not_compared_with(tiny_config: Config) -> None:
    selection = selection_of(tiny_config, holdout=HOLDOUT)
    selection.adopt(0.9)
    selection.forget()
    assert selection.adopt(0.1)


def test_a_new_holdout_makes_the_old_score_void(tiny_config: Config, ball: Volume, ball_labels: LabelArray) -> None:
    selection = selection_of(tiny_config.with_values(holdout_minimum=5))
    selection.choose([painted(ball, ball_labels, 2, 3, 4, 5, 6)])
    assert selection.adopt(0.9)
    selection.choose([painted(ball, ball_labels, *range(2, 10)), painted(ball, ball_labels, *range(2, 10))])
    assert len(selection.holdout) == 2
    assert selection.adopt(0.1)


def test_the_same_holdout_keeps_its_score(tiny_config: Config, ball: Volume, ball_labels: LabelArray) -> None:
    selection = selection_of(tiny_config.with_values(holdout_minimum=5))
    for indices in ((2, 3, 4, 5, 6), (2, 3, 4, 5, 6, 7)):
        selection.choose([painted(ball, ball_labels, *indices)])
        assert len(selection.holdout) == 1
        selection.adopt(0.9)
    assert not selection.adopt(0.1)


def test_no_slice_changes_sides_however_many_are_painted(
    tiny_config: Config, ball: Volume, ball_labels: LabelArray
) -> None:
    selection = selection_of(tiny_config.with_values(holdout_every=2, holdout_minimum=3))
    held_out_so_far: frozenset[SliceKey] = frozenset()
    for count in (3, 6, 8):
        painted_by_now = range(2, 2 + count)
        selection.choose([painted(ball, ball_labels, *painted_by_now)])
        selection.trained |= {SliceKey(0, index) for index in painted_by_now} - selection.holdout
        assert held_out_so_far <= selection.holdout
        assert selection.holdout.isdisjoint(selection.trained)
        held_out_so_far = selection.holdout
    assert len(held_out_so_far) > 1


def test_the_sides_of_an_earlier_session_are_kept(tiny_config: Config, ball: Volume, ball_labels: LabelArray) -> None:
    trained = {SliceKey(0, index) for index in (2, 4, 6, 9)}
    selection = selection_of(tiny_config, holdout={SliceKey(0, 5)}, trained=trained)
    selection.choose([painted(ball, ball_labels, *range(2, 10))])
    assert SliceKey(0, 5) in selection.holdout
    assert selection.holdout.isdisjoint(trained)


def test_each_volume_has_its_own_holdout(tiny_config: Config, ball: Volume, ball_labels: LabelArray) -> None:
    selection = selection_of(tiny_config)
    selection.choose([painted(ball, ball_labels, *range(2, 10)), painted(ball, ball_labels, 4)])
    assert {key.case for key in selection.holdout} == {0}


@pytest.fixture
def predictor(ball: Volume, tiny_config: Config) -> Predictor:
    """Sees class 1 in every pixel."""
    students = Students(2, config=tiny_config.students)
    with torch.no_grad():
        students.get_parameter("fusion.head.3.bias").copy_(torch.tensor([-1000.0, 1000.0]))
    window = whole_slice_window((32, 32), (1.0, 1.0), 1.0)
    planes = network_planes(ball, 0, window, tiny_config.plane.clip_percent)
    slices = NetworkSlices(planes, window, 0, ball.shape)
    return Predictor(slices, tiny_config, 2, students)


def test_the_score_is_the_dice_on_the_holdout(
    tiny_config: Config, predictor: Predictor, ball: Volume, ball_labels: LabelArray
) -> None:
    selection = selection_of(tiny_config, holdout=HOLDOUT)
    area = int(ball_labels[5].sum())
    dice = selection.measure([predictor], [painted(ball, ball_labels, 4, 5)])
    assert dice == pytest.approx(2 * area / (area + 32 * 32))


def test_without_a_holdout_there_is_no_score(
    tiny_config: Config, predictor: Predictor, ball: Volume, ball_labels: LabelArray
) -> None:
    assert selection_of(tiny_config).measure([predictor], [painted(ball, ball_labels, 4, 5)]) is None


def test_where_only_background_is_held_out_there_is_no_score(
    tiny_config: Config, predictor: Predictor, ball: Volume, ball_labels: LabelArray
) -> None:
    case = painted(ball, ball_labels, 4)
    background = LabelSlice(0, 5, np.zeros((32, 32), np.uint8))
    empty = Case(ball, case.annotation.with_slice(background))
    assert selection_of(tiny_config, holdout=HOLDOUT).measure([predictor], [empty]) is None


def test_measuring_can_be_broken_off(
    tiny_config: Config, predictor: Predictor, ball: Volume, ball_labels: LabelArray
) -> None:
    interruption = Interruption()
    selection = ModelSelection(tiny_config.training, interruption, holdout=HOLDOUT)
    interruption.request()
    with pytest.raises(Interrupted):
        selection.measure([predictor], [painted(ball, ball_labels, 4, 5)])
