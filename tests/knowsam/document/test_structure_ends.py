"""A structure ends at the outermost slice it is painted in, if a person says so there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from painted import AXIAL, LIVER, SPLEEN

from knowsam.data.ends import End, Side
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.document.snapshot_file import read_snapshot, write_snapshot
from knowsam.document.structure_ends import EndsHere, ends_here, goes_beyond_painted
from knowsam.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from knowsam.data.annotation import LabelClass
    from knowsam.data.volume import Volume

BELOW, ABOVE = frozenset({Side.BELOW}), frozenset({Side.ABOVE})


@pytest.fixture
def document(tiny: Volume, classes: tuple[LabelClass, ...]) -> AnnotationDocument:
    """The liver in slices 1, 2 and 4, much smaller in the last one, and the spleen in slice 2."""
    document = AnnotationDocument(tiny, AXIAL, classes)
    document.paint({1: block(6, LIVER), 2: block(6, LIVER), 4: block(3, LIVER)})
    document.paint({2: np.where(np.arange(8)[:, None] > 6, SPLEEN, block(6, LIVER))})
    return document


def block(side: int, value: int) -> np.ndarray:
    painted = np.zeros((8, 10), np.uint8)
    painted[:side, :side] = value
    return painted


def absent(document: AnnotationDocument, number: int) -> list[int]:
    extents = document.annotation().extents
    return np.flatnonzero(extents.absent(range(document.slice_count))[:, number]).tolist()


def test_a_structure_can_end_only_where_it_is_painted_no_further(document: AnnotationDocument) -> None:
    assert [ends_here(document, index, LIVER).possible for index in range(5)] == [set(), BELOW, set(), set(), ABOVE]
    assert ends_here(document, 2, SPLEEN).possible == BELOW | ABOVE


def test_it_seems_to_end_where_it_is_much_smaller_than_elsewhere(document: AnnotationDocument) -> None:
    assert ends_here(document, 4, LIVER) == EndsHere(ABOVE, frozenset(), ABOVE)
    assert not ends_here(document, 1, LIVER).tapering
    assert not ends_here(document, 2, SPLEEN).tapering


def test_at_the_edge_of_the_volume_there_is_no_end_to_mark(document: AnnotationDocument) -> None:
    document.paint({0: block(6, LIVER)})
    assert not ends_here(document, 0, LIVER).possible


def test_a_marked_end_reaches_training_and_can_be_undone(document: AnnotationDocument) -> None:
    assert document.toggle_end(4, LIVER, Side.ABOVE) == (4,)
    assert ends_here(document, 4, LIVER).marked == ABOVE
    assert absent(document, 1) == [5]
    assert document.history.undo_name == "end of “liver” in slice 5"
    document.undo()
    assert absent(document, 1) == []
    document.redo()
    assert absent(document, 1) == [5]
    document.toggle_end(4, LIVER, Side.ABOVE)
    assert absent(document, 1) == []


def test_an_end_is_refused_with_the_way_to_the_right_slice(document: AnnotationDocument) -> None:
    with pytest.raises(InputError, match=r"Slice 2 is not the last one .* Go to the last painted slice"):
        document.toggle_end(1, LIVER, Side.ABOVE)
    assert document.history.undo_name == "painting of slice 3"


def test_an_end_goes_with_the_paint_and_stays_through_corrections_and_accepting(document: AnnotationDocument) -> None:
    document.predict(4, np.ones((8, 10), np.uint8), np.zeros((8, 10), np.uint8))
    document.toggle_end(4, LIVER, Side.ABOVE)
    document.correct({4: block(5, LIVER)})
    document.accept((4,))
    assert absent(document, 1) == [5]
    document.paint({4: block(0, LIVER)})
    assert ends_here(document, 2, LIVER).marked == frozenset()


def test_an_end_is_of_its_class_and_goes_with_it(document: AnnotationDocument) -> None:
    document.toggle_end(2, SPLEEN, Side.ABOVE)
    document.toggle_end(4, LIVER, Side.ABOVE)
    document.remove_class(SPLEEN)
    assert document.ends_at(2) == frozenset()
    assert document.ends_at(4) == {End(LIVER, Side.ABOVE)}


def test_ends_come_back_from_the_file_of_a_snapshot(document: AnnotationDocument, tmp_path: Path) -> None:
    document.toggle_end(4, LIVER, Side.ABOVE)
    write_snapshot(tmp_path / "kept.npz", document.snapshot())
    restored = AnnotationDocument(document.volume, AXIAL, document.classes)
    restored.restore(read_snapshot(tmp_path / "kept.npz", document.volume.shape))
    assert absent(restored, 1) == [5]


def test_work_is_read_after_a_class_was_removed_whose_marked_end_was_erased(
    document: AnnotationDocument, tmp_path: Path
) -> None:
    document.toggle_end(4, LIVER, Side.ABOVE)
    document.paint({4: block(2, SPLEEN)})
    of_before = document.snapshot()
    document.remove_class(LIVER)
    assert document.ends_at(4) == frozenset()
    # As files of before hold it, whose class went and whose mark stayed.
    write_snapshot(tmp_path / "kept.npz", replace(of_before, classes=document.classes, slices={4: of_before.slices[4]}))
    assert read_snapshot(tmp_path / "kept.npz", document.volume.shape).slices[4].ends == frozenset()


def test_a_notice_is_shown_when_a_structure_is_predicted_beyond_its_outermost_slices(
    document: AnnotationDocument,
) -> None:
    nothing = np.zeros((8, 10), np.uint8)
    document.predict(3, np.ones((8, 10), np.uint8), nothing)
    assert not goes_beyond_painted(document, LIVER)
    document.predict(5, np.ones((8, 10), np.uint8), nothing)
    assert goes_beyond_painted(document, LIVER)
    assert not goes_beyond_painted(document, SPLEEN)
