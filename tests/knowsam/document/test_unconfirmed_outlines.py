"""What SAM has outlined counts like painting, but no score is measured on it until a person corrects or accepts it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from painted import AXIAL, LIVER, SPLEEN, again, square, structure_in_volume

from knowsam.data.annotation import LabelClass, SliceState
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.document.edit import Edit, structure_in_slice
from knowsam.document.edit_tools import Tool, ToolUse
from knowsam.document.snapshot_file import read_snapshot, write_snapshot
from knowsam.training.dice_estimate import reference_slices

if TYPE_CHECKING:
    from pathlib import Path

    from knowsam.data.volume import Volume


@pytest.fixture
def document(tiny: Volume, classes: tuple[LabelClass, ...]) -> AnnotationDocument:
    return AnnotationDocument(tiny, AXIAL, classes)


def outline(document: AnnotationDocument, *indices: int, value: int = LIVER, corner: int = 1) -> None:
    mask = square(1, corner) > 0
    document.edit(Edit(value, dict.fromkeys(indices, mask), is_by_sam=True), "outlining in")


def predict(document: AnnotationDocument, index: int) -> None:
    document.predict(index, np.ones(document.plane_shape, np.uint8), np.zeros(document.plane_shape, np.uint8))


def by_hand(document: AnnotationDocument) -> tuple[int, ...]:
    return document.annotation().by_hand


def test_an_outline_is_an_annotation_that_is_not_by_hand_until_it_is_accepted(document: AnnotationDocument) -> None:
    document.paint({2: square(LIVER)})
    outline(document, 1, 3)
    assert document.annotated == (1, 2, 3)
    assert (document.unconfirmed, by_hand(document)) == ((1, 3), (2,))
    assert document.accept((1, 2)) == (1,)
    assert (document.unconfirmed, by_hand(document)) == ((3,), (1, 2))
    assert [index for index, one in document.annotation().slices.items() if one.unconfirmed] == [3]


def test_a_stroke_confirms_the_structure_it_corrects_and_no_other_one(document: AnnotationDocument) -> None:
    outline(document, 1)
    outline(document, 1, value=SPLEEN, corner=4)
    painted = document.painted(1).copy()
    painted[1, 1] = document.brush_value
    document.paint({1: painted})
    assert document.unconfirmed == (1,)
    painted = painted.copy()
    painted[7, 7] = SPLEEN
    document.paint({1: painted})
    assert (document.unconfirmed, by_hand(document)) == ((), (1,))


def test_a_stroke_across_slices_confirms_nothing(document: AnnotationDocument) -> None:
    outline(document, 1)
    painted = document.painted(1).copy()
    painted[0] = LIVER
    document.paint({1: painted}, partial=(1,))
    assert document.unconfirmed == (1,)


def test_a_tool_confirms_in_one_slice_what_it_does_not_in_many(document: AnnotationDocument) -> None:
    outline(document, 1, 2)
    grow = ToolUse(Tool.GROW, document.volume.spacing_mm[1])
    document.edit(structure_in_volume(document).edited(grow), "growing in")
    assert document.unconfirmed == (1, 2)
    document.edit(structure_in_slice(document, LIVER, 2).edited(grow), "growing in")
    assert document.unconfirmed == (1,)


def test_an_outline_over_a_prediction_is_a_correction_only_once_a_person_corrects_it(
    document: AnnotationDocument,
) -> None:
    document.paint({0: square(LIVER), 4: square(LIVER)})
    for index in (1, 2, 3):
        predict(document, index)
    outline(document, 1, 2, 3)
    assert reference_slices(document.annotation()) == []
    document.accept((1,))
    document.correct({2: square(LIVER, 3)})
    assert document.unconfirmed == (3,)
    assert reference_slices(document.annotation()) == [2]
    assert by_hand(document) == (0, 4)


def test_accepting_says_nothing_of_structures_that_nobody_has_drawn_yet(document: AnnotationDocument) -> None:
    outline(document, 1)
    document.accept((1,))
    assert document.state(1) is SliceState.PARTIAL
    assert document.unconfirmed == ()


def test_an_image_is_finished_only_once_its_outlines_are_confirmed(document: AnnotationDocument) -> None:
    document.paint({1: square(LIVER), 3: square(LIVER)})
    outline(document, 2)
    document.mark(2, SliceState.COMPLETE)
    assert document.unfinished == (2,)
    document.accept((2,))
    assert document.is_finished


def test_undo_and_redo_know_what_was_confirmed(document: AnnotationDocument) -> None:
    outline(document, 1)
    document.accept((1,))
    document.undo()
    assert document.unconfirmed == (1,)
    document.undo()
    assert document.unconfirmed == ()
    document.redo()
    assert document.unconfirmed == (1,)
    document.redo()
    assert document.unconfirmed == ()


@pytest.mark.parametrize("is_predicted", [False, True])
def test_what_is_rubbed_out_or_has_lost_its_class_needs_no_confirmation(
    document: AnnotationDocument, is_predicted: bool
) -> None:
    if is_predicted:
        predict(document, 1)
    before = document.shown(1).copy()
    outline(document, 1)
    (document.correct if is_predicted else document.paint)({1: before})
    assert document.unconfirmed == document.annotated == ()
    outline(document, 2, value=SPLEEN)
    document.remove_class(SPLEEN)
    assert document.unconfirmed == ()


def test_nothing_is_to_be_confirmed_of_an_outline_that_was_erased(document: AnnotationDocument) -> None:
    outline(document, 1, 2)
    outline(document, 1, value=SPLEEN, corner=4)
    nothing = np.zeros(document.plane_shape, bool)
    document.edit(Edit(LIVER, {1: nothing, 2: nothing}), "opening in")
    assert document.snapshot().slices[1].unconfirmed == {SPLEEN}
    document.paint({1: np.zeros(document.plane_shape, np.uint8)}, partial=(1,))
    assert document.unconfirmed == ()


def test_work_is_read_after_a_class_was_removed_whose_outline_another_one_had_covered(
    document: AnnotationDocument, tmp_path: Path
) -> None:
    outline(document, 1)
    outline(document, 1, value=SPLEEN)
    document.remove_class(LIVER)
    write_snapshot(tmp_path / "file.npz", document.snapshot())
    read = read_snapshot(tmp_path / "file.npz", document.volume.shape)
    assert read.slices[1].unconfirmed == {SPLEEN}


def test_what_is_unconfirmed_is_so_in_the_next_session(document: AnnotationDocument, tmp_path: Path) -> None:
    outline(document, 1)
    outline(document, 2)
    document.accept((2,))
    write_snapshot(tmp_path / "kept.npz", document.snapshot())
    new = again(document, *document.classes[1:])
    new.restore(read_snapshot(tmp_path / "kept.npz", document.volume.shape))
    assert new.unconfirmed == (1,)
    new.undo()
    assert new.unconfirmed == (1, 2)


def test_a_file_of_before_there_were_outlines_is_read(document: AnnotationDocument, tmp_path: Path) -> None:
    path = tmp_path / "kept.npz"
    document.paint({1: square(LIVER)})
    write_snapshot(path, document.snapshot())
    with np.load(path) as arrays:
        entries = dict(arrays)
    about = json.loads(str(entries["about"]))
    del about["unconfirmed"]
    for step in about["undo"]:
        step["slices"] = [one[:6] for one in step["slices"]]
    np.savez_compressed(path, **entries | {"about": np.array(json.dumps(about))})
    snapshot = read_snapshot(path, document.volume.shape)
    assert snapshot.slices[1].unconfirmed == snapshot.undo[0].slices[1].unconfirmed == frozenset()
