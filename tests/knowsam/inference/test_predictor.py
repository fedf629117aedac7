"""The way from logits to a slice, with students of which every answer is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from knowsam.config import Config
from knowsam.data.annotation import BACKGROUND
from knowsam.data.ends import Extents
from knowsam.data.window import Window
from knowsam.errors import PredictionError
from knowsam.inference.ensemble import HeldOutWeight, StudentWeight
from knowsam.inference.planes import NetworkSlices, network_planes
from knowsam.inference.predictor import Predictor, SlicePrediction
from knowsam.models.students import StudentLogits, Students
from knowsam.propagation.propagated_labels import PropagatedLabels

if TYPE_CHECKING:
    from knowsam.data.volume import Volume

WHOLE = Window((0, 0), (32, 32), (32, 32))
CENTRE = Window((4, 10), (20, 26), (16, 16))


class KnownStudents(nn.Module):
    """Gives every pixel the same logits, and counts the slices it has seen."""

    prior_channels = 0

    def __init__(self, unet: Sequence[float], vnet: Sequence[float], fused: Sequence[float]) -> None:
        super().__init__()
        self.classes = len(fused)
        self.given = [torch.tensor(values) for values in (unet, vnet, fused)]
        self.batches: list[int] = []

    def forward(self, x: Tensor) -> StudentLogits:
        self.batches.append(len(x))
        return StudentLogits(*(z.view(1, -1, 1, 1).expand(len(x), -1, *x.shape[-2:]) for z in self.given))


class Threshold(nn.Module):
    """Fused logits that say class 1 where the slice itself, the middle channel, is bright."""

    classes, prior_channels = 2, 0

    def forward(self, x: Tensor) -> StudentLogits:
        logits = 100 * (x[:, 1:2] - 0.5)
        both = torch.cat([-logits, logits], dim=1)
        return StudentLogits(both, both, both)


SURE, OPPOSITE, UNDECIDED = (-100.0, 100.0), (100.0, -100.0), (0.0, 0.0)


@pytest.fixture
def config() -> Config:
    return Config().with_values(precision="float32")


def predictor(students: nn.Module, volume: Volume, config: Config, window: Window = WHOLE, axis: int = 0) -> Predictor:
    planes = network_planes(volume, axis, window, config.plane.clip_percent)
    slices = NetworkSlices(planes, window, axis, volume.shape)
    return Predictor(slices, config, students.classes, students)  # type: ignore[arg-type]


def first_slice(students: nn.Module, volume: Volume, config: Config, window: Window = WHOLE) -> SlicePrediction:
    (prediction,) = predictor(students, volume, config, window).slices([0])
    return prediction


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("window", [WHOLE, CENTRE, Window((-4, 2), (28, 34), (16, 48))])
def test_probabilities_of_real_students_sum_to_one_everywhere(
    ball: Volume, tiny_config: Config, classes: int, window: Window
) -> None:
    students = Students(classes, config=tiny_config.students)
    for prediction in predictor(students, ball, tiny_config, window).slices([0, 5]):
        assert prediction.probabilities.shape == (classes, 32, 32)
        np.testing.assert_allclose(prediction.probabilities.sum(0), 1.0, atol=1e-5)
        assert prediction.probabilities.min() >= 0
        assert 0 <= prediction.error_probability.min() <= prediction.error_probability.max() <= 1


def test_outside_the_window_it_is_certainly_background(ball: Volume, config: Config) -> None:
    prediction = first_slice(KnownStudents(SURE, OPPOSITE, SURE), ball, config, CENTRE)
    inside = np.zeros((32, 32), dtype=bool)
    inside[4:20, 10:26] = True
    np.testing.assert_array_equal(prediction.labels == BACKGROUND, ~inside)
    np.testing.assert_array_equal(prediction.probabilities[BACKGROUND][~inside], 1.0)
    np.testing.assert_allclose(prediction.error_probability, 0.5 * inside, atol=1e-5)


@pytest.mark.parametrize(
    ("unet", "vnet", "fused", "error"),
    [
        (SURE, SURE, SURE, 0.0),
        (UNDECIDED, UNDECIDED, UNDECIDED, 0.5),
        ((0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0), 0.75),
        ((0.0, math.log(3)), (0.0, math.log(3)), (0.0, math.log(3)), 0.25),
        (SURE, OPPOSITE, SURE, 0.5),
        (SURE, UNDECIDED, SURE, 0.25),
    ],
)
def test_students_are_as_probably_wrong_as_they_doubt_or_contradict_each_other(
    ball: Volume,
    config: Config,
    unet: tuple[float, ...],
    vnet: tuple[float, ...],
    fused: tuple[float, ...],
    error: float,
) -> None:
    prediction = first_slice(KnownStudents(unet, vnet, fused), ball, config)
    np.testing.assert_allclose(prediction.error_probability, error, atol=1e-5)


def test_beyond_its_end_a_structure_is_certainly_not(ball: Volume, config: Config) -> None:
    students = KnownStudents((0.0, 2.0, 1.0), (0.0, 2.0, 1.0), (0.0, 2.0, 1.0))
    extents = Extents(np.array([-1, -1, -1]), np.array([99, 4, 99]))
    inside, beyond = replace(predictor(students, ball, config), extents=extents).slices([4, 5])
    one, two, other = torch.tensor([0.0, 2.0, 1.0]).softmax(0).tolist()
    np.testing.assert_allclose(inside.probabilities[:, 0, 0], [one, two, other], rtol=1e-5)
    np.testing.assert_allclose(beyond.probabilities[:, 0, 0], [one + two, 0, other], rtol=1e-5)


def test_slices_come_in_the_order_asked_for_across_batches(ball: Volume, config: Config) -> None:
    students = KnownStudents(SURE, SURE, SURE)
    order = [9, 3, 11, 0, 1, 2, 5, 4, 10, 7]
    assert [p.index for p in predictor(students, ball, config).slices(order)] == order
    assert sum(students.batches) == len(order)


def test_a_slice_is_predicted_only_when_it_is_asked_for(ball: Volume, config: Config) -> None:
    students = KnownStudents(SURE, SURE, SURE)
    next(predictor(students, ball, config).slices(range(12)))
    assert len(students.batches) == 1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_is_predicted_voxel_for_voxel_along_any_axis(ball: Volume, config: Config, axis: int) -> None:
    rows, columns = (n for other, n in enumerate(ball.shape) if other != axis)
    window = Window((0, 0), (rows, columns), (rows, columns))
    prediction = predictor(Threshold(), ball, config, window, axis).volume()
    low, high = np.percentile(ball.array, (config.plane.clip_percent, 100 - config.plane.clip_percent))
    np.testing.assert_array_equal(prediction.labels, ball.array > (low + high) / 2)
    assert prediction.error_probability.shape == ball.shape


def test_a_coarse_plane_is_predicted_at_the_size_of_the_slice(ball: Volume, config: Config) -> None:
    coarse = Window((0, 0), (32, 32), (16, 16))
    (prediction,) = predictor(Threshold(), ball, config, coarse).slices([5])
    (fine,) = predictor(Threshold(), ball, config).slices([5])
    assert (prediction.labels == fine.labels).mean() > 0.95


def test_students_that_were_training_predict_without_dropout(ball: Volume, tiny_config: Config) -> None:
    students = Students(2, config=tiny_config.students).train()
    one, other = (first_slice(students, ball, tiny_config).probabilities for _ in range(2))
    np.testing.assert_array_equal(one, other)


class ShortOfMemory(Threshold):
    """Cannot hold more than two slices at once."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, x: Tensor) -> StudentLogits:
        if len(x) > self.limit:
            raise torch.OutOfMemoryError("out of memory")
        return super().forward(x)


