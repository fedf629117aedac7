"""Nothing a person has done to a slice is ever lost, and everything they have done can be undone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest

from knowsam.data.annotation import BACKGROUND_CLASS, IGNORE, LabelClass, SliceState
from knowsam.data.ends import Side
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.data.volume import Volume

Plane = npt.NDArray[np.uint8]

LIVER, SPLEEN, BRUSH = 2, 5, 255
SLICE, OTHER = 3, 4


@pytest.fixture
def document(tiny: Volume, classes: tuple[LabelClass, ...]) -> AnnotationDocument:
    return AnnotationDocument(tiny, axis=0, classes=classes)


def plane(*values: int) -> Plane:
    """Return (8, 10) that begins with the values, and is 0 elsewhere."""
    return np.array([*values, *[0] * (80 - len(values))], dtype=np.uint8).reshape(8, 10)


def full(value: int) -> Plane:
    return np.full((8, 10), value, dtype=np.uint8)


def predict(document: AnnotationDocument, index: int, class_index: int, percent: int = 40) -> None:
    document.predict(index, full(class_index), full(percent))


def first(array: npt.NDArray[Any], count: int = 4) -> list[int]:
    return array.ravel()[:count].tolist()


STROKES = (LIVER, SPLEEN, BRUSH)


@pytest.mark.parametrize(
    ("painted", "mark", "is_open", "labels", "state"),
    [
        ((), None, False, [IGNORE] * 4, SliceState.UNLABELLED),
        (STROKES, None, False, [1, 2, 0, 0], SliceState.COMPLETE),
        (STROKES, SliceState.COMPLETE, True, [1, 2, 0, 0], SliceState.COMPLETE),
        (STROKES, SliceState.PARTIAL, False, [1, 2, 0, IGNORE], SliceState.PARTIAL),
        (STROKES, None, True, [1, 2, 0, IGNORE], SliceState.PARTIAL),
        ((), SliceState.PARTIAL, False, [IGNORE] * 4, SliceState.UNLABELLED),
        ((), SliceState.BACKGROUND_ONLY, False, [0] * 4, SliceState.BACKGROUND_ONLY),
        ((BRUSH,), None, False, [0] * 4, SliceState.BACKGROUND_ONLY),
        ((BRUSH,), SliceState.PARTIAL, False, [0, IGNORE, IGNORE, IGNORE], SliceState.PARTIAL),
    ],
)
def test_what_a_slice_is_known_to_hold_follows_from_strokes_and_marks(
    document: AnnotationDocument,
    painted: tuple[int, ...],
    mark: SliceState | None,
    is_open: bool,
    labels: list[int],
    state: SliceState,
) -> None:
    document.open_index = SLICE if is_open else None
    document.paint({SLICE: plane(*painted)})
    document.mark(SLICE, mark)
    assert first(document.label_slice(SLICE).labels) == labels
    assert document.state(SLICE) is document.label_slice(SLICE).state is state
    assert document.annotated == (() if state is SliceState.UNLABELLED else (SLICE,))
    assert document.states()[SLICE] is state


@pytest.mark.parametrize(
    ("painted", "mark", "expected"),
    [
        ((), None, [SPLEEN] * 4),
        (STROKES, None, [LIVER, SPLEEN, 0, 0]),
        (STROKES, SliceState.PARTIAL, [LIVER, SPLEEN, 0, SPLEEN]),
        ((), SliceState.BACKGROUND_ONLY, [0] * 4),
    ],
)
def test_what_is_shown_is_what_a_person_annotated_and_elsewhere_the_prediction(
    document: AnnotationDocument, painted: tuple[int, ...], mark: SliceState | None, expected: list[int]
) -> None:
    predict(document, SLICE, 2)
    document.paint({SLICE: plane(*painted)})
    document.mark(SLICE, mark)
    assert first(document.shown(SLICE)) == expected
    assert np.array_equal(document.mask()[SLICE], document.shown(SLICE))


def test_the_open_slice_shows_what_leaving_it_completes(document: AnnotationDocument) -> None:
    predict(document, SLICE, 2)
    document.open_index = SLICE
    document.paint({SLICE: plane(LIVER)})
    assert first(document.shown(SLICE), 2) == [LIVER, 0]
    assert document.label_slice(SLICE).labels.flat[1] == IGNORE
    assert document.state(SLICE) is SliceState.PARTIAL
    document.open_index = None
    assert document.label_slice(SLICE).labels.flat[1] == 0
    assert document.state(SLICE) is SliceState.COMPLETE
    assert dict(document.volumes_ml())[document.classes[2]] == 0


def test_a_slice_nobody_touched_holds_nothing(document: AnnotationDocument) -> None:
    assert not document.shown(SLICE).any()
    assert not document.painted(SLICE).any()
    assert not document.mask().any()
    assert document.annotation().annotated == ()
    assert not document.has_results


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_stacked_along_the_chosen_axis(tiny: Volume, classes: tuple[LabelClass, ...], axis: int) -> None:
    labels = np.zeros(tiny.shape, dtype=np.int64)
    labels[3, 4, 5] = SPLEEN
    document = AnnotationDocument(tiny, axis, classes)
    document.load(labels)
    index = (3, 4, 5)[axis]
    assert document.annotated == (index,)
    assert document.history.undo_name is None
    assert np.array_equal(document.painting(), labels)
    assert np.array_equal(document.mask(), labels)
    assert np.array_equal(document.annotation().slices[index].labels == 2, np.take(labels, index, axis) == SPLEEN)


def test_painting_the_same_again_changes_nothing(document: AnnotationDocument) -> None:
    assert document.paint({SLICE: plane(LIVER), OTHER: plane()}) == (SLICE,)
    assert document.paint({SLICE: plane(LIVER)}) == ()
    assert document.undo() == (SLICE,)
    assert document.undo() == ()


def test_only_slices_annotated_completely_have_outlines(document: AnnotationDocument) -> None:
    document.paint({1: plane(LIVER), 2: plane(LIVER), 4: plane(SPLEEN)})
    document.mark(2, SliceState.PARTIAL)
    document.mark(5, SliceState.BACKGROUND_ONLY)
    assert document.annotated == (1, 2, 4, 5)
    assert document.fully_annotated == (1, 4, 5)


def test_labels_can_be_propagated_from_two_slices_that_are_complete_or_can_be_completed(
    document: AnnotationDocument,
) -> None:
    scribbles = plane()
    scribbles[2, 2:6] = LIVER
    document.paint({1: plane(LIVER), 2: scribbles})
    document.mark(2, SliceState.PARTIAL)
    assert not document.can_propagate
    scribbles = scribbles.copy()
    scribbles[0] = BRUSH
    document.paint({2: scribbles})
    assert document.fully_annotated == (1,)
    assert document.can_propagate
    assert document.label_slice(2).can_be_completed


def test_the_document_keeps_its_own_copy_of_a_layer(document: AnnotationDocument) -> None:
    layer = plane(LIVER)
    document.paint({SLICE: layer})
    document.correct({OTHER: layer})
    layer[:] = SPLEEN
    assert first(document.painted(SLICE), 2) == first(document.shown(OTHER), 2) == [LIVER, 0]


def test_an_unknown_value_is_refused_and_nothing_is_changed(document: AnnotationDocument) -> None:
    with pytest.raises(InputError, match=r"label 9 was painted, but the classes are 0, 2, 5\. Add the class"):
        document.paint({SLICE: plane(LIVER), OTHER: plane(9)})
    with pytest.raises(InputError, match="label 9"):
        document.correct({SLICE: plane(9)})
    assert document.annotated == ()
    assert document.history.undo_name is None


def test_a_correction_annotates_the_whole_slice_and_outlives_predictions(document: AnnotationDocument) -> None:
    predict(document, SLICE, 1)
    assert document.correct({SLICE: plane(SPLEEN, BRUSH, LIVER)}) == (SLICE,)
    predict(document, SLICE, 2)
    assert first(document.shown(SLICE)) == [SPLEEN, 0, LIVER, 0]
    assert first(document.label_slice(SLICE).labels) == [2, 0, 1, 0]
    assert document.corrected == (SLICE,)
    assert document.painted_values() == {LIVER, SPLEEN}


def test_a_correction_that_was_rubbed_out_again_is_none(document: AnnotationDocument) -> None:
    predict(document, SLICE, 1)
    document.correct({SLICE: plane(SPLEEN)})
    document.correct({SLICE: full(LIVER)})
    assert document.corrected == document.annotated == ()


def test_strokes_on_the_labels_after_a_correction_change_their_pixels_only(document: AnnotationDocument) -> None:
    document.paint({SLICE: plane(LIVER, LIVER, LIVER)})
    document.correct({SLICE: plane(SPLEEN, SPLEEN, SPLEEN, SPLEEN, SPLEEN)})
    document.paint({SLICE: plane(LIVER, 0, BRUSH, LIVER)})
    assert first(document.shown(SLICE), 6) == [SPLEEN, 0, 0, LIVER, SPLEEN, 0]
    assert first(document.painted(SLICE)) == [LIVER, 0, BRUSH, LIVER]


def test_a_slice_that_was_erased_is_unlabelled_whatever_its_mark(document: AnnotationDocument) -> None:
    document.paint({SLICE: plane(LIVER)})
    document.mark(SLICE, SliceState.COMPLETE)
    document.paint({SLICE: plane()})
    assert document.state(SLICE) is SliceState.UNLABELLED
    document.paint({SLICE: plane(LIVER)})
    assert document.marks.get(SLICE) is None


def test_painting_in_a_slice_of_background_keeps_the_background_known(document: AnnotationDocument) -> None:
    document.mark(SLICE, SliceState.BACKGROUND_ONLY)
    document.open_index = SLICE
    document.paint({SLICE: plane(LIVER)})
    assert document.state(SLICE) is SliceState.COMPLETE


@pytest.mark.parametrize(
    ("prepare", "state", "message"),
    [
        (lambda d: d.paint({SLICE: plane(LIVER)}), SliceState.BACKGROUND_ONLY, "Slice 4 is painted.*Erase it first"),
        (lambda d: None, SliceState.COMPLETE, 'Nothing is painted in slice 4.*"Background only"'),
        (lambda d: d.correct({SLICE: plane(LIVER)}), SliceState.PARTIAL, "Slice 4 is corrected.*Undo the correction"),
        (lambda d: d.correct({SLICE: plane(LIVER)}), None, "Slice 4 is corrected"),
        (lambda d: d.correct({SLICE: plane(LIVER)}), SliceState.BACKGROUND_ONLY, "Slice 4 is corrected"),
    ],
)
def test_a_mark_that_contradicts_the_slice_is_refused(
    document: AnnotationDocument,
    prepare: Callable[[AnnotationDocument], object],
    state: SliceState | None,
    message: str,
) -> None:
    prepare(document)
    shown, name = document.shown(SLICE), document.history.undo_name
    with pytest.raises(InputError, match=message):
        document.mark(SLICE, state)
    assert np.array_equal(document.shown(SLICE), shown)
    assert document.history.undo_name == name


def test_marking_says_whether_anything_changed(document: AnnotationDocument) -> None:
    assert document.mark(SLICE, SliceState.BACKGROUND_ONLY)
    assert not document.mark(SLICE, SliceState.BACKGROUND_ONLY)
    assert document.mark(SLICE, None)
    assert document.annotated == ()
    document.correct({SLICE: plane(LIVER)})
    assert not document.mark(SLICE, SliceState.COMPLETE)
    assert document.corrected == (SLICE,)


def test_a_correction_is_taken_away_by_accepting_and_erasing_it(document: AnnotationDocument) -> None:
    predict(document, SLICE, 1)
    document.correct({SLICE: plane(LIVER)})
    document.accept((SLICE,))
    document.paint({SLICE: plane()})
    assert document.annotated == document.corrected == ()
    assert (document.shown(SLICE) == document.classes[1].value).all()


def test_accepted_slices_are_painted_completely(document: AnnotationDocument) -> None:
    predict(document, 1, 1)
    predict(document, 2, 0)
    predict(document, 3, 2)
    document.paint({3: plane(LIVER)})
    document.mark(3, SliceState.PARTIAL)
    document.correct({5: plane(SPLEEN)})
    assert document.accept(range(6)) == (1, 2, 3, 5)
    assert document.states() == [
        SliceState.UNLABELLED,
        SliceState.COMPLETE,
        SliceState.BACKGROUND_ONLY,
        SliceState.COMPLETE,
        SliceState.UNLABELLED,
        SliceState.COMPLETE,
    ]
    assert first(document.painted(3), 2) == [LIVER, SPLEEN]
    assert first(document.painted(5), 2) == [SPLEEN, 0]
    assert document.corrected == ()
    assert document.accept(range(6)) == ()


def test_accepting_leaves_a_slice_alone_that_was_painted_completely(document: AnnotationDocument) -> None:
    predict(document, SLICE, 2)
    document.paint({SLICE: plane(LIVER, BRUSH)})
    assert document.accept((SLICE,)) == ()
    assert first(document.painted(SLICE), 2) == [LIVER, BRUSH]


def test_an_accepted_slice_no_longer_follows_predictions(document: AnnotationDocument) -> None:
    predict(document, SLICE, 1)
    document.accept((SLICE,))
    predict(document, SLICE, 2)
    assert first(document.shown(SLICE), 1) == [LIVER]


def test_a_slice_is_by_hand_unless_its_labels_came_from_a_prediction(document: AnnotationDocument) -> None:
    for index in (1, 2, 3, 4):
        predict(document, index, 1)
    document.paint({0: plane(LIVER), 3: plane(LIVER), 4: plane(LIVER)})
    document.mark(4, SliceState.PARTIAL)
    document.accept((1,))
    document.correct({index: plane(SPLEEN) for index in (0, 2, 3, 4)})
    assert document.annotation().by_hand == (0, 3)
    assert document.annotated == (0, 1, 2, 3, 4)
    document.accept(range(6))
    assert document.annotation().by_hand == (0, 3)


def test_painting_on_an_accepted_slice_does_not_make_it_one_by_hand(document: AnnotationDocument) -> None:
    predict(document, SLICE, 1)
    document.accept((SLICE,))
    document.paint({SLICE: plane(SPLEEN)})
    assert not document.label_slice(SLICE).by_hand
    document.paint({SLICE: plane()})
    document.paint({SLICE: plane(SPLEEN)})
    assert document.label_slice(SLICE).by_hand


def test_an_accepted_slice_of_background_that_is_marked_anew_is_by_hand(document: AnnotationDocument) -> None:
    predict(document, SLICE, 0)
    document.accept((SLICE,))
    assert not document.label_slice(SLICE).by_hand
    document.mark(SLICE, SliceState.PARTIAL)
    document.mark(SLICE, SliceState.BACKGROUND_ONLY)
    assert document.label_slice(SLICE).by_hand


def test_a_correction_that_was_rubbed_out_leaves_strokes_by_hand(document: AnnotationDocument) -> None:
    predict(document, SLICE, 1)
    document.paint({SLICE: plane(SPLEEN)})
    document.mark(SLICE, SliceState.PARTIAL)
    shown = document.shown(SLICE)
    document.correct({SLICE: full(SPLEEN)})
    assert not document.label_slice(SLICE).by_hand
    document.correct({SLICE: shown})
    assert document.label_slice(SLICE).by_hand


def test_undo_and_redo_know_which_slices_are_by_hand(document: AnnotationDocument) -> None:
    predict(document, SLICE, 1)
    document.accept((SLICE,))
    document.undo()
    assert document.label_slice(SLICE).by_hand
    document.redo()
    assert not document.label_slice(SLICE).by_hand
    document.paint({SLICE: plane()})
    document.undo()
    assert not document.label_slice(SLICE).by_hand


def test_slices_neither_annotated_nor_predicted_are_counted(document: AnnotationDocument) -> None:
    assert document.unpredicted == 6
    predict(document, SLICE, 1)
    document.paint({SLICE: plane(LIVER), OTHER: plane(LIVER)})
    document.mark(0, SliceState.PARTIAL)
    assert document.unpredicted == 4


def test_forgotten_predictions_leave_what_a_person_has_annotated(document: AnnotationDocument) -> None:
    for index in (SLICE, OTHER):
        predict(document, index, 1)
    document.correct({OTHER: plane(SPLEEN)})
    assert document.forget_predictions() == tuple(sorted((SLICE, OTHER)))
    assert document.predictions.indices == ()
    assert not document.shown(SLICE).any()
    assert np.array_equal(document.shown(OTHER), plane(SPLEEN))
    assert not document.predictions.uncertainty.any()
    assert document.volumes_ml()[0][1] == 0


def test_the_next_class_takes_the_next_value_and_colour(document: AnnotationDocument) -> None:
    added = document.class_list.add()
    assert (added.value, added.name) == (6, "class 6")
    assert document.class_list.add("lesion").name == "lesion"
    colors = [label_class.color for label_class in document.classes]
    assert len(set(colors)) == len(colors)
    assert [label_class.value for label_class in document.classes] == [0, 2, 5, 6, 7]
    assert document.history.undo_name is None


def test_the_brush_value_is_never_given_to_a_class(tiny: Volume) -> None:
    document = AnnotationDocument(
        tiny, 0, (BACKGROUND_CLASS, LabelClass(253, "a", (1, 2, 3)), LabelClass(255, "b", (4, 5, 6)))
    )
    assert document.brush_value == 254
    assert document.class_list.add().value == 1
    assert document.class_list.ensure([254, 255]) == ()


def test_the_value_of_a_removed_class_is_not_given_to_another_one(document: AnnotationDocument) -> None:
    document.paint({SLICE: plane(SPLEEN)})
    document.remove_class(SPLEEN)
    assert document.class_list.add("vessel").value == 6
    document.undo()
    names = {label_class.value: label_class.name for label_class in document.classes}
    assert names[first(document.painted(SLICE))[0]] == "spleen"


def test_a_removed_value_is_given_again_when_no_other_one_is_left(tiny: Volume) -> None:
    document = AnnotationDocument(
        tiny, 0, (BACKGROUND_CLASS, *(LabelClass(n, str(n), (n, 2, 3)) for n in (1, 2, 3))), 4
    )
    document.remove_class(2)
    assert document.class_list.add().value == 2


def test_large_values_are_held_as_they_are(document: AnnotationDocument) -> None:
    document.paint({OTHER: plane(LIVER)})
    assert document.class_list.dtype == np.uint8
    assert [label_class.value for label_class in document.class_list.ensure([70000, 300, 2])] == [300, 70000]
    assert document.class_list.dtype == np.int32
    values = full(0).astype(np.int64)
    values[0, 0] = 70000
    document.paint({SLICE: values})
    document.undo()
    document.redo()
    predict(document, 1, 4)
    assert document.mask().max() == document.painting().max() == 70000
    assert first(document.shown(1), 1) == [70000]
    assert document.painted(OTHER).dtype == np.int32


def test_more_classes_than_can_be_distinguished_are_refused_at_once(document: AnnotationDocument) -> None:
    with pytest.raises(InputError, match="254 classes already"):
        document.class_list.ensure(range(1000, 1300))
    assert len(document.classes) == 3


def test_a_removed_class_is_gone_everywhere_and_comes_back_on_undo(document: AnnotationDocument) -> None:
    before = document.classes
    document.paint({1: plane(LIVER, SPLEEN), 2: plane(SPLEEN), 5: plane(LIVER)})
    document.correct({3: plane(SPLEEN)})
    predict(document, 4, 2)
    shown = document.mask()
    assert sorted(document.remove_class(SPLEEN)) == [1, 2, 3, 4]
    assert not (document.mask() == SPLEEN).any()
    assert not (document.painting() == SPLEEN).any()
    assert document.states()[1:5] == [
        SliceState.COMPLETE,
        SliceState.UNLABELLED,
        SliceState.BACKGROUND_ONLY,
        SliceState.UNLABELLED,
    ]
    assert document.classes == before[:2]
    assert document.history.undo_name == 'removal of "spleen"'
    assert sorted(document.undo()) == [1, 2, 3]
    assert document.classes == before
    shown[4] = 0
    assert np.array_equal(document.mask(), shown)
    predict(document, 4, 2)
    assert sorted(document.redo()) == [1, 2, 3, 4]
    assert not (document.mask() == SPLEEN).any()


def test_a_class_keeps_its_new_name_when_older_work_is_undone(document: AnnotationDocument) -> None:
    document.paint({1: plane(SPLEEN)})
    document.remove_class(SPLEEN)
    document.class_list.change(LIVER, name="Leber")
    document.class_list.change(LIVER, color=(9, 9, 9))
    document.undo()
    assert [(c.value, c.name) for c in document.classes] == [(0, "background"), (LIVER, "Leber"), (SPLEEN, "spleen")]
    assert document.classes[1].color == (9, 9, 9)


def test_the_only_class_cannot_be_removed(document: AnnotationDocument) -> None:
    document.remove_class(SPLEEN)
    with pytest.raises(InputError, match=r'"liver" is the only class.*Add another class first'):
        document.remove_class(LIVER)


def test_volumes_follow_what_is_shown(document: AnnotationDocument) -> None:
    voxel_ml = 4 * 2 * 1.5 / 1000
    predict(document, SLICE, 1)
    assert [ml for _, ml in document.volumes_ml()] == pytest.approx([80 * voxel_ml, 0])
    document.correct({SLICE: plane(SPLEEN, SPLEEN, LIVER)})
    document.paint({OTHER: plane(SPLEEN)})
    assert [ml for _, ml in document.volumes_ml()] == pytest.approx([voxel_ml, 3 * voxel_ml])
    document.undo()
    document.undo()
    assert [ml for _, ml in document.volumes_ml()] == pytest.approx([80 * voxel_ml, 0])


def test_uncertainty_follows_predictions_and_cannot_be_written(document: AnnotationDocument) -> None:
    view = document.predictions.uncertainty
    predict(document, SLICE, 1, percent=70)
    assert view[SLICE].max() == view.max() == 70
    assert document.predictions.indices == (SLICE,)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1


@pytest.mark.parametrize(
    ("action", "name"),
    [
        (lambda d: d.paint({SLICE: plane(LIVER)}), "painting of slice 4"),
        (lambda d: d.paint({1: plane(LIVER), 2: plane(LIVER)}), "painting of 2 slices"),
        (lambda d: d.correct({SLICE: plane(LIVER)}), "correction of slice 4"),
        (lambda d: d.mark(SLICE, SliceState.BACKGROUND_ONLY), "mark of slice 4"),
        (lambda d: d.accept((0,)), "accept slice 1"),
    ],
)
def test_what_can_be_undone_has_a_name(
    document: AnnotationDocument, action: Callable[[AnnotationDocument], object], name: str
) -> None:
    predict(document, 0, 1)
    action(document)
    assert (document.history.undo_name, document.history.redo_name) == (name, None)
    document.undo()
    assert (document.history.undo_name, document.history.redo_name) == (None, name)


def test_a_new_action_ends_what_could_be_redone(document: AnnotationDocument) -> None:
    document.paint({SLICE: plane(LIVER)})
    document.undo()
    document.paint({OTHER: plane(LIVER)})
    assert document.redo() == ()


Snapshot = tuple[Any, ...]


def snapshot(document: AnnotationDocument) -> Snapshot:
    """Return everything a person can have done, comparable."""
    labels = [document.label_slice(index).labels.tobytes() for index in range(document.slice_count)]
    marks = [document.marks.get(index) for index in range(document.slice_count)]
    return (document.painting().tobytes(), labels, marks, document.corrected, document.classes, document.states())


def act_at_random(document: AnnotationDocument, rng: np.random.Generator) -> None:
    index, values = int(rng.integers(6)), [0, BRUSH, *(c.value for c in document.classes[1:])]
    drawn = rng.choice(values, (8, 10), p=[0.7, *[0.3 / (len(values) - 1)] * (len(values) - 1)]).astype(np.uint8)
    actions: list[Callable[[], object]] = [
        lambda: document.paint({index: drawn}),
        lambda: document.paint({index: plane()}),
        lambda: document.correct({index: drawn}),
        lambda: document.mark(index, [None, SliceState.COMPLETE, SliceState.PARTIAL][int(rng.integers(3))]),
        lambda: document.mark(index, SliceState.BACKGROUND_ONLY),
        lambda: document.accept((index, (index + 1) % 6)),
        lambda: document.remove_class(int(rng.choice([c.value for c in document.classes[1:]]))),
    ]
    with suppress(InputError):
        actions[int(rng.integers(len(actions)))]()


@pytest.mark.parametrize("seed", range(20))
def test_undoing_everything_leads_back_to_the_beginning_and_redoing_to_the_end(
    document: AnnotationDocument, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    for value in (7, 9):
        document.class_list.ensure([value])
    predict(document, 4, 0)
    seen = [snapshot(document)]
    for _ in range(40):
        act_at_random(document, rng)
        if snapshot(document) != seen[-1]:
            seen.append(snapshot(document))
    assert len(seen) > 10
    back = [snapshot(document)]
    while document.history.undo_name is not None:
        document.undo()
        if snapshot(document) != back[-1]:
            back.append(snapshot(document))
    assert back == seen[::-1]
    while document.history.redo_name is not None:
        document.redo()
    assert snapshot(document) == seen[-1]


ATRIUM = (BACKGROUND_CLASS, LabelClass(1, "left atrium", (9, 9, 9)), LabelClass(SPLEEN, "appendage", (8, 8, 8)))


def test_the_classes_of_a_model_take_the_place_of_those_that_nothing_was_painted_with(
    document: AnnotationDocument,
) -> None:
    predict(document, SLICE, 1)
    assert document.take_classes(ATRIUM) == (SLICE,)
    assert document.classes == ATRIUM
    assert not document.mask().any()


def test_painted_classes_stay_as_they_are_beside_those_of_a_model(document: AnnotationDocument) -> None:
    document.paint({SLICE: plane(SPLEEN)})
    predict(document, OTHER, 1)
    assert document.take_classes(ATRIUM) == ()
    assert {one.value: one.name for one in document.classes[1:]} == {LIVER: "liver", SPLEEN: "spleen", 1: "left atrium"}
    assert document.predictions.indices == (OTHER,)


def test_a_class_of_a_model_with_the_value_of_the_brush_is_refused_where_that_may_be_painted(
    document: AnnotationDocument,
) -> None:
    document.paint({SLICE: plane(SPLEEN, BRUSH)})
    with pytest.raises(InputError, match="Make new labels"):
        document.take_classes((BACKGROUND_CLASS, LabelClass(BRUSH, "odd", (9, 9, 9))))


def test_a_structure_in_one_slice_is_finished_only_with_its_ends(document: AnnotationDocument) -> None:
    document.paint({3: full(LIVER)})
    assert (document.unfinished, document.is_finished) == ((2, 4), False)
    document.mark(2, SliceState.BACKGROUND_ONLY)
    assert (document.unfinished, document.is_finished) == ((4,), False)
    document.toggle_end(3, LIVER, Side.ABOVE)
    assert document.is_finished


def test_an_end_of_one_structure_does_not_close_the_side_on_which_another_one_goes_on(
    document: AnnotationDocument,
) -> None:
    document.paint({3: plane(LIVER, SPLEEN)})
    for side in Side:
        document.toggle_end(3, LIVER, side)
    assert (document.unfinished, document.is_finished) == ((2, 4), False)
    document.toggle_end(3, SPLEEN, Side.BELOW)
    assert (document.unfinished, document.is_finished) == ((4,), False)
    document.toggle_end(3, SPLEEN, Side.ABOVE)
    assert document.is_finished


def test_it_is_finished_once_every_slice_of_the_structure_is_annotated(document: AnnotationDocument) -> None:
    assert (document.unfinished, document.has_gaps, document.is_finished) == ((), False, False)
    document.paint({1: full(LIVER), 3: full(LIVER)})
    assert (document.unfinished, document.has_gaps, document.is_finished) == ((2,), True, False)
    document.paint({2: full(LIVER)})
    assert (document.unfinished, document.has_gaps, document.is_finished) == ((), False, True)
    # Nobody has annotated what is predicted further out.
    predict(document, 5, class_index=1)
    assert (document.unfinished, document.has_gaps, document.is_finished) == ((4, 5), False, False)
    document.paint({2: full(0)})
    assert (document.unfinished, document.has_gaps) == ((2, 4, 5), True)


@pytest.mark.parametrize(("index", "values"), [(-1, plane(LIVER)), (99, plane(LIVER)), (SLICE, plane(LIVER)[:-1])])
@pytest.mark.parametrize("act", ["paint", "correct"])
def test_what_is_no_slice_of_the_volume_is_refused_and_changes_nothing(
    document: AnnotationDocument, act: str, index: int, values: Plane
) -> None:
    with pytest.raises(ValueError, match="are needed"):
        getattr(document, act)({index: values})
    if values.shape == document.plane_shape:
        with pytest.raises(ValueError, match="are needed"):
            document.mark(index, SliceState.BACKGROUND_ONLY)
        with pytest.raises(ValueError, match="are needed"):
            document.predict(index, full(1), full(0))
    assert (document.annotated, document.history.is_empty) == ((), True)
    assert not document.mask().any()


def test_labels_of_another_shape_and_classes_of_one_value_are_programming_errors(document: AnnotationDocument) -> None:
    with pytest.raises(ValueError, match="but the volume has"):
        document.load(np.zeros((2, 2, 2), np.uint8))
    doubled = (BACKGROUND_CLASS, LabelClass(2, "liver", (1, 2, 3)), LabelClass(2, "spleen", (4, 5, 6)))
    for classes in (doubled, (BACKGROUND_CLASS, LabelClass(-1, "liver", (1, 2, 3)))):
        with pytest.raises(ValueError, match="A value of its own"):
            AnnotationDocument(document.volume, axis=0, classes=classes)
