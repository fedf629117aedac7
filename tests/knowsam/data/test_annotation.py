"""Unlabelled, background and ignored stay three different things, and nothing painted is ever changed."""

from __future__ import annotations

import numpy as np
import pytest

from knowsam.data.annotation import (
    BACKGROUND,
    BACKGROUND_CLASS,
    IGNORE,
    Annotation,
    LabelArray,
    LabelClass,
    LabelSlice,
    SliceState,
    class_indices,
    class_sources,
    default_classes,
    label_values,
    require_same_names,
)
from knowsam.data.label_volume import slices_with_labels
from knowsam.errors import InputError

SHAPE = (6, 4, 5)
CLASSES = (BACKGROUND_CLASS, LabelClass(7, "liver", (1, 2, 3)), LabelClass(3, "spleen", (4, 5, 6)))


@pytest.fixture
def empty() -> Annotation:
    return Annotation(SHAPE, axis=0, classes=CLASSES)


def plane(*values: int) -> LabelArray:
    """Return labels (4, 5) that begin with the values and repeat the last one."""
    return np.array([*values, *[values[-1]] * (20 - len(values))], dtype=np.uint8).reshape(4, 5)


@pytest.mark.parametrize(
    ("labels", "state"),
    [
        (plane(IGNORE), SliceState.UNLABELLED),
        (plane(BACKGROUND), SliceState.BACKGROUND_ONLY),
        (plane(1, BACKGROUND), SliceState.COMPLETE),
        (plane(1, IGNORE), SliceState.PARTIAL),
        (plane(BACKGROUND, IGNORE), SliceState.PARTIAL),
    ],
    ids=["nothing labelled", "all background", "all labelled", "one pixel painted", "one pixel background"],
)
def test_the_state_of_a_slice_says_how_much_is_annotated(labels: LabelArray, state: SliceState) -> None:
    assert LabelSlice(0, 2, labels).state is state


def test_a_label_slice_keeps_its_own_read_only_copy() -> None:
    labels = plane(1, 0)
    label_slice = LabelSlice(0, 2, labels)
    labels[:] = 2
    assert label_slice.labels.max() == 1
    with pytest.raises(ValueError, match="read-only"):
        label_slice.labels[0, 0] = 2


def test_slices_are_either_annotated_or_unlabelled(empty: Annotation) -> None:
    annotation = empty.with_slice(LabelSlice(0, 4, plane(1, 0))).with_slice(LabelSlice(0, 1, plane(0)))
    assert annotation.annotated == (1, 4)
    assert annotation.unlabelled == (0, 2, 3, 5)
    assert [annotation.state(index) for index in (0, 1, 4)] == [
        SliceState.UNLABELLED,
        SliceState.BACKGROUND_ONLY,
        SliceState.COMPLETE,
    ]


def test_a_repainted_slice_takes_the_place_of_the_old_one(empty: Annotation) -> None:
    before = empty.with_slice(LabelSlice(0, 4, plane(1)))
    after = before.with_slice(LabelSlice(0, 4, plane(2)))
    assert (before.slices[4].labels.max(), after.slices[4].labels.max()) == (1, 2)
    assert empty.annotated == ()


def test_an_unlabelled_slice_takes_the_old_labels_away(empty: Annotation) -> None:
    painted = empty.with_slice(LabelSlice(0, 4, plane(1)))
    assert painted.with_slice(LabelSlice(0, 4, plane(IGNORE))).annotated == ()


@pytest.mark.parametrize(
    ("label_slice", "message"),
    [
        (LabelSlice(1, 2, plane(1)), "Slice 2 along axis 1 .* slices 0 to 5 along axis 0"),
        (LabelSlice(0, 6, plane(1)), "Slice 6 along axis 0 .* slices 0 to 5"),
        (LabelSlice(0, -1, plane(1)), "Slice -1 along axis 0 .* slices 0 to 5"),
        (LabelSlice(0, 2, plane(1).T), r"shape \(5, 4\), but the image has \(4, 5\)"),
        (LabelSlice(0, 2, plane(3, IGNORE)), "holds class 3, but there are 3 classes"),
    ],
    ids=["another axis", "beyond the end", "before the start", "another shape", "unknown class"],
)
def test_a_slice_that_does_not_belong_is_refused(empty: Annotation, label_slice: LabelSlice, message: str) -> None:
    with pytest.raises(InputError, match=message):
        empty.with_slice(label_slice)


