"""A snapshot comes back from its file as it was, or not at all, and is restored without harm to other work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from painted import AXIAL, LIVER, SPLEEN, again, fill, square

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass, SliceState
from knowsam.document import snapshot_file
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.document.slice_annotation import SliceAnnotation
from knowsam.document.snapshot_file import read_snapshot, write_snapshot
from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.data.volume import Volume


@pytest.fixture
def document(tiny: Volume, classes: tuple[LabelClass, ...]) -> AnnotationDocument:
    return AnnotationDocument(tiny, AXIAL, classes)


def test_a_snapshot_comes_back_from_its_file_as_it_was(document: AnnotationDocument, tmp_path: Path) -> None:
    fill(document)
    document.predict(0, np.ones((8, 10), np.uint8), np.zeros((8, 10), np.uint8))
    document.accept((0,))
    before = document.snapshot()
    write_snapshot(tmp_path / "kept.npz", before)
    after = read_snapshot(tmp_path / "kept.npz", document.volume.shape)
    assert (after.axis, after.classes, after.brush_value) == (AXIAL, document.classes, 255)
    assert after.taken_at == before.taken_at
    assert sorted(after.slices) == [0, 1, 3, 4, 5]
    assert [index for index, one in after.slices.items() if one.from_prediction] == [0]
    for index, one in before.slices.items():
        assert after.slices[index].mark is one.mark
        np.testing.assert_array_equal(after.slices[index].painted, one.painted)
        np.testing.assert_array_equal(after.slices[index].correction, one.correction)
    assert after.holds(before)


def test_a_file_is_an_ordinary_npz_without_pickled_objects(document: AnnotationDocument, tmp_path: Path) -> None:
    fill(document)
    write_snapshot(tmp_path / "kept.npz", document.snapshot())
    with np.load(tmp_path / "kept.npz", allow_pickle=False) as arrays:
        # Each slice was painted once, so that what can be undone holds no other array.
        assert sorted(arrays) == ["about", "correction_5", "painted_1", "painted_3"]


def reopened(document: AnnotationDocument, path: Path) -> AnnotationDocument:
    """Return a new document of the same volume, into which what was done is restored from a file."""
    write_snapshot(path, document.snapshot())
    new = again(document, LabelClass(LIVER, "class 2", (9, 9, 9)))
    new.restore(read_snapshot(path, document.volume.shape))
    return new


def test_what_could_be_undone_can_be_undone_in_the_next_session(document: AnnotationDocument, tmp_path: Path) -> None:
    fill(document)
    document.paint({1: square(SPLEEN, 2)})
    document.remove_class(SPLEEN)
    document.undo()
    new = reopened(document, tmp_path / "kept.npz")
    for action in ("redo", "undo", "undo", "undo", "undo", "undo", "redo", "redo"):
        assert (new.history.undo_name, new.history.redo_name) == (
            document.history.undo_name,
            document.history.redo_name,
        )
        assert getattr(new, action)() == getattr(document, action)()
        assert new.classes == document.classes
        assert new.states() == document.states()
        np.testing.assert_array_equal(new.painting(), document.painting())
        np.testing.assert_array_equal(new.mask(), document.mask())


def test_of_what_can_be_undone_the_oldest_is_left_out_where_it_would_take_too_much(
    document: AnnotationDocument, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for shift in range(6):
        document.paint({1: np.roll(square(LIVER), shift, axis=0)})
    monkeypatch.setattr(snapshot_file, "MOST_HISTORY_BYTES", 2 * document.painted(1).nbytes)
    new = reopened(document, tmp_path / "kept.npz")
    assert [new.undo(), new.undo(), new.undo()] == [(1,), (1,), ()]
    np.testing.assert_array_equal(new.painted(1), np.roll(square(LIVER), 3, axis=0))


def test_what_can_be_undone_has_the_shape_of_the_slices(document: AnnotationDocument, tmp_path: Path) -> None:
    fill(document)
    snapshot = document.snapshot()
    (*steps, last) = snapshot.undo
    wrong = replace(last, slices={1: SliceAnnotation(np.ones((3, 3), np.uint8))})
    write_snapshot(tmp_path / "kept.npz", replace(snapshot, undo=(*steps, wrong)))
    with pytest.raises(InputError, match=r"slice 1 of shape \(3, 3\)"):
        read_snapshot(tmp_path / "kept.npz", document.volume.shape)


@pytest.mark.parametrize("cut", [0, 1, 30, 200, -1, -30])
def test_a_file_that_was_cut_off_is_refused(document: AnnotationDocument, tmp_path: Path, cut: int) -> None:
    path = tmp_path / "kept.npz"
    fill(document)
    write_snapshot(path, document.snapshot())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"kept\.npz should hold the painting .* damaged or of another kind"):
        read_snapshot(path, document.volume.shape)


@pytest.mark.parametrize("bit", [0, 3, 7])
def test_a_file_with_a_flipped_bit_is_refused_or_read_rightly(
    document: AnnotationDocument, tmp_path: Path, bit: int
) -> None:
    path = tmp_path / "kept.npz"
    fill(document)
    before = document.snapshot()
    write_snapshot(path, before)
    good = path.read_bytes()
    refused = 0
    for place in range(0, len(good), 3):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1 << bit]) + good[place + 1 :])
        try:
            read = read_snapshot(path, document.volume.shape)
        except InputError:
            refused += 1
        else:
            assert read.holds(before)
    assert refused > len(good) / 3 / 2


class Trap:
    """Writes a file as soon as it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "executed")


