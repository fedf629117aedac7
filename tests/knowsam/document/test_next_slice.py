"""The next slice to check is where an annotation puts most right, and none that is known already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from knowsam.document.annotation_document import AnnotationDocument
from knowsam.document.edit import Edit
from knowsam.document.next_slice import next_slice, worths, wrong_shares

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelClass
    from knowsam.data.volume import Volume

LIVER = 2


@pytest.fixture
def document(tiny: Volume, classes: tuple[LabelClass, ...]) -> AnnotationDocument:
    return AnnotationDocument(tiny, axis=0, classes=classes)


def predict(document: AnnotationDocument, percents: dict[int, int], pixels: int = 40) -> None:
    """Predict liver in the first pixels of slices, all of whose pixels are wrong with a probability."""
    for index, percent in percents.items():
        labels = np.zeros(document.plane_shape, np.uint8)
        labels.flat[:pixels] = 1
        document.predict(index, labels, np.full(document.plane_shape, percent, np.uint8))


def paint(document: AnnotationDocument, *indices: int) -> None:
    document.paint({index: np.full(document.plane_shape, LIVER, np.uint8) for index in indices})


def outline(document: AnnotationDocument, *indices: int) -> None:
    mask = np.eye(*document.plane_shape, dtype=bool)
    document.edit(Edit(LIVER, dict.fromkeys(indices, mask), is_by_sam=True), "outlining in")


def test_without_a_prediction_no_slice_is_proposed(document: AnnotationDocument) -> None:
    paint(document, 0, 5)
    assert next_slice(document) is None


def test_the_slice_that_is_worth_most_comes_first(document: AnnotationDocument) -> None:
    paint(document, 0, 5)
    predict(document, {1: 5, 2: 20, 3: 20, 4: 5})
    found = next_slice(document)
    assert found is not None
    assert (found.index, found.before, found.after) == (2, 0, 5)
    assert found.wrong_share == pytest.approx(0.20 * 80 / 40)


def test_a_slice_that_is_annotated_is_not_proposed_again(document: AnnotationDocument) -> None:
    predict(document, dict.fromkeys(range(6), 10))
    proposed = []
    while (found := next_slice(document)) is not None:
        proposed.append(found.index)
        document.correct({found.index: np.full(document.plane_shape, LIVER, np.uint8)})
    assert sorted(proposed) == list(range(6))


def test_beyond_the_outermost_slices_there_is_something_to_check_too(document: AnnotationDocument) -> None:
    paint(document, 0, 1, 2)
    predict(document, {3: 20, 4: 20, 5: 20})
    found = next_slice(document)
    assert found is not None
    assert (found.before, found.after) == (2, None)


def test_outlines_that_nobody_confirmed_come_first_those_farthest_from_known_slices_before_others(
    document: AnnotationDocument,
) -> None:
    paint(document, 0)
    predict(document, {4: 40, 5: 80})
    outline(document, 1, 2, 3)
    proposed = []
    while (found := next_slice(document)) is not None and found.unconfirmed:
        proposed.append((found.index, found.unconfirmed))
        document.accept((found.index,))
    assert proposed == [(3, 3), (1, 2), (2, 1)]
    assert found is not None
    assert found.index == 5


def test_an_outline_is_to_be_checked_where_nothing_is_predicted_nor_painted(document: AnnotationDocument) -> None:
    outline(document, 2, 3)
    found = next_slice(document)
    assert found is not None
    assert (found.index, found.before, found.after) == (2, None, None)


def test_shares_are_of_what_is_shown_and_stay_finite_where_nothing_is(document: AnnotationDocument) -> None:
    predict(document, {1: 10})
    predict(document, {2: 10}, pixels=0)
    shares = wrong_shares(document)
    assert shares[1] == pytest.approx(8 / 40)
    assert shares[2] == pytest.approx(8 / 4)
    assert shares[0] == 0


def test_a_slice_far_from_known_ones_is_worth_more_than_one_beside_them() -> None:
    errors = np.array([0, 7.0, 8.0, 8.0, 9.0, 0])
    assert worths(errors, [0, 5]).argmax() in (2, 3)
    assert worths(errors, [0, 2, 5]).argmax() == 4
    assert worths(errors, []).argmax() == errors.argmax()