@pytest.mark.parametrize(("axis", "plane_shape"), [(0, (4, 5)), (1, (6, 5)), (2, (6, 4))])
def test_a_slice_has_the_two_other_axes(axis: int, plane_shape: tuple[int, int]) -> None:
    assert Annotation(SHAPE, axis, CLASSES).plane_shape == plane_shape


@pytest.mark.parametrize("value", [-1, 0.5, np.nan])
def test_values_that_are_no_labels_are_refused_unless_they_mark_unlabelled_voxels(value: float) -> None:
    labels = np.zeros(SHAPE)
    labels[2, 1:3, 1:3], labels[2, 0, 0] = 7, value
    with pytest.raises(InputError, match="labels are whole numbers from 0"):
        Annotation.from_labels(labels, 0)
    if value == -1:
        assert Annotation.from_labels(labels, 0, ignore_value=-1).slices[2].labels[0, 0] == IGNORE


@pytest.mark.parametrize(("shape", "axis"), [(SHAPE, 3), (SHAPE, -1), (SHAPE[1:], 0)])
def test_labels_that_are_no_volume_are_a_programming_error(shape: tuple[int, ...], axis: int) -> None:
    with pytest.raises(ValueError, match="is needed"):
        Annotation.from_labels(np.ones(shape, np.uint8), axis)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_whole_slices_of_a_label_volume_become_complete(axis: int) -> None:
    labels = np.zeros(SHAPE, dtype=np.int16)
    labels[2:4, 1:3, 1:3] = 7
    annotation = Annotation.from_labels(labels, axis)
    assert annotation.annotated == slices_with_labels(labels, axis) == ((2, 3) if axis == 0 else (1, 2))
    for index, label_slice in annotation.slices.items():
        np.testing.assert_array_equal(label_slice.labels * 7, labels.take(index, axis))
        assert label_slice.state is SliceState.COMPLETE


def test_a_chosen_slice_without_labels_is_background_and_not_unlabelled() -> None:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[2, 1, 1] = 1
    annotation = Annotation.from_labels(labels, 0, indices=[5, 2])
    assert annotation.annotated == (2, 5)
    assert annotation.state(5) is SliceState.BACKGROUND_ONLY


def test_classes_are_taken_from_the_chosen_slices_alone() -> None:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[2, 1, 1], labels[3, 1, 1] = 9, 4
    assert [c.value for c in Annotation.from_labels(labels, 0, indices=[2]).classes] == [0, 9]


@pytest.mark.parametrize(
    ("value", "indices", "message"),
    [
        (0, None, "No slice of the labels is annotated"),
        (1, [], "No slice of the labels is annotated"),
        (1, [2, 6], "Slice 6 is to be used, but axis 0 has slices 0 to 5"),
        (1, [3], "hold background only"),
    ],
    ids=["empty volume", "nothing chosen", "outside", "background only"],
)
def test_labels_to_learn_nothing_from_are_refused(value: int, indices: list[int] | None, message: str) -> None:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[2] = value
    with pytest.raises(InputError, match=message):
        Annotation.from_labels(labels, 0, indices)


def test_class_indices_and_label_values_are_inverse_whatever_the_order_of_the_classes() -> None:
    values = np.array([[0, 3], [7, 3]])
    indices = class_indices(values, CLASSES)
    assert indices.tolist() == [[0, 2], [1, 2]]
    assert indices.dtype == np.uint8
    np.testing.assert_array_equal(label_values(indices, CLASSES), values)


@pytest.mark.parametrize("stranger", [-1, 1, 5, 9])
def test_a_value_without_class_is_refused(stranger: int) -> None:
    with pytest.raises(InputError, match=f"hold the value {stranger}, but the classes are 0, 7, 3"):
        class_indices(np.array([0, 7, stranger]), CLASSES)


def test_default_classes_are_sorted_named_and_coloured_with_background_first() -> None:
    classes = default_classes([7, 0, 2, 7])
    assert [(c.value, c.name) for c in classes] == [(0, "background"), (2, "class 2"), (7, "class 7")]
    assert len({c.color for c in classes}) == 3


def test_there_can_be_as_many_classes_as_leave_ignore_free() -> None:
    assert len(default_classes(range(1, 255))) == IGNORE
    with pytest.raises(InputError, match="255 classes, but at most 254"):
        default_classes(range(1, 256))


def test_voxels_of_the_ignore_value_are_unlabelled_and_no_class() -> None:
    labels = np.zeros((3, 2, 2), dtype=np.uint8)
    labels[1] = [[5, 9], [0, 9]]
    labels[2] = 9
    annotation = Annotation.from_labels(labels, axis=0, ignore_value=9)
    assert [label_class.value for label_class in annotation.classes] == [0, 5]
    assert annotation.annotated == (1,)
    assert annotation.state(1) is SliceState.PARTIAL
    assert annotation.slices[1].labels.tolist() == [[1, IGNORE], [0, IGNORE]]


