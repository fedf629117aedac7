"""An edit of a structure is learnt like what a person paints, can be undone, and touches nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from painted import LIVER, SPLEEN, structure_in_volume

from knowsam.data.annotation import LabelClass, SliceState
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.document.edit import Edit, structure_in_slice
from knowsam.document.edit_tools import Tool, ToolUse
from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.data.volume import Volume

BLOCK = (slice(2, 5), slice(3, 6))


@pytest.fixture
def document(tiny: Volume, classes: tuple[LabelClass, ...]) -> AnnotationDocument:
    return AnnotationDocument(tiny, axis=0, classes=classes)


def predict(document: AnnotationDocument, *indices: int) -> None:
    labels = np.zeros(document.plane_shape, np.uint8)
    labels[BLOCK] = 1
    for index in indices:
        document.predict(index, labels, np.zeros(document.plane_shape, np.uint8))


def paint(document: AnnotationDocument, index: int, value: int = LIVER) -> None:
    painted = np.zeros(document.plane_shape, np.uint8)
    painted[BLOCK] = value
    document.paint({index: painted})


def grow(document: AnnotationDocument, index: int, protected: tuple[int, ...] = ()) -> tuple[int, ...]:
    mm = document.volume.spacing_mm[1]
    edit = structure_in_slice(document, LIVER, index, protected).edited(ToolUse(Tool.GROW, mm))
    return document.edit(edit, "growing in")


def test_an_edited_prediction_is_a_correction_and_an_edited_painting_is_painted(document: AnnotationDocument) -> None:
    predict(document, 1)
    paint(document, 2)
    assert grow(document, 1) == (1,)
    assert grow(document, 2) == (2,)
    assert document.corrected == (1,)
    assert document.state(1) is document.state(2) is SliceState.COMPLETE
    assert np.array_equal(document.shown(1), document.shown(2))
    assert (document.shown(1) == LIVER).sum() > 9


def test_one_undo_takes_the_edit_of_all_slices_back(document: AnnotationDocument) -> None:
    predict(document, *range(document.slice_count))
    before = document.mask()
    edit = structure_in_volume(document).edited(lambda structure: ~structure.mask)
    changed = document.edit(edit, "turning round")
    assert len(changed) == document.slice_count
    assert document.history.undo_name == f"turning round {document.slice_count} slices"
    document.undo()
    assert np.array_equal(document.mask(), before)
    assert document.annotated == ()


def test_what_an_edit_takes_away_is_background_that_is_known(document: AnnotationDocument) -> None:
    paint(document, 2)
    document.mark(2, SliceState.PARTIAL)
    nothing = np.zeros(document.plane_shape, bool)
    document.edit(Edit(LIVER, {2: nothing}), "erasing in")
    assert not document.shown(2).any()
    assert document.state(2) is SliceState.PARTIAL
    assert (document.label_slice(2).labels[BLOCK] == 0).all()


def test_protected_classes_keep_their_pixels(document: AnnotationDocument) -> None:
    paint(document, 2)
    painted = document.painted(2)
    painted[2:5, 6] = SPLEEN
    document.paint({2: painted})
    grow(document, 2, protected=(SPLEEN,))
    assert (document.shown(2)[2:5, 6] == SPLEEN).all()
    grow(document, 2)
    assert (document.shown(2)[2:5, 6] == LIVER).all()


def test_slices_that_show_nothing_yet_are_not_filled(document: AnnotationDocument) -> None:
    predict(document, 1, 2)
    reach_mm = 2 * document.volume.spacing_mm[0]
    edit = structure_in_volume(document, reach_mm).edited(ToolUse(Tool.GROW, reach_mm))
    assert set(edit.masks) == {1, 2}


def test_a_structure_with_gaps_is_refused_and_so_is_one_that_is_not_there(document: AnnotationDocument) -> None:
    with pytest.raises(InputError, match="Paint it first"):
        structure_in_volume(document)
    with pytest.raises(InputError, match="not in slice 1"):
        structure_in_slice(document, LIVER, 0)
    paint(document, 0)
    paint(document, 2)
    with pytest.raises(InputError, match="the first of them slice 2"):
        structure_in_volume(document)


def test_the_piece_at_a_point_stays_or_goes(document: AnnotationDocument) -> None:
    predict(document, 1, 2)
    shown = document.shown(2)
    shown[7, 0] = LIVER
    document.correct({2: shown})
    structure = structure_in_volume(document)
    kept = structure.edited(ToolUse(Tool.KEEP_PIECE, point=(1, 3, 4)))
    assert set(kept.masks) == {2}
    assert not kept.masks[2][7, 0]
    gone = structure.edited(ToolUse(Tool.REMOVE_PIECE, point=(1, 3, 4)))
    assert gone.masks[2].sum() == 1
    for point in ((2, 0, 0), (5, 3, 4), None):
        with pytest.raises(InputError, match="Click"):
            structure.edited(ToolUse(Tool.KEEP_PIECE, point=point))


@pytest.mark.parametrize("tool", [tool for tool in Tool if not tool.takes_point])
def test_each_tool_works_on_a_slice_and_on_the_volume(document: AnnotationDocument, tool: Tool) -> None:
    predict(document, *range(document.slice_count))
    use = ToolUse(tool, 1.0, grey_range=(0.0, 10.0))
    structures = structure_in_slice(document, LIVER, 1), structure_in_volume(document, use.reach_mm)
    assert [use(structure).shape for structure in structures] == [structure.mask.shape for structure in structures]
