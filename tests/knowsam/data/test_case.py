from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING

import pytest

from knowsam.data.annotation import BACKGROUND_CLASS, Annotation, LabelArray, LabelClass, default_classes
from knowsam.data.case import Case, require_same_kind
from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.data.volume import Volume


def test_the_painted_ball_has_the_volume_of_a_ball(ball: Volume, ball_labels: LabelArray) -> None:
    assert ball_labels.sum() * ball.voxel_volume_ml == pytest.approx(4 / 3 * pi * 0.8**3, rel=0.05)


@pytest.mark.parametrize(("axis", "spacing_mm"), [(0, (1.0, 1.0)), (1, (2.0, 1.0)), (2, (2.0, 1.0))])
def test_the_spacing_within_a_slice_is_that_of_the_two_other_axes(
    ball: Volume, axis: int, spacing_mm: tuple[float, float]
) -> None:
    assert Case(ball, Annotation(ball.shape, axis, (BACKGROUND_CLASS,))).plane_spacing_mm == spacing_mm


def test_labels_of_another_shape_are_refused(ball: Volume) -> None:
    with pytest.raises(InputError, match=r"shape \(9, 32, 32\) but the image has \(12, 32, 32\)\. Load the labels"):
        Case(ball, Annotation((9, 32, 32), 0, (BACKGROUND_CLASS,)))


def test_volumes_of_one_kind_may_be_trained_on_together(case: Case, ball: Volume) -> None:
    """One of them lends its unlabelled slices only."""
    require_same_kind([case, Case(ball, Annotation(ball.shape, 0, case.annotation.classes))])


@pytest.mark.parametrize(
    ("axis", "classes"),
    [(1, default_classes([1])), (0, default_classes([1, 2])), (0, (BACKGROUND_CLASS, LabelClass(1, "x", (1, 2, 3))))],
    ids=["another axis", "one more class", "another name"],
)
def test_volumes_of_different_kinds_are_refused(
    case: Case, ball: Volume, axis: int, classes: tuple[LabelClass, ...]
) -> None:
    with pytest.raises(InputError, match=r"different classes or along different axes\. Give label files"):
        require_same_kind([case, Case(ball, Annotation(ball.shape, axis, classes))])


@pytest.mark.parametrize("count", [0, 1, 2])
def test_volumes_in_which_nothing_is_annotated_are_refused(ball: Volume, count: int) -> None:
    empty = Case(ball, Annotation(ball.shape, 0, default_classes([1])))
    with pytest.raises(InputError, match=r"No slice is annotated\. Paint at least one"):
        require_same_kind([empty] * count)