@pytest.mark.parametrize("label", [-1, 256, 300])
def test_labels_that_no_byte_holds_are_refused_before_they_wrap(label: int) -> None:
    with pytest.raises(InputError, match="Number the classes from 1"):
        LabelSlice(0, 3, np.full((2, 2), label))


LIVER, SPLEEN, KIDNEY = CLASSES[1], CLASSES[2], LabelClass(9, "kidney", (7, 8, 9))


@pytest.mark.parametrize(
    ("classes", "before", "after"),
    [
        (CLASSES, plane(0, 1, 2, 0), plane(0, 1, 2, 0)),
        ((*CLASSES, KIDNEY), plane(0, 1, 2, 0), plane(0, 1, 2, 0)),
        ((BACKGROUND_CLASS, SPLEEN, LIVER), plane(0, 1, 2, 0), plane(0, 2, 1, 0)),
        ((BACKGROUND_CLASS, KIDNEY, SPLEEN), plane(0, 1, 2, 0), plane(0, 0, 2, 0)),
        ((BACKGROUND_CLASS, SPLEEN), plane(0, 1, 2, IGNORE), plane(0, IGNORE, 1, IGNORE)),
        ((BACKGROUND_CLASS, SPLEEN), plane(1), plane(0)),
    ],
    ids=["same", "added", "reordered", "replaced", "removed where partly painted", "removed where alone"],
)
def test_with_other_classes_labels_keep_their_meaning(
    empty: Annotation, classes: tuple[LabelClass, ...], before: LabelArray, after: LabelArray
) -> None:
    changed = empty.with_slice(LabelSlice(0, 3, before)).with_classes(classes)
    assert changed.classes == classes
    np.testing.assert_array_equal(changed.slices[3].labels, after)


def test_a_slice_in_which_nothing_labelled_is_left_is_unlabelled_again(empty: Annotation) -> None:
    painted = empty.with_slice(LabelSlice(0, 3, plane(1, IGNORE))).with_slice(LabelSlice(0, 4, plane(2, IGNORE)))
    assert painted.with_classes((BACKGROUND_CLASS, SPLEEN)).annotated == (4,)


def test_a_new_name_or_color_changes_no_label(empty: Annotation) -> None:
    painted = empty.with_slice(LabelSlice(0, 3, plane(0, 1, 2, IGNORE)))
    renamed = painted.with_classes((BACKGROUND_CLASS, LabelClass(7, "hepar", (9, 9, 9)), SPLEEN))
    np.testing.assert_array_equal(renamed.slices[3].labels, painted.slices[3].labels)
    assert renamed.classes[1].name == "hepar"


def test_the_annotation_asked_for_other_classes_stays_as_it_was(empty: Annotation) -> None:
    painted = empty.with_slice(LabelSlice(0, 3, plane(0, 1, 2, IGNORE)))
    painted.with_classes((BACKGROUND_CLASS,))
    assert painted.classes == CLASSES
    np.testing.assert_array_equal(painted.slices[3].labels, plane(0, 1, 2, IGNORE))


@pytest.mark.parametrize(
    ("after", "sources"),
    [
        ([0, 1, 5], [0, 1, 2]),
        ([0, 1, 5, 2], [0, 1, 2, None]),
        ([0, 5], [0, 2]),
        ([0, 5, 1], [0, 2, 1]),
        ([0, 9], [0, None]),
    ],
    ids=["same", "added", "removed", "reordered", "replaced"],
)
def test_a_class_is_known_by_its_label_value(after: list[int], sources: list[int | None]) -> None:
    assert class_sources(_classes([0, 1, 5]), _classes(after)) == sources


def _classes(values: list[int]) -> tuple[LabelClass, ...]:
    return tuple(LabelClass(value, f"class {value}", (1, 2, 3)) for value in values)


def test_values_must_stand_for_the_same_as_far_as_they_have_names() -> None:
    def named(*names: str) -> list[LabelClass]:
        return [LabelClass(value, name, (0, 0, 0)) for value, name in enumerate(names, 1)]

    require_same_names(named("Liver", "class 2", "cyst"), named("liver", "spleen"), "scan")
    with pytest.raises(InputError, match="value 2 is “spleen” here, but “cyst” in scan"):
        require_same_names(named("liver", "spleen"), named("class 1", "cyst"), "scan")
