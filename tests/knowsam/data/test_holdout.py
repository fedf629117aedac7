"""What is held out stays held out, what was trained on is never held out, and both ends are always trained on."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
import pytest

from knowsam.data.annotation import BACKGROUND_CLASS, IGNORE, Annotation, LabelClass, LabelSlice
from knowsam.data.holdout import choose_holdout


def annotated(
    indices: Iterable[int], partial: Iterable[int] = (), empty: Iterable[int] = (), accepted: Collection[int] = ()
) -> Annotation:
    """Return an annotation with complete, partly labelled and background-only slices, some of accepted predictions."""
    annotation = Annotation((100, 2, 2), 0, (BACKGROUND_CLASS, LabelClass(1, "organ", (9, 9, 9))))
    for labels, those in (([[0, 1]] * 2, indices), ([[IGNORE, 1]] * 2, partial), ([[0, 0]] * 2, empty)):
        for index in those:
            one = LabelSlice(0, index, np.array(labels, dtype=np.uint8), by_hand=index not in accepted)
            annotation = annotation.with_slice(one)
    return annotation


@pytest.mark.parametrize(("count", "expected"), [(1, 0), (4, 0), (5, 1), (9, 1), (10, 2), (25, 5)])
def test_one_in_five_is_held_out_as_soon_as_there_are_five(count: int, expected: int) -> None:
    assert len(choose_holdout(annotated(range(count)), every=5, minimum=5)) == expected


def test_the_held_out_slices_are_spread_over_the_structure() -> None:
    assert choose_holdout(annotated(range(10, 20)), every=5, minimum=5) == (13, 17)


def test_the_two_end_slices_are_never_held_out() -> None:
    holdout = choose_holdout(annotated(range(10, 20)), every=2, minimum=2)
    assert len(holdout) == 5
    assert {10, 19}.isdisjoint(holdout)


def test_a_held_out_slice_stays_so_when_slices_are_added() -> None:
    first = choose_holdout(annotated(range(5)), every=5, minimum=5)
    later = choose_holdout(annotated(range(10)), every=5, minimum=5, kept=first, trained=set(range(5)) - set(first))
    assert set(first) < set(later)
    assert len(later) == 2
    assert set(later) - set(first) <= set(range(5, 9))


def test_a_trained_slice_is_never_held_out() -> None:
    assert choose_holdout(annotated(range(10)), every=5, minimum=5, trained=range(10)) == ()


def test_fewer_slices_than_the_minimum_do_not_free_a_held_out_one() -> None:
    assert choose_holdout(annotated([1, 2, 3]), every=5, minimum=5, kept=[2]) == (2,)


def test_a_held_out_slice_whose_labels_were_taken_away_is_forgotten() -> None:
    assert choose_holdout(annotated([1, 2, 3]), every=5, minimum=5, kept=[50]) == ()


def test_only_complete_slices_are_held_out() -> None:
    annotation = annotated([0, 4, 9], partial=[1, 2, 3], empty=[5, 6, 7])
    assert choose_holdout(annotation, every=3, minimum=5) == (4,)


def test_the_same_slices_give_the_same_holdout() -> None:
    annotation = annotated(range(0, 60, 3))
    assert choose_holdout(annotation, every=4, minimum=5) == choose_holdout(annotation, every=4, minimum=5)


def test_slices_whose_labels_a_machine_made_are_neither_counted_nor_held_out() -> None:
    assert choose_holdout(annotated(range(20), accepted=range(16)), every=5, minimum=5) == ()
    assert choose_holdout(annotated(range(20), accepted=range(10)), every=5, minimum=5) == (13, 17)


def test_a_held_out_slice_that_was_corrected_is_learnt_from() -> None:
    assert choose_holdout(annotated(range(10), accepted=[4]), every=5, minimum=5, kept=[4, 7]) == (7,)