def test_where_memory_is_short_smaller_batches_give_the_same_answer(ball: Volume, config: Config) -> None:
    short, plenty = (predictor(ShortOfMemory(limit), ball, config).volume() for limit in (2, 100))
    assert np.array_equal(short.labels, plenty.labels)


def test_a_slice_that_fits_into_no_memory_is_a_prediction_error(ball: Volume, config: Config) -> None:
    with pytest.raises(PredictionError, match="A slice cannot be predicted"):
        predictor(ShortOfMemory(0), ball, config).volume()


def test_many_classes_on_large_slices_are_predicted_in_small_batches(ball: Volume, config: Config) -> None:
    students = KnownStudents([0.0] * 105, [0.0] * 105, [0.0] * 105)
    large = Window((0, 0), (512, 512), (32, 32))
    next(predictor(students, ball, config, large).slices(range(12)))
    assert students.batches == [1]


class Shapes:
    """Says that columns 8 to 23 are class 1, how far the annotation is, and how wrong it probably is."""

    def __init__(self, nearest_slices: float, error: float = 0.0) -> None:
        self.nearest_slices, self.error = nearest_slices, error

    def __call__(self, indices: Sequence[int]) -> PropagatedLabels:
        inside = 8.0 - (torch.arange(32.0) - 15.5).abs().expand(len(indices), 1, 32, 32)
        shapes = torch.cat([-inside, inside], dim=1)
        nearest = torch.full((len(indices), 1, 1, 1), self.nearest_slices)
        error = torch.full_like(nearest, self.error)
        return PropagatedLabels(shapes, shapes, 0 * nearest, nearest, softness_px=0.1, source_error=error)


STRIPE = np.tile((np.abs(np.arange(32) - 15.5) < 8).astype(np.uint8), (32, 1))