def test_pickled_code_is_refused_and_not_executed(document: AnnotationDocument, tmp_path: Path) -> None:
    np.savez(tmp_path / "kept.npz", about=np.array([Trap(tmp_path / "trace")], dtype=object))
    with pytest.raises(InputError, match="damaged or of another kind"):
        read_snapshot(tmp_path / "kept.npz", document.volume.shape)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": (6, 8, 11)},
        {"classes": (BACKGROUND_CLASS, LabelClass(9, "other", (1, 2, 3)))},
        {"axis": 3},
        {"brush_value": LIVER},
    ],
)
def test_a_file_that_contradicts_itself_is_refused(
    document: AnnotationDocument, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    fill(document)
    write_snapshot(tmp_path / "kept.npz", replace(document.snapshot(), **wrong))
    with pytest.raises(InputError):
        read_snapshot(tmp_path / "kept.npz", document.volume.shape)


def test_restoring_brings_back_classes_paint_marks_and_corrections(document: AnnotationDocument) -> None:
    fill(document)
    new = again(document, LabelClass(LIVER, "class 2", (9, 9, 9)))
    assert new.restore(document.snapshot()) == (1, 3, 4, 5)
    assert new.classes == document.classes
    assert new.states() == document.states()
    assert new.corrected == (5,)
    np.testing.assert_array_equal(new.painting(), document.painting())
    np.testing.assert_array_equal(new.mask(), document.mask())


def test_restoring_leaves_other_slices_and_is_one_action_to_undo(document: AnnotationDocument) -> None:
    fill(document)
    new = again(document, *document.classes[1:])
    new.paint({0: square(SPLEEN), 1: square(SPLEEN)})
    before = new.painting()
    new.restore(document.snapshot())
    restored = new.painting()
    assert new.annotated == (0, 1, 3, 4, 5)
    assert new.history.undo_name == "restored painting"
    new.undo()
    assert (new.annotated, new.corrected) == ((0, 1), ())
    np.testing.assert_array_equal(new.painting(), before)
    new.redo()
    np.testing.assert_array_equal(new.painting(), restored)


def test_known_background_is_restored_where_its_value_is_another(document: AnnotationDocument) -> None:
    fill(document)
    new = AnnotationDocument(again(document).volume, AXIAL, document.classes, brush_value=254)
    new.restore(document.snapshot())
    assert (new.painted(3)[6] == 254).all()
    assert new.state(3) is SliceState.PARTIAL


def test_a_class_on_the_value_of_the_brush_takes_it_over_while_nothing_is_painted(tiny: Volume) -> None:
    mask = LabelClass(255, "mask", (1, 2, 3))
    old = AnnotationDocument(tiny, AXIAL, (BACKGROUND_CLASS, mask))
    old.paint({2: square(255)})
    new = again(old)
    new.restore(old.snapshot())
    assert new.classes[-1] == mask
    assert new.brush_value == 254
    np.testing.assert_array_equal(new.painted(2), square(255))
    busy = again(old)
    busy.paint({0: square(1)})
    with pytest.raises(InputError, match="Make new labels"):
        busy.restore(old.snapshot())
    assert busy.annotated == (0,)


def test_a_snapshot_holds_another_only_if_every_slice_was_annotated_alike(document: AnnotationDocument) -> None:
    nothing = document.snapshot()
    fill(document)
    everything = document.snapshot()
    assert everything.holds(nothing)
    assert not nothing.holds(everything)
    document.mark(3, SliceState.COMPLETE)
    assert not document.snapshot().holds(everything)
    document.undo()
    document.paint({0: square(LIVER)})
    assert document.snapshot().holds(everything)
