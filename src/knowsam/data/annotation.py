"""Annotations, slice by slice: which pixels are painted, background or unlabelled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from knowsam.data.class_colors import class_color
from knowsam.data.ends import End, Extents, outermost
from knowsam.data.label_volume import require_label_volume, slices_with_labels
from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.data.volume import Volume

BACKGROUND = 0
"""Class index of pixels that are known to belong to none of the painted classes."""

IGNORE = 255
"""Label of an unlabelled pixel; it never enters a loss or a score."""

LabelArray = npt.NDArray[np.uint8]


class SliceState(Enum):
    """How much of one slice a person has annotated."""

    UNLABELLED = "unlabelled"
    PARTIAL = "partly labelled"
    COMPLETE = "complete"
    BACKGROUND_ONLY = "background only"


@dataclass(frozen=True)
class LabelClass:
    """One class: the value it has in label files, a name and a colour (red, green, blue in 0-255)."""

    value: int
    name: str
    color: tuple[int, int, int]


BACKGROUND_CLASS = LabelClass(0, "background", (0, 0, 0))


def default_classes(values: Iterable[int], known: Iterable[LabelClass] = ()) -> tuple[LabelClass, ...]:
    """Return background and one named, coloured class for each label value, in ascending order.

    Parameters
    ----------
    known : classes that keep their names and colours, where their values occur.

    >>> [c.name for c in default_classes([7, 2], known=[LabelClass(7, "liver", (9, 9, 9))])]
    ['background', 'class 2', 'liver']
    """
    named = {label_class.value: label_class for label_class in known}
    foreground = sorted(set(values) - {BACKGROUND_CLASS.value})
    if len(foreground) >= IGNORE:
        raise InputError(
            f"The labels hold {len(foreground)} classes, but at most {IGNORE - 1} can be told apart. "
            "Give a label file that holds classes, not object numbers."
        )
    colored = (named.get(v, LabelClass(v, f"class {v}", class_color(i))) for i, v in enumerate(foreground))
    return (BACKGROUND_CLASS, *colored)


def joined_classes(*classes: Iterable[LabelClass]) -> tuple[LabelClass, ...]:
    """Return all classes by ascending label value, so that background is first; of one value, the last one counts.

    >>> [c.name for c in joined_classes(default_classes([2, 7]), [LabelClass(7, "liver", (9, 9, 9))])]
    ['background', 'class 2', 'liver']
    """
    known = {one.value: one for some in classes for one in some}
    return tuple(known[value] for value in sorted(known))


def require_same_names(classes: Iterable[LabelClass], others: Iterable[LabelClass], of: str) -> None:
    """Check that label values stand for the same in other labels, as far as both have been given names.

    Parameters
    ----------
    of : where the others come from, for the message.

    Raises
    ------
    InputError
        If a value has two names.
    """
    if difference := different_name(classes, others, of):
        raise InputError(f"{difference} Give a value the same name everywhere, or leave that volume out.")


def different_name(classes: Iterable[LabelClass], others: Iterable[LabelClass], of: str) -> str | None:
    """Return a sentence on a label value with two names, None if there is none; see `require_same_names`."""
    names = {one.value: one.name for one in classes}
    for other in others:
        name = names.get(other.value, other.name)
        if name.casefold() != other.name.casefold() and f"class {other.value}" not in (name, other.name):
            return f"The label value {other.value} is “{name}” here, but “{other.name}” in {of}."
    return None


def labelled_classes(labels: Volume) -> tuple[LabelClass, ...]:
    """Return the classes that have voxels in labels, without background.

    Raises
    ------
    InputError
        If there are none.
    """
    classes = default_classes((int(value) for value in np.unique(labels.array)), known=labels.classes)[1:]
    if not classes:
        raise InputError(
            f"{labels.name or 'The mask'} is empty, so there is nothing to write. Give a mask with labels."
        )
    return classes


@dataclass(frozen=True)
class LabelSlice:
    """The labels of one slice.

    Parameters
    ----------
    axis, index : position in the working volume.
    labels : (H, W), class indices, IGNORE where unlabelled. Copied and made read-only.
    ends : structures that do not go on beyond this slice.
    by_hand : False if a prediction was accepted or corrected, or an outline of SAM not confirmed yet; a score on such a
        slice would flatter.
    corrected : whether a person painted over a part of the prediction and left the rest.
    unconfirmed : whether it has an outline of SAM that nobody has corrected or accepted.

    Raises
    ------
    InputError
        If a label is neither a class index nor IGNORE.
    """

    axis: int
    index: int
    labels: LabelArray
    ends: frozenset[End] = frozenset()
    by_hand: bool = True
    corrected: bool = False
    unconfirmed: bool = False

    def __post_init__(self) -> None:
        given = np.asarray(self.labels)
        if given.size and (given.min() < 0 or given.max() > IGNORE):
            raise InputError(
                f"Slice {self.index}, counted from 0, holds labels from {given.min()} to {given.max()}, but class "
                f"indices from 0 to {IGNORE - 1}, and {IGNORE} for unlabelled pixels, were expected. Number the "
                "classes from 1."
            )
        labels = given.astype(np.uint8)
        labels.setflags(write=False)
        object.__setattr__(self, "labels", labels)

    @property
    def state(self) -> SliceState:
        """How much of the slice is annotated."""
        labelled = self.labels != IGNORE
        if not labelled.any():
            return SliceState.UNLABELLED
        if not labelled.all():
            return SliceState.PARTIAL
        return SliceState.COMPLETE if self.labels.any() else SliceState.BACKGROUND_ONLY

    @property
    def can_be_completed(self) -> bool:
        """Whether both background and structures are labelled in part, so that the rest can be inferred."""
        return self.state is SliceState.PARTIAL and bool(self.classes) and bool((self.labels == BACKGROUND).any())

    @property
    def is_reference(self) -> bool:
        """Whether predictions can be scored on it; not if one was merely accepted."""
        return self.by_hand or self.corrected

    @cached_property
    def classes(self) -> frozenset[int]:
        """Indices of the classes that are painted, without background."""
        return frozenset(np.unique(self.labels).tolist()) - {BACKGROUND, IGNORE}

    def has_same_annotation(self, other: LabelSlice) -> bool:
        """Return whether labels and marks are the same."""
        same_marks = (self.ends, self.by_hand, self.corrected) == (other.ends, other.by_hand, other.corrected)
        return same_marks and np.array_equal(self.labels, other.labels)

    @property
    def structures(self) -> npt.NDArray[np.bool_]:
        """(H, W), where any class but background is painted."""
        painted: npt.NDArray[np.bool_] = (self.labels != BACKGROUND) & (self.labels != IGNORE)
        return painted


@dataclass(frozen=True)
class Annotation:
    """Everything painted in one volume, along one axis.

    Parameters
    ----------
    shape : (Z, Y, X) of the working volume.
    axis : working axis the slices are stacked along.
    classes : background first; their order gives the class indices.
    slices : the annotated slices by index; an index that is absent is unlabelled.
    """

    shape: tuple[int, int, int]
    axis: int
    classes: tuple[LabelClass, ...]
    slices: Mapping[int, LabelSlice] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def plane_shape(self) -> tuple[int, int]:
        """(H, W) of a slice."""
        return plane_shape(self.shape, self.axis)

    @property
    def annotated(self) -> tuple[int, ...]:
        """Indices of all annotated slices, ascending."""
        return tuple(sorted(self.slices))

    @property
    def by_hand(self) -> tuple[int, ...]:
        """Indices of all annotated slices whose labels a person has drawn or confirmed, ascending, see `LabelSlice`."""
        return tuple(index for index in self.annotated if self.slices[index].by_hand)

    @property
    def unlabelled(self) -> tuple[int, ...]:
        """Indices of all slices that nobody has annotated, ascending."""
        return tuple(index for index in range(self.shape[self.axis]) if index not in self.slices)

    def state(self, index: int) -> SliceState:
        """Return the state of one slice."""
        return self.slices[index].state if index in self.slices else SliceState.UNLABELLED

    @property
    def extents(self) -> Extents:
        """The slices in which each class can be, by the ends that a person has marked."""
        return Extents.of(self.slices, len(self.classes))

    def with_painted_ends(self) -> Annotation:
        """Return the annotation with an end marked on both outermost slices in which a class is painted."""
        ends: dict[int, set[End]] = {index: set(one.ends) for index, one in self.slices.items()}
        for number in range(1, len(self.classes)):
            holding = [index for index, one in self.slices.items() if number in one.classes]
            for side, index in outermost(holding).items() if holding else ():
                ends[index].add(End(number, side))
        slices = {index: replace(one, ends=frozenset(ends[index])) for index, one in self.slices.items()}
        return replace(self, slices=MappingProxyType(slices))

    def with_slice(self, label_slice: LabelSlice) -> Annotation:
        """Return the annotation with one slice replaced; an unlabelled one removes the old labels.

        Raises
        ------
        InputError
            If the slice belongs to another axis, lies outside the volume, has another shape or holds an unknown class.
        """
        self._check(label_slice)
        slices = {index: kept for index, kept in self.slices.items() if index != label_slice.index}
        if label_slice.state is not SliceState.UNLABELLED:
            slices[label_slice.index] = label_slice
        return replace(self, slices=MappingProxyType(slices))

    def with_classes(self, classes: tuple[LabelClass, ...]) -> Annotation:
        """Return the annotation with other classes; pixels of a class that is gone count as not painted."""
        values = [label_class.value for label_class in classes]
        slices = {}
        for index, label_slice in self.slices.items():
            unpainted = IGNORE if label_slice.state is SliceState.PARTIAL else BACKGROUND
            table = np.full(IGNORE + 1, IGNORE, np.uint8)
            for before, label_class in enumerate(self.classes):
                known = label_class.value in values
                table[before] = values.index(label_class.value) if known else unpainted
            kept = [end for end in label_slice.ends if self.classes[end.of].value in values]
            ends = frozenset(End(int(table[end.of]), end.side) for end in kept)
            changed = replace(label_slice, labels=table[label_slice.labels], ends=ends)
            if changed.state is not SliceState.UNLABELLED:
                slices[index] = changed
        return replace(self, classes=classes, slices=MappingProxyType(slices))

    def _check(self, label_slice: LabelSlice) -> None:
        if label_slice.axis != self.axis or not 0 <= label_slice.index < self.shape[self.axis]:
            raise InputError(
                f"Slice {label_slice.index} along axis {label_slice.axis} was annotated, but slices 0 to "
                f"{self.shape[self.axis] - 1} along axis {self.axis} were expected, all counted from 0. Annotate along "
                "one axis only."
            )
        if label_slice.labels.shape != self.plane_shape:
            raise InputError(
                f"The labels of slice {label_slice.index}, counted from 0, have shape {label_slice.labels.shape}, but "
                f"the image has {self.plane_shape}. Use the labels that belong to this image."
            )
        labelled = label_slice.labels[label_slice.labels != IGNORE]
        if labelled.size and labelled.max() >= len(self.classes):
            raise InputError(
                f"Slice {label_slice.index}, counted from 0, holds class {labelled.max()}, but there are "
                f"{len(self.classes)} classes with background. Add the class first."
            )

    @classmethod
    def from_labels(
        cls,
        labels: npt.NDArray[np.integer],
        axis: int,
        indices: Iterable[int] | None = None,
        classes: tuple[LabelClass, ...] | None = None,
        ignore_value: int | None = None,
    ) -> Annotation:
        """Return slices of a label volume as completely annotated, except for voxels of the `ignore_value`.

        Parameters
        ----------
        labels : (Z, Y, X), label values in the working orientation.
        indices : the annotated slices; by default every slice that holds any class.
        ignore_value : marks unlabelled voxels; by default there are none in an annotated slice.

        Raises
        ------
        InputError
            If no slice is annotated, an index lies outside the volume, no class is painted in any annotated slice, or a
            value is no label.
        """
        classified = without_ignored(labels, ignore_value)
        require_label_volume(classified, axis)
        chosen = slices_with_labels(classified, axis) if indices is None else tuple(indices)
        if not chosen:
            raise InputError("No slice of the labels is annotated. Paint at least one slice of the structure.")
        outside = [index for index in chosen if not 0 <= index < labels.shape[axis]]
        if outside:
            raise InputError(
                f"Slice {outside[0]} is to be used, but axis {axis} has slices 0 to {labels.shape[axis] - 1}. "
                "Count slices from 0."
            )
        planes = np.take(classified, chosen, axis=axis)
        if classes is None:
            classes = default_classes(int(value) for value in np.unique(planes))
        if len(classes) < 2:
            raise InputError("The annotated slices hold background only. Annotate at least one slice of the structure.")
        indexed = class_indices(planes, classes)
        if ignore_value is not None:
            indexed[np.take(labels, chosen, axis=axis) == ignore_value] = IGNORE
        annotation = cls(shape=labels.shape, axis=axis, classes=classes)
        for position, index in enumerate(chosen):
            annotation = annotation.with_slice(LabelSlice(axis, index, np.take(indexed, position, axis=axis)))
        return annotation


def plane_shape(shape: tuple[int, int, int], axis: int) -> tuple[int, int]:
    """Return (H, W) of the slices along an axis of a volume (Z, Y, X)."""
    first, second = (count for other, count in enumerate(shape) if other != axis)
    return first, second


def without_ignored(labels: npt.NDArray[np.integer], ignore_value: int | None) -> npt.NDArray[np.integer]:
    """Return label values in which voxels of the `ignore_value` are replaced by background."""
    return labels if ignore_value is None else np.where(labels == ignore_value, BACKGROUND_CLASS.value, labels)


def class_indices(values: npt.NDArray[np.integer], classes: tuple[LabelClass, ...]) -> LabelArray:
    """Turn label values into class indices; the inverse of `label_values`.

    Raises
    ------
    InputError
        If a value belongs to no class.
    """
    known = np.array([label_class.value for label_class in classes])
    order = np.argsort(known)
    found = np.minimum(np.searchsorted(known, values, sorter=order), len(known) - 1)
    indices = order[found]
    unknown = np.unique(values[known[indices] != values])
    if unknown.size:
        raise InputError(
            f"The labels hold the value {unknown[0]}, but the classes are {', '.join(map(str, known))}. "
            "Use label files with the same classes."
        )
    return indices.astype(np.uint8)


def label_values(indices: LabelArray, classes: tuple[LabelClass, ...]) -> npt.NDArray[np.int32]:
    """Turn class indices into the values that label files hold."""
    return np.array([label_class.value for label_class in classes], dtype=np.int32)[indices]


def class_sources(before: Sequence[LabelClass], after: Sequence[LabelClass]) -> list[int | None]:
    """Return for each class its former index, None for a new class; classes are matched by their values."""
    known = [label_class.value for label_class in before]
    return [known.index(one.value) if one.value in known else None for one in after]
