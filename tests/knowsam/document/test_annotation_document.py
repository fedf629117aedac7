"""Nothing a person has done to a slice is ever lost, and everything they have done can be undone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest

from knowsam.data.annotation import BACKGROUND_CLASS, IGNORE, LabelClass, SliceState
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.data.volume import Volume

Plane = npt.NDArray[np.uint8]

LIVER, SPLEEN, BRUSH = 2, 5, 255
SLICE, OTHER = 3, 4


@pytest.fixture
def sheet(tiny: Volume, classes: tuple[LabelClass, ...]) -> AnnotationDocument:
    return AnnotationDocument(tiny, axis=0, classes=classes)


def plane(*values: int) -> Plane:
    """Return (8, 10) that begins with the values, and is 0 elsewhere."""
    return np.array([*values, *[0] * (80 - len(values))], dtype=np.uint8).reshape(8, 10)


def full(value: int) -> Plane:
    return np.full((8, 10), value, dtype=np.uint8)


def predict(sheet: AnnotationDocument, index: int, class_index: int, percent: int = 40) -> None:
    sheet.predict(index, full(class_index), full(percent))


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
    sheet: AnnotationDocument,
    painted: tuple[int, ...],
    mark: SliceState | None,
    is_open: bool,
    labels: list[int],
    state: SliceState,
) -> None:
    sheet.open_index = SLICE if is_open else None
    sheet.paint({SLICE: plane(*painted)})
    sheet.mark(SLICE, mark)
    assert first(sheet.label_slice(SLICE).labels) == labels
    assert sheet.state(SLICE) is sheet.label_slice(SLICE).state is state
    assert sheet.annotated == (() if state is SliceState.UNLABELLED else (SLICE,))
    assert sheet.states()[SLICE] is state


@pytest.mark.parametrize(
    ("painted", "mark", "expected"),
    [
        ((), None, [SPLEEN] * 4),
        (STROKES, None, [LIVER, SPLEEN, 0, 0]),
        (STROKES, SliceState.PARTIAL, [LIVER, SPLEEN, 0, SPLEEN]),
        ((), SliceState.BACKGROUND_ONLY, [0] * 4),
    ],
)
def test_what_is_shown_is_what_a_person_judged_and_elsewhere_the_prediction(
    sheet: AnnotationDocument, painted: tuple[int, ...], mark: SliceState | None, expected: list[int]
) -> None:
    predict(sheet, SLICE, 2)
    sheet.paint({SLICE: plane(*painted)})
    sheet.mark(SLICE, mark)
    assert first(sheet.shown(SLICE)) == expected
    assert np.array_equal(sheet.mask()[SLICE], sheet.shown(SLICE))


def test_leaving_the_open_slice_completes_it(sheet: AnnotationDocument) -> None:
    predict(sheet, SLICE, 2)
    sheet.open_index = SLICE
    sheet.paint({SLICE: plane(LIVER)})
    assert first(sheet.shown(SLICE), 2) == [LIVER, SPLEEN]
    assert sheet.state(SLICE) is SliceState.PARTIAL
    sheet.open_index = None
    assert first(sheet.shown(SLICE), 2) == [LIVER, 0]
    assert sheet.state(SLICE) is SliceState.COMPLETE
    assert dict(sheet.volumes_ml())[sheet.classes[2]] == 0


def test_a_slice_nobody_touched_holds_nothing(sheet: AnnotationDocument) -> None:
    assert not sheet.shown(SLICE).any()
    assert not sheet.painted(SLICE).any()
    assert not sheet.mask().any()
    assert sheet.annotation().annotated == ()
    assert not sheet.has_results


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_stacked_along_the_chosen_axis(tiny: Volume, classes: tuple[LabelClass, ...], axis: int) -> None:
    labels = np.zeros(tiny.shape, dtype=np.int64)
    labels[3, 4, 5] = SPLEEN
    sheet = AnnotationDocument(tiny, axis, classes)
    sheet.load(labels)
    index = (3, 4, 5)[axis]
    assert sheet.annotated == (index,)
    assert sheet.history.undo_name is None
    assert np.array_equal(sheet.painting(), labels)
    assert np.array_equal(sheet.mask(), labels)
    assert np.array_equal(sheet.annotation().slices[index].labels == 2, np.take(labels, index, axis) == SPLEEN)


def test_painting_the_same_again_changes_nothing(sheet: AnnotationDocument) -> None:
    assert sheet.paint({SLICE: plane(LIVER), OTHER: plane()}) == (SLICE,)
    assert sheet.paint({SLICE: plane(LIVER)}) == ()
    assert sheet.undo() == (SLICE,)
    assert sheet.undo() == ()


def test_only_slices_judged_completely_have_outlines(sheet: AnnotationDocument) -> None:
    sheet.paint({1: plane(LIVER), 2: plane(LIVER), 4: plane(SPLEEN)})
    sheet.mark(2, SliceState.PARTIAL)
    sheet.mark(5, SliceState.BACKGROUND_ONLY)
    assert sheet.annotated == (1, 2, 4, 5)
    assert sheet.outlined == (1, 4, 5)


def test_the_worksheet_keeps_its_own_copy_of_a_layer(sheet: AnnotationDocument) -> None:
    layer = plane(LIVER)
    sheet.paint({SLICE: layer})
    sheet.correct({OTHER: layer})
    layer[:] = SPLEEN
    assert first(sheet.painted(SLICE), 2) == first(sheet.shown(OTHER), 2) == [LIVER, 0]


def test_an_unknown_value_is_refused_and_nothing_is_changed(sheet: AnnotationDocument) -> None:
    with pytest.raises(InputError, match=r"label 9 was painted, but the classes are 0, 2, 5\. Add the class"):
        sheet.paint({SLICE: plane(LIVER), OTHER: plane(9)})
    with pytest.raises(InputError, match="label 9"):
        sheet.correct({SLICE: plane(9)})
    assert sheet.annotated == ()
    assert sheet.history.undo_name is None


def test_a_correction_judges_the_whole_slice_and_outlives_predictions(sheet: AnnotationDocument) -> None:
    predict(sheet, SLICE, 1)
    assert sheet.correct({SLICE: plane(SPLEEN, BRUSH, LIVER)}) == (SLICE,)
    predict(sheet, SLICE, 2)
    assert first(sheet.shown(SLICE)) == [SPLEEN, 0, LIVER, 0]
    assert first(sheet.label_slice(SLICE).labels) == [2, 0, 1, 0]
    assert sheet.corrected == (SLICE,)
    assert sheet.painted_values() == {LIVER, SPLEEN}


def test_a_correction_that_was_rubbed_out_again_is_none(sheet: AnnotationDocument) -> None:
    predict(sheet, SLICE, 1)
    sheet.correct({SLICE: plane(SPLEEN)})
    sheet.correct({SLICE: full(LIVER)})
    assert sheet.corrected == sheet.annotated == ()


def test_strokes_on_the_labels_after_a_correction_change_their_pixels_only(sheet: AnnotationDocument) -> None:
    sheet.paint({SLICE: plane(LIVER, LIVER, LIVER)})
    sheet.correct({SLICE: plane(SPLEEN, SPLEEN, SPLEEN, SPLEEN, SPLEEN)})
    sheet.paint({SLICE: plane(LIVER, 0, BRUSH, LIVER)})
    assert first(sheet.shown(SLICE), 6) == [SPLEEN, 0, 0, LIVER, SPLEEN, 0]
    assert first(sheet.painted(SLICE)) == [LIVER, 0, BRUSH, LIVER]


def test_a_slice_that_was_erased_is_unlabelled_whatever_its_mark(sheet: AnnotationDocument) -> None:
    sheet.paint({SLICE: plane(LIVER)})
    sheet.mark(SLICE, SliceState.COMPLETE)
    sheet.paint({SLICE: plane()})
    assert sheet.state(SLICE) is SliceState.UNLABELLED
    sheet.paint({SLICE: plane(LIVER)})
    assert sheet.marks.get(SLICE) is None


def test_painting_in_a_slice_of_background_keeps_the_background_known(sheet: AnnotationDocument) -> None:
    sheet.mark(SLICE, SliceState.BACKGROUND_ONLY)
    sheet.open_index = SLICE
    sheet.paint({SLICE: plane(LIVER)})
    assert sheet.state(SLICE) is SliceState.COMPLETE


@pytest.mark.parametrize(
    ("prepare", "state", "message"),
    [
        (lambda s: s.paint({SLICE: plane(LIVER)}), SliceState.BACKGROUND_ONLY, "Slice 3 is painted.*Erase it first"),
        (lambda s: None, SliceState.COMPLETE, 'Nothing is painted in slice 3.*"Background only"'),
        (lambda s: s.correct({SLICE: plane(LIVER)}), SliceState.PARTIAL, "Slice 3 is corrected.*Undo the correction"),
        (lambda s: s.correct({SLICE: plane(LIVER)}), None, "Slice 3 is corrected"),
        (lambda s: s.correct({SLICE: plane(LIVER)}), SliceState.BACKGROUND_ONLY, "Slice 3 is corrected"),
    ],
)
def test_a_mark_that_contradicts_the_slice_is_refused(
    sheet: AnnotationDocument, prepare: Callable[[AnnotationDocument], object], state: SliceState | None, message: str
) -> None:
    prepare(sheet)
    shown, name = sheet.shown(SLICE), sheet.history.undo_name
    with pytest.raises(InputError, match=message):
        sheet.mark(SLICE, state)
    assert np.array_equal(sheet.shown(SLICE), shown)
    assert sheet.history.undo_name == name


def test_marking_says_whether_anything_changed(sheet: AnnotationDocument) -> None:
    assert sheet.mark(SLICE, SliceState.BACKGROUND_ONLY)
    assert not sheet.mark(SLICE, SliceState.BACKGROUND_ONLY)
    assert sheet.mark(SLICE, None)
    assert sheet.annotated == ()
    sheet.correct({SLICE: plane(LIVER)})
    assert not sheet.mark(SLICE, SliceState.COMPLETE)
    assert sheet.corrected == (SLICE,)


def test_accepted_slices_are_painted_completely(sheet: AnnotationDocument) -> None:
    predict(sheet, 1, 1)
    predict(sheet, 2, 0)
    predict(sheet, 3, 2)
    sheet.paint({3: plane(LIVER)})
    sheet.mark(3, SliceState.PARTIAL)
    sheet.correct({5: plane(SPLEEN)})
    assert sheet.accept(range(6)) == (1, 2, 3, 5)
    assert sheet.states() == [
        SliceState.UNLABELLED,
        SliceState.COMPLETE,
        SliceState.BACKGROUND_ONLY,
        SliceState.COMPLETE,
        SliceState.UNLABELLED,
        SliceState.COMPLETE,
    ]
    assert first(sheet.painted(3), 2) == [LIVER, SPLEEN]
    assert first(sheet.painted(5), 2) == [SPLEEN, 0]
    assert sheet.corrected == ()
    assert sheet.accept(range(6)) == ()


def test_accepting_leaves_a_slice_alone_that_was_painted_completely(sheet: AnnotationDocument) -> None:
    predict(sheet, SLICE, 2)
    sheet.paint({SLICE: plane(LIVER, BRUSH)})
    assert sheet.accept((SLICE,)) == ()
    assert first(sheet.painted(SLICE), 2) == [LIVER, BRUSH]


def test_an_accepted_slice_no_longer_follows_predictions(sheet: AnnotationDocument) -> None:
    predict(sheet, SLICE, 1)
    sheet.accept((SLICE,))
    predict(sheet, SLICE, 2)
    assert first(sheet.shown(SLICE), 1) == [LIVER]


def test_a_slice_is_by_hand_unless_its_labels_came_from_a_prediction(sheet: AnnotationDocument) -> None:
    for index in (1, 2, 3, 4):
        predict(sheet, index, 1)
    sheet.paint({0: plane(LIVER), 3: plane(LIVER), 4: plane(LIVER)})
    sheet.mark(4, SliceState.PARTIAL)
    sheet.accept((1,))
    sheet.correct({index: plane(SPLEEN) for index in (0, 2, 3, 4)})
    assert [index for index in range(6) if sheet.by_hand(index)] == [0, 3]
    assert sheet.machine_made == (1, 2, 4)
    sheet.accept(range(6))
    assert [index for index in range(6) if sheet.by_hand(index)] == [0, 3]


def test_painting_on_an_accepted_slice_does_not_make_it_one_by_hand(sheet: AnnotationDocument) -> None:
    predict(sheet, SLICE, 1)
    sheet.accept((SLICE,))
    sheet.paint({SLICE: plane(SPLEEN)})
    assert not sheet.by_hand(SLICE)
    sheet.paint({SLICE: plane()})
    assert sheet.machine_made == ()
    sheet.paint({SLICE: plane(SPLEEN)})
    assert sheet.by_hand(SLICE)


def test_an_accepted_slice_of_background_that_is_marked_anew_is_by_hand(sheet: AnnotationDocument) -> None:
    predict(sheet, SLICE, 0)
    sheet.accept((SLICE,))
    assert sheet.machine_made == (SLICE,)
    sheet.mark(SLICE, SliceState.PARTIAL)
    sheet.mark(SLICE, SliceState.BACKGROUND_ONLY)
    assert sheet.by_hand(SLICE)


def test_a_correction_that_was_rubbed_out_leaves_strokes_by_hand(sheet: AnnotationDocument) -> None:
    predict(sheet, SLICE, 1)
    sheet.paint({SLICE: plane(SPLEEN)})
    sheet.mark(SLICE, SliceState.PARTIAL)
    shown = sheet.shown(SLICE)
    sheet.correct({SLICE: full(SPLEEN)})
    assert not sheet.by_hand(SLICE)
    sheet.correct({SLICE: shown})
    assert sheet.by_hand(SLICE)


def test_undo_and_redo_know_which_slices_are_by_hand(sheet: AnnotationDocument) -> None:
    predict(sheet, SLICE, 1)
    sheet.accept((SLICE,))
    sheet.undo()
    assert sheet.machine_made == ()
    sheet.redo()
    assert sheet.machine_made == (SLICE,)
    sheet.paint({SLICE: plane()})
    sheet.undo()
    assert sheet.machine_made == (SLICE,)


def test_slices_neither_judged_nor_predicted_are_counted(sheet: AnnotationDocument) -> None:
    assert sheet.unpredicted == 6
    predict(sheet, SLICE, 1)
    sheet.paint({SLICE: plane(LIVER), OTHER: plane(LIVER)})
    sheet.mark(0, SliceState.PARTIAL)
    assert sheet.unpredicted == 4


def test_between_reaches_from_the_first_to_the_last_annotated_slice(sheet: AnnotationDocument) -> None:
    assert sheet.between() == ()
    sheet.mark(1, SliceState.BACKGROUND_ONLY)
    sheet.correct({4: plane(LIVER)})
    assert sheet.between() == (1, 2, 3, 4)


def test_the_next_class_takes_the_next_value_and_colour(sheet: AnnotationDocument) -> None:
    added = sheet.class_list.add()
    assert (added.value, added.name) == (6, "class 6")
    assert sheet.class_list.add("lesion").name == "lesion"
    colors = [label_class.color for label_class in sheet.classes]
    assert len(set(colors)) == len(colors)
    assert [label_class.value for label_class in sheet.classes] == [0, 2, 5, 6, 7]
    assert sheet.history.undo_name is None


def test_the_brush_value_is_never_given_to_a_class(tiny: Volume) -> None:
    sheet = AnnotationDocument(
        tiny, 0, (BACKGROUND_CLASS, LabelClass(253, "a", (1, 2, 3)), LabelClass(255, "b", (4, 5, 6)))
    )
    assert sheet.brush_value == 254
    assert sheet.class_list.add().value == 1
    assert sheet.class_list.ensure([254, 255]) == ()


def test_the_value_of_a_removed_class_is_not_given_to_another_one(sheet: AnnotationDocument) -> None:
    sheet.paint({SLICE: plane(SPLEEN)})
    sheet.remove_class(SPLEEN)
    assert sheet.class_list.add("vessel").value == 6
    sheet.undo()
    names = {label_class.value: label_class.name for label_class in sheet.classes}
    assert names[first(sheet.painted(SLICE))[0]] == "spleen"


def test_a_removed_value_is_given_again_when_no_other_one_is_left(tiny: Volume) -> None:
    sheet = AnnotationDocument(tiny, 0, (BACKGROUND_CLASS, *(LabelClass(n, str(n), (n, 2, 3)) for n in (1, 2, 3))), 4)
    sheet.remove_class(2)
    assert sheet.class_list.add().value == 2


def test_large_values_are_held_as_they_are(sheet: AnnotationDocument) -> None:
    sheet.paint({OTHER: plane(LIVER)})
    assert sheet.class_list.dtype == np.uint8
    assert [label_class.value for label_class in sheet.class_list.ensure([70000, 300, 2])] == [300, 70000]
    assert sheet.class_list.dtype == np.int32
    values = full(0).astype(np.int64)
    values[0, 0] = 70000
    sheet.paint({SLICE: values})
    sheet.undo()
    sheet.redo()
    predict(sheet, 1, 4)
    assert sheet.mask().max() == sheet.painting().max() == 70000
    assert first(sheet.shown(1), 1) == [70000]
    assert sheet.painted(OTHER).dtype == np.int32


def test_more_classes_than_can_be_told_apart_are_refused_at_once(sheet: AnnotationDocument) -> None:
    with pytest.raises(InputError, match="254 classes already"):
        sheet.class_list.ensure(range(1000, 1300))
    assert len(sheet.classes) == 3


def test_a_removed_class_is_gone_everywhere_and_comes_back_on_undo(sheet: AnnotationDocument) -> None:
    before = sheet.classes
    sheet.paint({1: plane(LIVER, SPLEEN), 2: plane(SPLEEN), 5: plane(LIVER)})
    sheet.correct({3: plane(SPLEEN)})
    predict(sheet, 4, 2)
    shown = sheet.mask()
    assert sorted(sheet.remove_class(SPLEEN)) == [1, 2, 3, 4]
    assert not (sheet.mask() == SPLEEN).any()
    assert not (sheet.painting() == SPLEEN).any()
    assert sheet.states()[1:5] == [
        SliceState.COMPLETE,
        SliceState.UNLABELLED,
        SliceState.BACKGROUND_ONLY,
        SliceState.UNLABELLED,
    ]
    assert sheet.classes == before[:2]
    assert sheet.history.undo_name == 'removal of "spleen"'
    assert sorted(sheet.undo()) == [1, 2, 3]
    assert sheet.classes == before
    shown[4] = 0
    assert np.array_equal(sheet.mask(), shown)
    predict(sheet, 4, 2)
    assert sorted(sheet.redo()) == [1, 2, 3, 4]
    assert not (sheet.mask() == SPLEEN).any()


def test_a_class_keeps_its_new_name_when_older_work_is_undone(sheet: AnnotationDocument) -> None:
    sheet.paint({1: plane(SPLEEN)})
    sheet.remove_class(SPLEEN)
    sheet.class_list.change(LIVER, name="Leber")
    sheet.class_list.change(LIVER, color=(9, 9, 9))
    sheet.undo()
    assert [(c.value, c.name) for c in sheet.classes] == [(0, "background"), (LIVER, "Leber"), (SPLEEN, "spleen")]
    assert sheet.classes[1].color == (9, 9, 9)


def test_the_only_class_cannot_be_removed(sheet: AnnotationDocument) -> None:
    sheet.remove_class(SPLEEN)
    with pytest.raises(InputError, match=r'"liver" is the only class.*Add another class first'):
        sheet.remove_class(LIVER)


def test_volumes_follow_what_is_shown(sheet: AnnotationDocument) -> None:
    voxel_ml = 4 * 2 * 1.5 / 1000
    predict(sheet, SLICE, 1)
    assert [ml for _, ml in sheet.volumes_ml()] == pytest.approx([80 * voxel_ml, 0])
    sheet.correct({SLICE: plane(SPLEEN, SPLEEN, LIVER)})
    sheet.paint({OTHER: plane(SPLEEN)})
    assert [ml for _, ml in sheet.volumes_ml()] == pytest.approx([voxel_ml, 3 * voxel_ml])
    sheet.undo()
    sheet.undo()
    assert [ml for _, ml in sheet.volumes_ml()] == pytest.approx([80 * voxel_ml, 0])


def test_uncertainty_follows_predictions_and_cannot_be_written(sheet: AnnotationDocument) -> None:
    view = sheet.predictions.uncertainty
    predict(sheet, SLICE, 1, percent=70)
    assert view[SLICE].max() == view.max() == 70
    assert sheet.predictions.indices == (SLICE,)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1


@pytest.mark.parametrize(
    ("action", "name"),
    [
        (lambda s: s.paint({SLICE: plane(LIVER)}), "painting of slice 3"),
        (lambda s: s.paint({1: plane(LIVER), 2: plane(LIVER)}), "painting of 2 slices"),
        (lambda s: s.correct({SLICE: plane(LIVER)}), "correction of slice 3"),
        (lambda s: s.mark(SLICE, SliceState.BACKGROUND_ONLY), "mark of slice 3"),
        (lambda s: s.accept((0,)), "accept slice 0"),
    ],
)
def test_what_can_be_undone_has_a_name(
    sheet: AnnotationDocument, action: Callable[[AnnotationDocument], object], name: str
) -> None:
    predict(sheet, 0, 1)
    action(sheet)
    assert (sheet.history.undo_name, sheet.history.redo_name) == (name, None)
    sheet.undo()
    assert (sheet.history.undo_name, sheet.history.redo_name) == (None, name)


def test_a_new_action_ends_what_could_be_redone(sheet: AnnotationDocument) -> None:
    sheet.paint({SLICE: plane(LIVER)})
    sheet.undo()
    sheet.paint({OTHER: plane(LIVER)})
    assert sheet.redo() == ()


Snapshot = tuple[Any, ...]


def snapshot(sheet: AnnotationDocument) -> Snapshot:
    """Return everything a person can have done, comparable."""
    labels = [sheet.label_slice(index).labels.tobytes() for index in range(sheet.slice_count)]
    marks = [sheet.marks.get(index) for index in range(sheet.slice_count)]
    return (sheet.painting().tobytes(), labels, marks, sheet.corrected, sheet.classes, sheet.states())


def act_at_random(sheet: AnnotationDocument, rng: np.random.Generator) -> None:
    index, values = int(rng.integers(6)), [0, BRUSH, *(c.value for c in sheet.classes[1:])]
    drawn = rng.choice(values, (8, 10), p=[0.7, *[0.3 / (len(values) - 1)] * (len(values) - 1)]).astype(np.uint8)
    actions: list[Callable[[], object]] = [
        lambda: sheet.paint({index: drawn}),
        lambda: sheet.paint({index: plane()}),
        lambda: sheet.correct({index: drawn}),
        lambda: sheet.mark(index, [None, SliceState.COMPLETE, SliceState.PARTIAL][int(rng.integers(3))]),
        lambda: sheet.mark(index, SliceState.BACKGROUND_ONLY),
        lambda: sheet.accept((index, (index + 1) % 6)),
        lambda: sheet.remove_class(int(rng.choice([c.value for c in sheet.classes[1:]]))),
    ]
    with suppress(InputError):
        actions[int(rng.integers(len(actions)))]()


@pytest.mark.parametrize("seed", range(20))
def test_undoing_everything_leads_back_to_the_beginning_and_redoing_to_the_end(
    sheet: AnnotationDocument, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    for value in (7, 9):
        sheet.class_list.ensure([value])
    predict(sheet, 4, 0)
    seen = [snapshot(sheet)]
    for _ in range(40):
        act_at_random(sheet, rng)
        if snapshot(sheet) != seen[-1]:
            seen.append(snapshot(sheet))
    assert len(seen) > 10
    back = [snapshot(sheet)]
    while sheet.history.undo_name is not None:
        sheet.undo()
        if snapshot(sheet) != back[-1]:
            back.append(snapshot(sheet))
    assert back == seen[::-1]
    while sheet.history.redo_name is not None:
        sheet.redo()
    assert snapshot(sheet) == seen[-1]