def with_shapes(
    students: nn.Module, volume: Volume, config: Config, nearest: float, error: float | None, most: float = 1.0
) -> Predictor:
    weight = None if error is None else StudentWeight(3 * error**2, most, most, 2.0)
    return replace(predictor(students, volume, config), propagate=Shapes(nearest), weight=weight)


@pytest.mark.parametrize("nearest", [0.0, 3.0, 1000.0])
def test_students_whose_error_is_not_known_are_not_asked_where_shapes_are_carried(
    ball: Volume, config: Config, nearest: float
) -> None:
    students = KnownStudents(SURE, OPPOSITE, SURE)
    for prediction in with_shapes(students, ball, config, nearest, None).slices([3, 8]):
        np.testing.assert_array_equal(prediction.labels, STRIPE)
    assert students.batches == []


def test_at_an_annotated_slice_its_own_shape_is_the_prediction(ball: Volume, config: Config) -> None:
    students = KnownStudents(SURE, OPPOSITE, SURE)
    (prediction,) = with_shapes(students, ball, config, 0.0, 0.0).slices([5])
    np.testing.assert_array_equal(prediction.labels, STRIPE)
    assert students.batches == []


def test_a_model_of_other_volumes_counts_in_slices_that_were_completed_from_scribbles(
    ball: Volume, config: Config
) -> None:
    students = KnownStudents(SURE, SURE, SURE)
    completed = replace(with_shapes(students, ball, config, 0.0, None), propagate=Shapes(0.0, error=0.2))
    (prediction,) = replace(completed, weight=HeldOutWeight(0.01)).slices([5])
    assert prediction.labels.all()
    assert students.batches == [1]


class ChannelReaders(KnownStudents):
    """Keep the largest value of what is propagated, which they see as further channels."""

    prior_channels = 8

    def forward(self, x: Tensor) -> StudentLogits:
        self.seen = float(x[:, -self.prior_channels :].abs().max())
        return super().forward(x)


@pytest.mark.parametrize("is_held_out", [False, True])
def test_students_of_other_volumes_do_not_see_what_is_propagated(
    ball: Volume, config: Config, is_held_out: bool
) -> None:
    students = ChannelReaders(SURE, SURE, SURE)
    weight = HeldOutWeight(0.1) if is_held_out else StudentWeight(0.03, 1.0, 1.0, 2.0)
    list(replace(with_shapes(students, ball, config, 3.0, 0.1), weight=weight).slices([5]))
    assert (students.seen > 0) != is_held_out


@pytest.mark.parametrize("most", [1.0, 0.4])
def test_far_from_annotated_slices_students_have_their_whole_share(ball: Volume, config: Config, most: float) -> None:
    """The corner, which the shapes leave out, is class 1 for the students; either side is sure to one in 10 000."""
    students = KnownStudents(SURE, OPPOSITE, SURE)
    (prediction,) = with_shapes(students, ball, config, 1e6, 0.0, most).slices([5])
    assert prediction.probabilities[1, 0, 0] == pytest.approx(1 / (1 + 10_000 ** (1 - 2 * most)), abs=1e-3)


def test_students_count_the_more_the_farther_annotated_slices_are_and_the_less_they_err(
    ball: Volume, config: Config
) -> None:
    students = KnownStudents(SURE, SURE, SURE)

    def corner(nearest: float, error: float) -> float:
        (prediction,) = with_shapes(students, ball, config, nearest, error).slices([5])
        return float(prediction.probabilities[1, 0, 0])

    by_distance = [corner(nearest, 0.0) for nearest in (0.0, 1.0, 4.0, 16.0, 64.0)]
    by_error = [corner(1e6, error) for error in (1.0, 0.5, 0.2, 0.0)]
    assert by_distance == sorted(set(by_distance))
    assert by_error == sorted(set(by_error))


def test_propagated_labels_are_predicted_without_students(ball: Volume, config: Config) -> None:
    alone = replace(with_shapes(KnownStudents(SURE, SURE, SURE), ball, config, 3.0, None), students=None)
    (prediction,) = alone.slices([5])
    np.testing.assert_array_equal(prediction.labels, STRIPE)


def test_students_are_shown_what_is_carried_and_zeros_where_nothing_is(ball: Volume, tiny_config: Config) -> None:
    students = Students(2, config=tiny_config.students, prior=True)
    seen: list[Tensor] = []
    students.register_forward_pre_hook(lambda _, args: seen.append(args[0][:, 3:]))
    list(with_shapes(students, ball, tiny_config, 3.0, 0.0).slices([5, 6]))
    list(predictor(students, ball, tiny_config).slices([5, 6]))
    torch.testing.assert_close(seen[0], Shapes(3.0)([5, 6]).channels)
    assert seen[1].shape == (2, 8, 32, 32)
    assert not seen[1].any()
