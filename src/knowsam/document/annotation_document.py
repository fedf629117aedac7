"""Everything painted, predicted, corrected and accepted in one volume, and how to undo it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from knowsam.data.annotation import (
    Annotation,
    LabelArray,
    LabelClass,
    LabelSlice,
    SliceState,
    label_values,
    plane_shape,
)
from knowsam.data.ends import End
from knowsam.document.class_list import ClassList
from knowsam.document.history import History, Step
from knowsam.document.predictions import PercentArray, Predictions
from knowsam.document.slice_annotation import NOT_PAINTED, SliceAnnotation, Values, without_brush
from knowsam.document.slice_facts import SliceFacts
from knowsam.document.snapshot import Snapshot

if TYPE_CHECKING:
    from knowsam.data.volume import Volume


class AnnotationDocument:
    """The work on one volume, slice by slice along one axis, in label *values* as layers and files hold them.

    Strokes, marks, corrections, accepted slices and removed classes can be undone; predictions cannot.

    Parameters
    ----------
    volume : the image.
    axis : working axis the slices are stacked along.
    classes : background first.
    brush_value : painted where background is known; by default the largest value up to 255 that is no class.

    Attributes
    ----------
    class_list : adds, renames and recolours classes; `remove_class` takes one away, for slices hold it.
    predictions : the latest of each slice; `predict` takes them.
    history : what `undo` and `redo` are about to do.
    """

    def __init__(
        self, volume: Volume, axis: int, classes: tuple[LabelClass, ...], brush_value: int | None = None
    ) -> None:
        self.volume = volume
        self.axis = axis
        self.class_list = ClassList(classes, brush_value)
        self._slices: dict[int, SliceAnnotation] = {}
        self.predictions = Predictions(volume.shape, axis)
        self._open_index: int | None = None
        self.history = History()
        self._facts: dict[int, SliceFacts] = {}

    @property
    def slice_count(self) -> int:
        """Number of slices along the axis."""
        return self.volume.shape[self.axis]

    @property
    def plane_shape(self) -> tuple[int, int]:
        """(H, W) of a slice."""
        return plane_shape(self.volume.shape, self.axis)

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """Background first; their order gives the class indices."""
        return self.class_list.all

    @property
    def brush_value(self) -> int:
        """What the background brush paints."""
        return self.class_list.brush_value

    @property
    def annotated(self) -> tuple[int, ...]:
        """Indices of all slices a person has judged, completely or in part, ascending."""
        return tuple(i for i in sorted(self._slices) if self.state(i) is not SliceState.UNLABELLED)

    @property
    def outlined(self) -> tuple[int, ...]:
        """Indices of all slices that were judged completely, whose labels can be propagated to others, ascending."""
        return tuple(i for i in self.annotated if self.state(i) is not SliceState.PARTIAL)

    @property
    def corrected(self) -> tuple[int, ...]:
        """Indices of all slices in which a person has painted over the prediction, ascending."""
        return tuple(i for i in sorted(self._slices) if self._slices[i].correction is not None)

    @property
    def marks(self) -> dict[int, SliceState]:
        """The states a person has given slices, by index, ascending."""
        return {i: mark for i in sorted(self._slices) if (mark := self._slices[i].mark) is not None}

    @property
    def unpredicted(self) -> int:
        """Number of slices that were neither judged nor predicted."""
        return self.slice_count - len({*self.predictions.indices, *self.annotated})

    @property
    def has_results(self) -> bool:
        """Whether anything is painted, predicted or marked."""
        return bool(self._slices or self.predictions.indices)

    @property
    def open_index(self) -> int | None:
        """The slice that is being painted while training runs; without a mark, it counts as partly painted."""
        return self._open_index

    @open_index.setter
    def open_index(self, index: int | None) -> None:
        for changed in {self._open_index, index} - {None}:
            self._facts.pop(changed, None)  # type: ignore[arg-type]
        self._open_index = index

    def painted(self, index: int) -> Values:
        """Return (H, W), what the user's labels layer must hold."""
        painted, dtype = self._slice(index).painted, self.class_list.dtype
        return np.full(self.plane_shape, NOT_PAINTED, dtype) if painted is None else painted.astype(dtype)

    def shown(self, index: int) -> Values:
        """Return (H, W), what the prediction layer must hold, which is what is exported."""
        predicted = self.predictions.values[self.at(index)].astype(self.class_list.dtype)
        if index not in self._slices:
            return predicted
        judged = self._judged(index)
        shown = np.where(judged == NOT_PAINTED, predicted, without_brush(judged, self.brush_value))
        return shown.astype(self.class_list.dtype)

    def label_slice(self, index: int) -> LabelSlice:
        """Return what is known of a slice, in class indices."""
        one = self._slice(index)
        values = self.class_list.values
        ends = frozenset(End(values.index(end.of), end.side) for end in one.ends if end.of in values)
        indices = self.class_list.indices(self._judged(index))
        return LabelSlice(self.axis, index, indices, ends, by_hand=not one.from_prediction)

    def state(self, index: int) -> SliceState:
        """Return how much of a slice was judged."""
        return self._facts_of(index).state

    def states(self) -> list[SliceState]:
        """Return the state of every slice."""
        return [self.state(index) for index in range(self.slice_count)]

    def annotation(self) -> Annotation:
        """Return all judged slices."""
        slices = {index: self.label_slice(index) for index in self.annotated}
        return Annotation(self.volume.shape, self.axis, self.classes, MappingProxyType(slices))

    def painting(self) -> Values:
        """Return (Z, Y, X), what the user's labels layer must hold."""
        values = np.full(self.volume.shape, NOT_PAINTED, self.class_list.dtype)
        for index in self._slices:
            values[self.at(index)] = self.painted(index)
        return values

    def mask(self) -> Values:
        """Return (Z, Y, X), the shown slices."""
        values = self.predictions.values.astype(self.class_list.dtype)
        for index in self._slices:
            values[self.at(index)] = self.shown(index)
        return values

    def volumes_ml(self) -> list[tuple[LabelClass, float]]:
        """Return the volume of each class but background in what is shown."""
        facts = [self._facts_of(index) for index in {*self.predictions.indices, *self._slices}]
        return [
            (label_class, sum(one.pixels.get(label_class.value, 0) for one in facts) * self.volume.voxel_volume_ml)
            for label_class in self.classes[1:]
        ]

    def painted_values(self) -> frozenset[int]:
        """Return the class values a person has painted anywhere, corrections included."""
        return frozenset().union(*(self._facts_of(index).painted_values for index in self._slices))

    def at(self, index: int) -> tuple[slice | int, ...]:
        """Return where the slice lies in an array (Z, Y, X)."""
        return self.predictions.at(index)

    def load(self, labels: npt.NDArray[np.integer], partial: Collection[int] = ()) -> None:
        """Take labels (Z, Y, X) as painted before the work began.

        Parameters
        ----------
        partial : indices of the slices that were painted in part.

        Raises
        ------
        InputError
            If a value is neither a class nor the brush.
        """
        planes = np.moveaxis(labels, self.axis, 0)
        for index in np.flatnonzero((planes != NOT_PAINTED).any(axis=(1, 2))).tolist():
            self.class_list.require_known(planes[index])
            mark = SliceState.PARTIAL if index in partial else None
            self._put(index, SliceAnnotation(planes[index].astype(self.class_list.dtype), mark))

    def paint(self, strokes: Mapping[int, npt.NDArray[np.integer]]) -> tuple[int, ...]:
        """Take slices (H, W) of the user's labels layer as they are now, and return the indices that changed.

        Raises
        ------
        InputError
            If a value is neither a class nor the brush; nothing is changed then.
        """
        changed = {i: v for i, v in strokes.items() if not np.array_equal(v, self.painted(i))}
        for values in changed.values():
            self.class_list.require_known(values)
        self._remember("painting of", changed)
        for index, values in changed.items():
            self._put(index, self._slice(index).with_painting(values.astype(self.class_list.dtype), self.brush_value))
        return tuple(changed)

    def correct(self, edits: Mapping[int, npt.NDArray[np.integer]]) -> tuple[int, ...]:
        """Take slices (H, W) of the prediction layer as a person left them, and return the indices that changed.

        A slice that looks again as it did without its correction has none.

        Raises
        ------
        InputError
            If a value is neither a class nor the brush; nothing is changed then.
        """
        for values in edits.values():
            self.class_list.require_known(values)
        clean = {i: without_brush(v.astype(self.class_list.dtype), self.brush_value) for i, v in edits.items()}
        changed = {i: v for i, v in clean.items() if not np.array_equal(v, self.shown(i))}
        self._remember("correction of", changed)
        for index, values in changed.items():
            self._correct(index, values)
        return tuple(changed)

    def mark(self, index: int, state: SliceState | None) -> tuple[int, ...]:
        """Give a slice a state, or take it away with None, and return its index if that changed anything.

        Raises
        ------
        InputError
            If the state does not go with what is painted.
        """
        before = self._slice(index)
        after = before.marked(index, state)
        if after is before:
            return ()
        self._remember("mark of", (index,))
        self._put(index, after)
        return (index,)

    def accept(self, indices: Iterable[int]) -> tuple[int, ...]:
        """Take what is shown of slices as painted completely, and return the indices that changed.

        Slices that hold nothing of a prediction are passed over.
        """
        changed = tuple(i for i in indices if self._slice(i).correction is not None or self._shows_prediction(i))
        self._remember("accept", changed)
        for index in changed:
            from_prediction = self._slice(index).from_prediction or self._shows_prediction(index)
            self._put(index, self._slice(index).accepted(self.shown(index), from_prediction))
        return changed

    def undo(self) -> tuple[int, ...]:
        """Take back the last action, and return the indices of the slices it had changed."""
        return self._go(self.history.undo(self._here))

    def redo(self) -> tuple[int, ...]:
        """Repeat the action taken back last, and return the indices of the slices it changed."""
        return self._go(self.history.redo(self._here))

    def snapshot(self) -> Snapshot:
        """Return all that a person has said, as it is now; no predictions."""
        slices = MappingProxyType(dict(self._slices))
        return Snapshot(datetime.now(), self.volume.shape, self.axis, self.classes, self.brush_value, slices)

    def restore(self, snapshot: Snapshot) -> tuple[int, ...]:
        """Take slices as they were when a snapshot was taken, and return their indices; all others stay.

        It can be undone, but its classes, which get the names and colours they had, are there to stay.

        Raises
        ------
        InputError
            If its classes do not go with what is painted; nothing is changed then.
        """
        if snapshot.axis != self.axis or snapshot.shape != self.volume.shape:
            raise ValueError(f"A snapshot of {snapshot.shape} along {snapshot.axis}, not of this volume and axis.")
        self.class_list.take_over(snapshot.classes, snapshot.brush_value, is_painted=bool(self._slices))
        slices = snapshot.with_brush(self.brush_value).slices
        self.history.record(Step("restored painting", {index: self._slice(index) for index in slices}))
        for index, one in slices.items():
            self._put(index, one.astype(self.class_list.dtype))
        return tuple(slices)

    def predict(self, index: int, labels: LabelArray, uncertainty: PercentArray) -> None:
        """Take the prediction of a slice.

        Parameters
        ----------
        labels : (H, W), class indices.
        uncertainty : (H, W), 0 to 100 percent.
        """
        self.predictions.put(index, label_values(labels, self.classes).astype(self.class_list.dtype), uncertainty)
        self._facts.pop(index, None)

    def forget_predictions(self) -> tuple[int, ...]:
        """Show only what a person has judged, and return the indices of the slices that were predicted."""
        self._facts.clear()
        return self.predictions.clear()

    def remove_class(self, value: int) -> tuple[int, ...]:
        """Unpaint a class everywhere, make it background in predictions and corrections, and return what changed.

        Raises
        ------
        InputError
            If it is the only class besides background.
        """
        painted = tuple(index for index in self._slices if value in self._facts_of(index).painted_values)
        presence = self.class_list.remove(value)
        slices = {index: self._slice(index) for index in painted}
        self.history.record(Step(f'removal of "{presence.label_class.name}"', slices, presence))
        for index in painted:
            self._put(index, self._slice(index).without_class(value))
        self._facts.clear()
        return tuple({*painted, *self.predictions.drop_class(value)})

    def _correct(self, index: int, values: Values) -> None:
        was_from_prediction = self._slice(index).from_prediction
        self._put(index, replace(self._slice(index), correction=None))
        # Where the whole slice is judged without its correction, it is not the correction that took a prediction over.
        from_prediction = self._shows_prediction(index) or was_from_prediction
        if not np.array_equal(values, self.shown(index)):
            self._put(index, replace(self._slice(index), correction=values, from_prediction=from_prediction))
        elif self._shows_prediction(index):
            self._put(index, replace(self._slice(index), from_prediction=False))

    def _here(self, step: Step) -> Step:
        presence = None if step.presence is None else self.class_list.presence_now(step.presence)
        return Step(step.name, {index: self._slice(index) for index in step.slices}, presence)

    def _go(self, step: Step | None) -> tuple[int, ...]:
        if step is None:
            return ()
        for index, one in step.slices.items():
            self._put(index, one)
        changed = set(step.slices)
        if step.presence is not None:
            self._facts.clear()
            self.class_list.follow(step.presence)
            if not step.presence.present:
                changed.update(self.predictions.drop_class(step.presence.label_class.value))
        return tuple(changed)

    def _remember(self, action: str, indices: Collection[int]) -> None:
        if indices:
            slices = f"slice {next(iter(indices))}" if len(indices) == 1 else f"{len(indices)} slices"
            self.history.record(Step(f"{action} {slices}", {index: self._slice(index) for index in indices}))

    def _slice(self, index: int) -> SliceAnnotation:
        return self._slices.get(index, SliceAnnotation())

    def _put(self, index: int, one: SliceAnnotation) -> None:
        self._facts.pop(index, None)
        if one.is_empty:
            self._slices.pop(index, None)
        elif one.from_prediction and not one.is_judged:
            self._slices[index] = replace(one, from_prediction=False)
        else:
            self._slices[index] = one

    def _judged(self, index: int) -> Values:
        return self._slice(index).judged(self.plane_shape, self.brush_value, is_open=index == self.open_index)

    def _facts_of(self, index: int) -> SliceFacts:
        if index not in self._slices and index not in self.predictions:
            return SliceFacts()
        if index not in self._facts:
            one, state = self._slice(index), self.label_slice(index).state
            self._facts[index] = SliceFacts.of(one, state, self.shown(index), self.class_list.values[1:])
        return self._facts[index]

    def _shows_prediction(self, index: int) -> bool:
        return index in self.predictions and bool((self._judged(index) == NOT_PAINTED).any())
