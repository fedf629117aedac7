"""Everything painted, predicted, corrected and accepted in one volume, and how to undo it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from knowsam.data.annotation import (
    BACKGROUND_CLASS,
    IGNORE,
    Annotation,
    LabelArray,
    LabelClass,
    LabelSlice,
    SliceState,
    label_values,
)
from knowsam.errors import InputError
from napari_knowsam.class_list import ClassList, background_brush
from napari_knowsam.history import ClassPresence, History, Step
from napari_knowsam.predicted_slices import PercentArray, PredictedSlices
from napari_knowsam.slice_record import NOT_PAINTED, Judgement, SliceRecord, Values, without_brush
from napari_knowsam.snapshot import Snapshot

if TYPE_CHECKING:
    from knowsam.data.volume import Volume

_NOTHING = SliceRecord()


@dataclass(frozen=True)
class _Facts:
    """What is often asked about a slice: its state, pixels of each class in what is shown, values a person painted."""

    state: SliceState
    pixels: Mapping[int, int]
    painted_values: frozenset[int]


_UNTOUCHED = _Facts(SliceState.UNLABELLED, {}, frozenset())


class Worksheet:
    """The work on one volume, slice by slice along one axis, in label *values* as layers hold them.

    Strokes, marks, corrections, accepted slices and removed classes can be undone; predictions cannot.

    Parameters
    ----------
    volume : the image.
    axis : working axis the slices are stacked along.
    classes : background first.
    brush_value : painted where background is known; by default the largest value up to 255 that is no class.
    """

    def __init__(
        self, volume: Volume, axis: int, classes: tuple[LabelClass, ...], brush_value: int | None = None
    ) -> None:
        self.volume = volume
        self.axis = axis
        brush = background_brush(c.value for c in classes) if brush_value is None else brush_value
        self._classes = ClassList(classes, brush)
        self._records: dict[int, SliceRecord] = {}
        self._predictions = PredictedSlices(volume.shape, axis)
        self._open_index: int | None = None
        self._history = History()
        self._facts: dict[int, _Facts] = {}

    @property
    def slice_count(self) -> int:
        """Number of slices along the axis."""
        return self.volume.shape[self.axis]

    @property
    def plane_shape(self) -> tuple[int, int]:
        """(H, W) of a slice."""
        first, second = (count for axis, count in enumerate(self.volume.shape) if axis != self.axis)
        return first, second

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """Background first; their order gives the class indices."""
        return self._classes.all

    @property
    def brush_value(self) -> int:
        """What the background brush paints."""
        return self._classes.brush_value

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """The smallest type that holds every class value and the brush value."""
        return self._classes.dtype

    @property
    def annotated(self) -> tuple[int, ...]:
        """Indices of all slices a person has judged, completely or in part, ascending."""
        return tuple(i for i in sorted(self._records) if self.state(i) is not SliceState.UNLABELLED)

    @property
    def outlined(self) -> tuple[int, ...]:
        """Indices of all slices that were judged completely, whose shapes can be carried to others, ascending."""
        return tuple(i for i in self.annotated if self.state(i) is not SliceState.PARTIAL)

    @property
    def corrected(self) -> tuple[int, ...]:
        """Indices of all slices in which a person has painted over the prediction, ascending."""
        return tuple(i for i in sorted(self._records) if self._records[i].correction is not None)

    @property
    def marked(self) -> tuple[int, ...]:
        """Indices of all slices a person has given a state, ascending."""
        return tuple(i for i in sorted(self._records) if self._records[i].mark is not None)

    @property
    def predicted(self) -> tuple[int, ...]:
        """Indices of all slices that were predicted, ascending."""
        return tuple(sorted(self._predictions.indices))

    @property
    def machine_made(self) -> tuple[int, ...]:
        """Indices of all judged slices whose labels came from accepting or correcting a prediction, ascending."""
        return tuple(index for index in self.annotated if self._records[index].from_prediction)

    @property
    def unpredicted(self) -> int:
        """Number of slices that were neither judged nor predicted."""
        return self.slice_count - len(self._predictions.indices.union(self.annotated))

    @property
    def has_results(self) -> bool:
        """Whether anything is painted, predicted or marked."""
        return bool(self._records or self._predictions.indices)

    @property
    def uncertainty(self) -> PercentArray:
        """(Z, Y, X), 0 to 100 percent, a read-only view that follows the predictions."""
        view = self._predictions.uncertainty.view()
        view.setflags(write=False)
        return view

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
        painted = self._record(index).painted
        return np.full(self.plane_shape, NOT_PAINTED, self.dtype) if painted is None else painted.astype(self.dtype)

    def shown(self, index: int) -> Values:
        """Return (H, W), what the prediction layer must hold, which is what is exported."""
        record = self._records.get(index)
        if record is None:
            return self._predictions.values[self.at(index)].astype(self.dtype)
        judgement = self._judgement(index)
        return np.where(judgement.judged, judgement.values, self._predictions.values[self.at(index)]).astype(self.dtype)

    def label_slice(self, index: int) -> LabelSlice:
        """Return what is known of a slice, in class indices."""
        judgement = self._judgement(index)
        labels = np.full(self.plane_shape, IGNORE, dtype=np.uint8)
        for class_index, value in enumerate(self._classes.values):
            labels[judgement.judged & (judgement.values == value)] = class_index
        return LabelSlice(self.axis, index, labels)

    def state(self, index: int) -> SliceState:
        """Return how much of a slice was judged."""
        return self._facts_of(index).state

    def by_hand(self, index: int) -> bool:
        """Return whether a slice was judged, and no label of it came from a prediction."""
        return self.state(index) is not SliceState.UNLABELLED and not self._record(index).from_prediction

    def mark_of(self, index: int) -> SliceState | None:
        """Return the state a person has given a slice, if any."""
        return self._record(index).mark

    def states(self) -> list[SliceState]:
        """Return the state of every slice."""
        return [self.state(index) for index in range(self.slice_count)]

    def annotation(self) -> Annotation:
        """Return all judged slices."""
        slices = {index: self.label_slice(index) for index in self.annotated}
        return Annotation(self.volume.shape, self.axis, self.classes, MappingProxyType(slices))

    def painting(self) -> Values:
        """Return (Z, Y, X), what the user's labels layer must hold."""
        values = np.full(self.volume.shape, NOT_PAINTED, self.dtype)
        for index in self._records:
            values[self.at(index)] = self.painted(index)
        return values

    def mask(self) -> Values:
        """Return (Z, Y, X), the shown slices."""
        values = self._predictions.values.astype(self.dtype)
        for index in self._records:
            values[self.at(index)] = self.shown(index)
        return values

    def volumes_ml(self) -> list[tuple[LabelClass, float]]:
        """Return the volume of each class but background in what is shown."""
        facts = [self._facts_of(index) for index in self._predictions.indices | set(self._records)]
        return [
            (label_class, sum(f.pixels.get(label_class.value, 0) for f in facts) * self.volume.voxel_volume_ml)
            for label_class in self.classes[1:]
        ]

    def painted_values(self) -> frozenset[int]:
        """Return the class values a person has painted anywhere, corrections included."""
        return frozenset().union(*(self._facts_of(index).painted_values for index in self._records))

    def at(self, index: int) -> tuple[slice | int, ...]:
        """Return where the slice lies in an array (Z, Y, X)."""
        return self._predictions.at(index)

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
            self._classes.require_known(planes[index])
            mark = SliceState.PARTIAL if index in partial else None
            self._put(index, SliceRecord(planes[index].astype(self.dtype), mark))

    def paint(self, strokes: Mapping[int, npt.NDArray[np.integer]]) -> tuple[int, ...]:
        """Take slices (H, W) of the user's labels layer as they are now, and return the indices that changed.

        Raises
        ------
        InputError
            If a value is neither a class nor the brush; nothing is changed then.
        """
        changed = {i: v for i, v in strokes.items() if not np.array_equal(v, self.painted(i))}
        for values in changed.values():
            self._classes.require_known(values)
        self._remember("painting of", changed)
        for index, values in changed.items():
            self._put(index, self._record(index).with_painting(values.astype(self.dtype), self.brush_value))
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
            self._classes.require_known(values)
        clean = {i: without_brush(v.astype(self.dtype), self.brush_value) for i, v in edits.items()}
        changed = {i: v for i, v in clean.items() if not np.array_equal(v, self.shown(i))}
        self._remember("correction of", changed)
        for index, values in changed.items():
            self._correct(index, values)
        return tuple(changed)

    def mark(self, index: int, state: SliceState | None) -> bool:
        """Give a slice a state, or take it away with None, and return whether anything changed.

        Raises
        ------
        InputError
            If the state does not go with what is painted.
        """
        record = self._record(index)
        record.require_markable(index, state)
        if state is record.mark or record.correction is not None:
            return False
        self._remember("mark of", (index,))
        self._put(index, replace(record, mark=state))
        return True

    def accept(self, indices: Iterable[int]) -> tuple[int, ...]:
        """Take what is shown of slices as painted completely, and return the indices that changed.

        Slices that hold nothing of a prediction are passed over.
        """
        changed = tuple(index for index in indices if self._is_acceptable(index))
        self._remember("accept", changed)
        for index in changed:
            shown = self.shown(index)
            has_structure = bool((shown != BACKGROUND_CLASS.value).any())
            mark = SliceState.COMPLETE if has_structure else SliceState.BACKGROUND_ONLY
            from_prediction = self._record(index).from_prediction or self._shows_prediction(index)
            self._put(index, SliceRecord(shown if has_structure else None, mark, None, from_prediction))
        return changed

    def between(self) -> tuple[int, ...]:
        """Return all indices from the first to the last annotated slice."""
        annotated = self.annotated
        return tuple(range(annotated[0], annotated[-1] + 1)) if annotated else ()

    @property
    def undo_name(self) -> str | None:
        """The action `undo` takes back."""
        return self._history.undo_name

    @property
    def redo_name(self) -> str | None:
        """The action `redo` repeats."""
        return self._history.redo_name

    def undo(self) -> tuple[int, ...]:
        """Take back the last action, and return the indices of the slices it had changed."""
        return self._go(self._history.undo(self._here))

    def redo(self) -> tuple[int, ...]:
        """Repeat the action taken back last, and return the indices of the slices it changed."""
        return self._go(self._history.redo(self._here))

    def snapshot(self) -> Snapshot:
        """Return all that a person has said, as it is now; no predictions."""
        records = MappingProxyType(dict(self._records))
        return Snapshot(datetime.now(), self.volume.shape, self.axis, self.classes, self.brush_value, records)

    def restore(self, snapshot: Snapshot) -> tuple[int, ...]:
        """Take slices as they were when a snapshot was taken, and return their indices; all others stay.

        It can be undone, but its classes, which get the names and colours they had, are there to stay.

        Raises
        ------
        InputError
            If its classes do not go with what is painted; nothing is changed then.
        """
        if snapshot.axis != self.axis or snapshot.shape != self.volume.shape:
            raise ValueError(
                f"A snapshot of {snapshot.shape} along {snapshot.axis} in {self.volume.shape}, {self.axis}."
            )
        self._make_way_for(snapshot.classes, snapshot.brush_value)
        self._classes.ensure(label_class.value for label_class in snapshot.classes)
        for label_class in snapshot.classes[1:]:
            self._classes.change(label_class.value, name=label_class.name, color=label_class.color)
        records = snapshot.with_brush(self.brush_value).records
        self._history.record(Step("restored painting", {index: self._record(index) for index in records}))
        for index, record in records.items():
            self._put(index, record.astype(self.dtype))
        return tuple(records)

    def predict(self, index: int, labels: LabelArray, uncertainty: PercentArray) -> None:
        """Take the prediction of a slice.

        Parameters
        ----------
        labels : (H, W), class indices.
        uncertainty : (H, W), 0 to 100 percent.
        """
        self._predictions.put(index, label_values(labels, self.classes).astype(self.dtype), uncertainty)
        self._facts.pop(index, None)

    def add_class(self, name: str | None = None) -> LabelClass:
        """Add a class with a free value and colour, and return it.

        Raises
        ------
        InputError
            If no value is free.
        """
        return self._classes.add(name)

    def ensure_classes(self, values: Iterable[int]) -> tuple[LabelClass, ...]:
        """Add a class for every value that has none, and return the new ones.

        Raises
        ------
        InputError
            If there are more values than classes can be told apart.
        """
        return self._classes.ensure(values)

    def rename_class(self, value: int, name: str) -> LabelClass:
        """Give a class another name, and return it."""
        return self._classes.change(value, name=name)

    def recolor_class(self, value: int, color: tuple[int, int, int]) -> LabelClass:
        """Give a class another colour (red, green, blue in 0-255), and return it."""
        return self._classes.change(value, color=color)

    def remove_class(self, value: int) -> tuple[int, ...]:
        """Unpaint a class everywhere, make it background in predictions and corrections, and return what changed.

        Raises
        ------
        InputError
            If it is the only class besides background.
        """
        label_class = self._classes.get(value)
        painted = tuple(index for index in self._records if value in self._facts_of(index).painted_values)
        records = {index: self._record(index) for index in painted}
        presence = ClassPresence(label_class, self._classes.remove(value), present=True)
        self._history.record(Step(f'removal of "{label_class.name}"', records, presence))
        for index in painted:
            self._put(index, self._record(index).without_class(value))
        return tuple({*painted, *self._drop_predicted(value)})

    def _correct(self, index: int, values: Values) -> None:
        was_from_prediction = self._record(index).from_prediction
        self._put(index, replace(self._record(index), correction=None))
        # Where the whole slice is judged without its correction, it is not the correction that took a prediction over.
        from_prediction = self._shows_prediction(index) or was_from_prediction
        if not np.array_equal(values, self.shown(index)):
            self._put(index, replace(self._record(index), correction=values, from_prediction=from_prediction))
        elif self._shows_prediction(index):
            self._put(index, replace(self._record(index), from_prediction=False))

    def _make_way_for(self, classes: tuple[LabelClass, ...], brush_value: int) -> None:
        """Take another brush value if the present one is a class; only while no pixel can have been painted with it."""
        if self.brush_value not in {label_class.value for label_class in classes}:
            return
        if self._records or brush_value in self._classes.values:
            raise InputError(
                f"The painting to restore has a class with the value {self.brush_value}, which paints known background "
                "in these labels. Make new labels, and restore it into them."
            )
        self._classes.brush_value = brush_value

    def _here(self, step: Step) -> Step:
        presence = step.presence
        if presence is not None:
            presence = replace(presence, present=presence.label_class.value in self._classes.values)
        return Step(step.name, {index: self._record(index) for index in step.records}, presence)

    def _go(self, step: Step | None) -> tuple[int, ...]:
        if step is None:
            return ()
        for index, record in step.records.items():
            self._put(index, record)
        presence = step.presence
        if presence is None:
            return tuple(step.records)
        if presence.present:
            self._classes.put_back(presence.label_class, presence.position)
            return tuple(step.records)
        self._classes.remove(presence.label_class.value)
        return tuple({*step.records, *self._drop_predicted(presence.label_class.value)})

    def _drop_predicted(self, value: int) -> tuple[int, ...]:
        changed = self._predictions.drop_class(value)
        for index in changed:
            self._facts.pop(index, None)
        return changed

    def _remember(self, action: str, indices: Collection[int]) -> None:
        if not indices:
            return
        slices = f"slice {next(iter(indices))}" if len(indices) == 1 else f"{len(indices)} slices"
        self._history.record(Step(f"{action} {slices}", {index: self._record(index) for index in indices}))

    def _record(self, index: int) -> SliceRecord:
        return self._records.get(index, _NOTHING)

    def _put(self, index: int, record: SliceRecord) -> None:
        self._facts.pop(index, None)
        if record.is_empty:
            self._records.pop(index, None)
        elif record.from_prediction and not record.is_judged:
            self._records[index] = replace(record, from_prediction=False)
        else:
            self._records[index] = record

    def _judgement(self, index: int) -> Judgement:
        return self._record(index).judgement(self.plane_shape, self.brush_value, index == self.open_index)

    def _facts_of(self, index: int) -> _Facts:
        if index not in self._facts:
            self._facts[index] = self._find_facts(index)
        return self._facts[index]

    def _find_facts(self, index: int) -> _Facts:
        if index not in self._records and index not in self._predictions.indices:
            return _UNTOUCHED
        shown, record = self.shown(index), self._record(index)
        values = self._classes.values[1:]
        by_hand = [array for array in (record.painted, record.correction) if array is not None]
        return _Facts(
            self._judgement(index).state,
            {value: int(np.count_nonzero(shown == value)) for value in values},
            frozenset(value for value in values if any((array == value).any() for array in by_hand)),
        )

    def _is_acceptable(self, index: int) -> bool:
        record = self._record(index)
        if record.correction is not None:
            return True
        return self._shows_prediction(index)

    def _shows_prediction(self, index: int) -> bool:
        return index in self._predictions.indices and not self._judgement(index).judged.all()
