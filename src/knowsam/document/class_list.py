"""The classes of one document: which values mean what, and which value the background brush paints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt

from knowsam.data.annotation import BACKGROUND_CLASS, IGNORE, LabelArray, LabelClass
from knowsam.data.class_colors import class_color
from knowsam.errors import InputError

MOST_CLASSES = IGNORE
"""With background; larger class indices would collide with `IGNORE`."""


def background_brush(values: Iterable[int]) -> int:
    """Return the value for known background: the largest one of a byte that is no label.

    Raises
    ------
    InputError
        If every value is a label.

    >>> background_brush([1, 2]), background_brush([1, 255])
    (255, 254)
    """
    taken = set(values)
    for value in range(255, 0, -1):
        if value not in taken:
            return value
    raise InputError(
        "The labels hold every value from 1 to 255, but one must be left for known background. "
        "Choose other labels, or make new ones."
    )


@dataclass(frozen=True)
class ClassPresence:
    """That a class is, or is not, in the list of classes, and where."""

    label_class: LabelClass
    position: int
    present: bool


class ClassList:
    """Classes that can be added to, renamed, recoloured and taken away; background always comes first.

    Parameters
    ----------
    classes : background first.
    brush_value : reserved for known background; no class ever gets it. By default the largest value up to 255 that is
        no class.

    Raises
    ------
    ValueError
        If background is not first, or a value is negative, that of two classes, or of a class and the brush.
    """

    def __init__(self, classes: tuple[LabelClass, ...], brush_value: int | None = None) -> None:
        values = {label_class.value for label_class in classes}
        if classes[0].value != BACKGROUND_CLASS.value or brush_value in values:
            raise ValueError(f"Background first, and a brush value that is no class: {classes}, {brush_value}")
        if len(values) < len(classes) or min(values) < 0:
            raise ValueError(f"A value of its own, from 0, for each class: {classes}")
        self.all = classes
        self.brush_value = background_brush(values) if brush_value is None else brush_value
        # What is undone brings pixels of a removed class back, which must not come back as another one.
        self._removed_values: set[int] = set()

    @property
    def values(self) -> tuple[int, ...]:
        """Values of all classes, background first."""
        return tuple(label_class.value for label_class in self.all)

    def name_of(self, value: int) -> str:
        """Return what the class with a label value is called."""
        return next(one.name for one in self.all if one.value == value)

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """The smallest type that holds every class value and the brush value."""
        values = (*self.values, self.brush_value)
        candidates: tuple[np.dtype[np.integer], ...] = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.int32))
        fitting = (t for t in candidates if np.iinfo(t).min <= min(values) and max(values) <= np.iinfo(t).max)
        return next(fitting, np.dtype(np.int64))

    def require_known(self, values: npt.NDArray[np.integer]) -> None:
        """Check that every value is a class or the brush.

        Raises
        ------
        InputError
            If one is neither.
        """
        unknown = np.setdiff1d(values, (*self.values, self.brush_value))
        if unknown.size:
            raise InputError(
                f"The label {unknown[0]} was painted, but the classes are {', '.join(map(str, self.values))}. "
                "Add the class first."
            )

    def indices(self, painting: npt.NDArray[np.integer]) -> LabelArray:
        """Return class indices of a painting: background where the brush painted it, IGNORE where nothing did."""
        indices = np.zeros(painting.shape, dtype=np.uint8)
        # Sums take a tenth of the time of assignments to many pixels.
        for index, value in enumerate(self.values[1:], start=1):
            indices += (painting == value) * np.uint8(index)
        unlabelled = (indices == 0) & (painting != self.brush_value)
        return indices + unlabelled * np.uint8(IGNORE) if unlabelled.any() else indices

    def add(self, name: str | None = None) -> LabelClass:
        """Add a class with the next free colour, and the next value that no class ever had while there is one.

        Raises
        ------
        InputError
            If no value is free.
        """
        value = self._free_value()
        return self._append([(value, name or f"class {value}")])[0]

    def ensure(self, values: Iterable[int]) -> tuple[LabelClass, ...]:
        """Add a class for every value that has none, and return those.

        Raises
        ------
        InputError
            If there are more values than classes can be told apart.
        """
        new_values = sorted({int(value) for value in values} - {*self.values, self.brush_value})
        return self._append([(value, f"class {value}") for value in new_values])

    def change(self, value: int, *, name: str | None = None, color: tuple[int, int, int] | None = None) -> None:
        """Give a class another name or colour."""
        self.all = tuple(
            replace(one, name=name or one.name, color=color or one.color) if one.value == value else one
            for one in self.all
        )

    def replace(self, classes: tuple[LabelClass, ...]) -> None:
        """Have these classes and no others; nothing may be painted yet."""
        self.all = classes
        if self.brush_value in self.values:
            self.brush_value = background_brush(self.values)

    def take_over(self, classes: tuple[LabelClass, ...], brush_value: int, *, is_painted: bool) -> None:
        """Add other classes, with their names and colours.

        If one has the brush value, the other brush value takes its place, unless a pixel can be painted with it.

        Raises
        ------
        InputError
            If the classes do not go with the brush value, which must stay; nothing is changed then.
        """
        values = [label_class.value for label_class in classes]
        if self.brush_value in values:
            if is_painted or brush_value in self.values:
                raise InputError(
                    f"There is to be a class with the value {self.brush_value}, which paints known background in these "
                    "labels. Make new labels for it, and try again."
                )
            self.brush_value = brush_value
        self.ensure(values)
        for label_class in classes[1:]:
            self.change(label_class.value, name=label_class.name, color=label_class.color)

    def remove(self, value: int) -> ClassPresence:
        """Take a class away, and return that it was there.

        Raises
        ------
        InputError
            If it is the only one besides background.
        """
        position = self.values.index(value, 1)
        if len(self.all) == 2:
            raise InputError(
                f'"{self.all[1].name}" is the only class, but at least one is needed. Add another class first, '
                "or give this one another name."
            )
        before = ClassPresence(self.all[position], position, present=True)
        self.all = self.all[:position] + self.all[position + 1 :]
        self._removed_values.add(value)
        return before

    def presence_now(self, presence: ClassPresence) -> ClassPresence:
        """Return whether the class is there now."""
        return replace(presence, present=presence.label_class.value in self.values)

    def follow(self, presence: ClassPresence) -> None:
        """Take a class away or bring it back to where it stood, unless its value was given away meanwhile."""
        value, position = presence.label_class.value, presence.position
        if not presence.present:
            self.remove(value)
        elif value not in self.values:
            self.all = (*self.all[:position], presence.label_class, *self.all[position:])

    def _append(self, named: Sequence[tuple[int, str]]) -> tuple[LabelClass, ...]:
        if len(self.all) + len(named) > MOST_CLASSES:
            raise InputError(
                f"There are {MOST_CLASSES - 1} classes already, and no more can be told apart. Remove a class first."
            )
        before = len(self.all)
        for value, name in named:
            self.all = (*self.all, LabelClass(value, name, self._free_color()))
        return self.all[before:]

    def _free_value(self) -> int:
        ever = {value for value in {*self.values, *self._removed_values} if value < self.brush_value}
        after = range(max(ever) + 1, self.brush_value)
        gaps = (value for value in range(1, max(ever)) if value not in ever)
        removed = sorted(ever.difference(self.values))
        value = next(chain(after, gaps, removed), None)
        if value is None:
            raise InputError("Every label value has its class already. Remove a class first.")
        return value

    def _free_color(self) -> tuple[int, int, int]:
        used = {label_class.color for label_class in self.all}
        colors = (class_color(position) for position in range(MOST_CLASSES))
        return next(color for color in colors if color not in used)
