"""A marked end counts while the structure is painted nowhere beyond it, and goes with the class that it is of."""

from __future__ import annotations

import numpy as np
import pytest

from knowsam.data.annotation import BACKGROUND_CLASS, Annotation, LabelArray, LabelClass, LabelSlice
from knowsam.data.ends import End, Side

LIVER, SPLEEN = LabelClass(7, "liver", (1, 2, 3)), LabelClass(3, "spleen", (4, 5, 6))


def plane(*values: int) -> LabelArray:
    return np.array([*values, *[0] * (4 - len(values))], dtype=np.uint8).reshape(2, 2)


def annotation(*slices: tuple[int, LabelArray, set[End]]) -> Annotation:
    painted = Annotation((10, 2, 2), axis=0, classes=(BACKGROUND_CLASS, LIVER, SPLEEN))
    for index, labels, ends in slices:
        painted = painted.with_slice(LabelSlice(0, index, labels, frozenset(ends)))
    return painted


def present(painted: Annotation, number: int) -> list[int]:
    absent = painted.extents.absent(range(10))
    assert not absent[:, 0].any()
    return np.flatnonzero(~absent[:, number]).tolist()


def test_without_a_mark_every_class_can_be_everywhere() -> None:
    painted = annotation((3, plane(1), set()), (6, plane(1, 2), set()))
    assert present(painted, 1) == present(painted, 2) == list(range(10))


def test_a_structure_is_in_no_slice_beyond_its_marked_ends() -> None:
    painted = annotation(
        (3, plane(1), {End(1, Side.BELOW)}), (6, plane(1, 2), {End(1, Side.ABOVE), End(2, Side.BELOW)})
    )
    assert present(painted, 1) == [3, 4, 5, 6]
    assert present(painted, 2) == [6, 7, 8, 9]


@pytest.mark.parametrize("labels", [plane(2), plane(0)], ids=["another class", "background"])
def test_a_mark_counts_only_where_its_structure_is_painted(labels: LabelArray) -> None:
    painted = annotation((3, plane(1), set()), (6, labels, {End(1, Side.ABOVE)}))
    assert present(painted, 1) == list(range(10))


def test_painting_beyond_a_marked_end_takes_it_back_and_erasing_brings_it_again() -> None:
    painted = annotation((3, plane(1), {End(1, Side.ABOVE)}), (8, plane(1), set()))
    assert present(painted, 1) == list(range(10))
    assert present(painted.with_slice(LabelSlice(0, 8, plane(0))), 1) == [0, 1, 2, 3]


def test_all_painted_ends_are_marked_class_by_class() -> None:
    painted = annotation((2, plane(1), set()), (5, plane(1, 2), set()), (7, plane(2), set())).with_painted_ends()
    assert present(painted, 1) == [2, 3, 4, 5]
    assert present(painted, 2) == [5, 6, 7]


def test_marks_follow_their_class_when_others_go() -> None:
    painted = annotation((3, plane(1, 2), {End(1, Side.ABOVE), End(2, Side.BELOW)}))
    changed = painted.with_classes((BACKGROUND_CLASS, SPLEEN))
    assert changed.slices[3].ends == {End(1, Side.BELOW)}
    assert changed.extents.absent([2]).tolist() == [[False, True]]
