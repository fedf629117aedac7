"""All actions of a person on the slices of one volume, with undo."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from knowsam.data.annotation import LabelArray, LabelClass, SliceState, label_values
from knowsam.data.ends import End, Side
from knowsam.data.slice_number import slice_number
from knowsam.document.annotated_volume import AnnotatedVolume
from knowsam.document.class_list import background_brush
from knowsam.document.history import History, Step
from knowsam.document.slice_annotation import NOT_PAINTED, SliceAnnotation, Values, changed_values, without_brush
from knowsam.document.structure_ends import ends_here
from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.data.volume import Volume
    from knowsam.document.edit import Edit
    from knowsam.document.predictions import PercentArray
    from knowsam.document.snapshot import Snapshot


_ONE_STRUCTURE = 2
"""Classes there are with one structure; background is the other."""


class AnnotationDocument(AnnotatedVolume):
    """The annotations and predictions of one volume.

    Strokes, marks, corrections, accepted slices and removed classes can be undone; predictions cannot.

    Attributes
    ----------
    history : what `undo` and `redo` are about to do.
    """

    def __init__(
        self, volume: Volume, axis: int, classes: tuple[LabelClass, ...], brush_value: int | None = None
    ) -> None:
        super().__init__(volume, axis, classes, brush_value)
        self.history = History()

    def load(self, labels: npt.NDArray[np.integer], partial: Collection[int] = ()) -> None:
        """Take labels (Z, Y, X) as painted before the work began.

        Parameters
        ----------
        partial : indices of the slices that were painted in part.

        Raises
        ------
        InputError
            If a value is neither a class nor the brush.
        ValueError
            If they have another shape than the volume.
        """
        if labels.shape != self.volume.shape:
            raise ValueError(f"Labels of shape {labels.shape}, but the volume has {self.volume.shape}.")
        planes = np.moveaxis(labels, self.axis, 0)
        for index in np.flatnonzero((planes != NOT_PAINTED).any(axis=(1, 2))).tolist():
            self.class_list.require_known(planes[index])
            mark = SliceState.PARTIAL if index in partial else None
            self._put(index, SliceAnnotation(planes[index].astype(self.class_list.dtype), mark))

    def paint(self, strokes: Mapping[int, npt.NDArray[np.integer]], partial: Collection[int] = ()) -> tuple[int, ...]:
        """Take slices (H, W) of the user's labels layer as they are now, and return the indices that changed.

        Parameters
        ----------
        partial : indices of the slices that strokes do not complete.

        Raises
        ------
        InputError
            If a value is neither a class nor the brush; nothing is changed then.
        ValueError
            If one is no slice of the volume; nothing is changed then.
        """
        for index, values in strokes.items():
            self._require_slice(index, values.shape)
        changed = {i: v for i, v in strokes.items() if not np.array_equal(v, self.painted(i))}
        for values in changed.values():
            self.class_list.require_known(values)
        self._remember("painting of", changed)
        for index, values in changed.items():
            touched = frozenset() if index in partial else changed_values(self.painted(index), values)
            one = self._slice(index).with_painting(values.astype(self.class_list.dtype), self.brush_value)
            one = replace(one, unconfirmed=one.unconfirmed - touched)
            is_completed = self.state(index) not in (SliceState.UNLABELLED, SliceState.PARTIAL)
            self._put(index, one if is_completed or index not in partial else replace(one, mark=SliceState.PARTIAL))
        return tuple(changed)

    def correct(self, edits: Mapping[int, npt.NDArray[np.integer]]) -> tuple[int, ...]:
        """Take slices (H, W) of the prediction layer as a person left them, and return the indices that changed.

        A slice that looks again as it did without its correction has none.

        Raises
        ------
        InputError
            If a value is neither a class nor the brush; nothing is changed then.
        ValueError
            If one is no slice of the volume; nothing is changed then.
        """
        for index, values in edits.items():
            self._require_slice(index, values.shape)
        for values in edits.values():
            self.class_list.require_known(values)
        clean = {i: without_brush(v.astype(self.class_list.dtype), self.brush_value) for i, v in edits.items()}
        changed = {i: v for i, v in clean.items() if not np.array_equal(v, self.shown(i))}
        self._remember("correction of", changed)
        for index, values in changed.items():
            touched = changed_values(self.shown(index), values)
            self._correct(index, values, self._slice(index).unconfirmed - touched)
        return tuple(changed)

    def mark(self, index: int, state: SliceState | None) -> tuple[int, ...]:
        """Give a slice a state, or take it away with None, and return its index if that changed anything.

        Raises
        ------
        InputError
            If the state does not go with what is painted.
        ValueError
            If it is no slice of the volume.
        """
        self._require_slice(index, self.plane_shape)
        before = self._slice(index)
        after = before.marked(index, state)
        if after is before:
            return ()
        self._remember("mark of", (index,))
        self._put(index, after)
        return (index,)

    def toggle_end(self, index: int, value: int, side: Side) -> tuple[int, ...]:
        """Mark that a structure ends at a slice, or that it does not, and return the index of the slice.

        Raises
        ------
        InputError
            If the slice is not the outermost one on that side in which the class is painted.
        """
        name = next((one.name for one in self.classes if one.value == value), "background")
        if side not in ends_here(self, index, value).possible:
            which = "first" if side is Side.BELOW else "last"
            raise InputError(
                f"Slice {slice_number(index)} is not the {which} one in which “{name}” is painted, or it is an end "
                f"of the volume. Go to the {which} painted slice of it, and mark the end there."
            )
        self._remember(f"end of “{name}” in", (index,))
        self._put(index, replace(self._slice(index), ends=self._slice(index).ends ^ {End(value, side)}))
        return (index,)

    def accept(self, indices: Iterable[int]) -> tuple[int, ...]:
        """Take what is shown of slices as painted completely, and return the indices that changed.

        If a slice has an outline of SAM and no prediction, accepting it confirms the outline, and nothing else.
        All others are passed over.
        """
        held = {i: self._slice(i).correction is not None or self._shows_prediction(i) for i in indices}
        changed = tuple(i for i, holds_prediction in held.items() if holds_prediction or self._slice(i).unconfirmed)
        self._remember("accept", changed)
        for index in changed:
            one = self._slice(index)
            if held[index]:
                from_prediction = one.from_prediction or self._shows_prediction(index)
                one = one.accepted(self.shown(index), from_prediction)
            self._put(index, replace(one, unconfirmed=frozenset()))
        return changed

    def edit(self, edit: Edit, name: str) -> tuple[int, ...]:
        """Let a structure be what an edit says, and return the indices of the slices that changed.

        Where a prediction is shown, that is a correction of it; elsewhere it counts as painted, a slice that showed
        nothing as partly painted where there are other structures, of which the edit says nothing. What SAM outlined is
        to be confirmed, by a correction in one slice or by `accept`.

        Parameters
        ----------
        name : of the edit, for people: "smoothing of “liver” in".
        """
        planes = {index: edit.applied(index, self.shown(index)) for index in edit.masks}
        changed = {index: plane for index, plane in planes.items() if (plane != self.shown(index)).any()}
        self._remember(name, changed)
        for index, plane in changed.items():
            one = self._slice(index)
            unconfirmed = edit.unconfirmed(one.unconfirmed, changed_values(self.shown(index), plane))
            if self.is_correctable(index):
                self._correct(index, plane, unconfirmed)
            else:
                painted = one.with_painting(self.painted_to_show(index, plane), self.brush_value)
                is_partial = len(self.classes) > _ONE_STRUCTURE and not self.shows(index)
                mark = SliceState.PARTIAL if is_partial else painted.mark
                self._put(index, replace(painted, mark=mark, unconfirmed=unconfirmed))
        return tuple(changed)

    def undo(self) -> tuple[int, ...]:
        """Take back the last action, and return the indices of the slices it had changed."""
        return self._go(self.history.undo(self._here))

    def redo(self) -> tuple[int, ...]:
        """Repeat the action taken back last, and return the indices of the slices it changed."""
        return self._go(self.history.redo(self._here))

    def snapshot(self) -> Snapshot:
        """Return all annotations as they are now, with what can be undone; no predictions."""
        undo, redo = self.history.steps
        return replace(super().snapshot(), undo=undo, redo=redo)

    def restore(self, snapshot: Snapshot) -> tuple[int, ...]:
        """Take slices as they were when a snapshot was taken, and return their indices; all others stay.

        Where nothing was done yet, what could be undone then can be undone now. Elsewhere it is one action to undo, but
        its classes, which get the names and colours they had, are there to stay.

        Raises
        ------
        InputError
            If its classes do not go with what is painted; nothing is changed then.
        """
        if snapshot.axis != self.axis or snapshot.shape != self.volume.shape:
            raise ValueError(f"A snapshot of {snapshot.shape} along {snapshot.axis}, not of this volume and axis.")
        is_first = not self._slices and self.history.is_empty
        self.class_list.take_over(snapshot.classes, snapshot.brush_value, is_painted=bool(self._slices))
        kept = snapshot.converted(self.brush_value, self.class_list.dtype)
        if is_first and (kept.undo or kept.redo):
            self.history.resume(kept.undo, kept.redo)
        else:
            self.history.record(Step("restored painting", {index: self._slice(index) for index in kept.slices}))
        for index, one in kept.slices.items():
            self._put(index, one)
        return tuple(kept.slices)

    def take_classes(self, classes: tuple[LabelClass, ...]) -> tuple[int, ...]:
        """Have the classes of a model, and return the indices of slices whose predictions are void by that.

        While nothing was ever painted they take the place of the classes there are. Later they come beside those, and
        painted classes keep their names and colours. It cannot be undone.

        Raises
        ------
        InputError
            If they do not go with what is painted; nothing is changed then.
        """
        if self._slices or not self.history.is_empty:
            painted = self.painted_values()
            others = (classes[0], *(one for one in classes[1:] if one.value not in painted))
            brush_value = background_brush({*self.class_list.values, *(one.value for one in classes)})
            self.class_list.take_over(others, brush_value, is_painted=True)
            return ()
        values = self.class_list.values
        self.class_list.replace(classes)
        return () if self.class_list.values == values else self.forget_predictions()

    def predict(self, index: int, labels: LabelArray, uncertainty: PercentArray) -> None:
        """Take the prediction of a slice.

        Parameters
        ----------
        labels : (H, W), class indices.
        uncertainty : (H, W), 0 to 100 percent.

        Raises
        ------
        ValueError
            If it is no slice of the volume.
        """
        self._require_slice(index, labels.shape)
        self.predictions.put(index, label_values(labels, self.classes).astype(self.class_list.dtype), uncertainty)
        self._facts.pop(index, None)

    def forget_predictions(self) -> tuple[int, ...]:
        """Show only what a person has annotated, and return the indices of the slices that were predicted."""
        self._facts.clear()
        return self.predictions.clear()

    def remove_class(self, value: int) -> tuple[int, ...]:
        """Unpaint a class everywhere, make it background in predictions and corrections, and return what changed.

        Raises
        ------
        InputError
            If it is the only class besides background.
        """
        held = tuple(index for index in self._slices if self._holds(index, value))
        presence = self.class_list.remove(value)
        slices = {index: self._slice(index) for index in held}
        self.history.record(Step(f'removal of "{presence.label_class.name}"', slices, presence))
        for index in held:
            self._put(index, self._slice(index).without_class(value))
        self._facts.clear()
        return tuple({*held, *self.predictions.drop_class(value)})

    def _holds(self, index: int, value: int) -> bool:
        """Whether a class is painted in a slice, or was, and is still marked to end there."""
        is_ended = any(end.of == value for end in self._slice(index).ends)
        return is_ended or value in self._facts_of(index).painted_values

    def _correct(self, index: int, values: Values, unconfirmed: frozenset[int]) -> None:
        was_from_prediction = self._slice(index).from_prediction
        self._put(index, replace(self._slice(index), correction=None))
        # Where the slice is annotated completely without its correction, no prediction was taken over by it.
        from_prediction = self._shows_prediction(index) or was_from_prediction
        correction: Values | None = values
        if np.array_equal(values, self.shown(index)):
            correction, from_prediction = None, was_from_prediction and not self._shows_prediction(index)
        one = self._slice(index)
        self._put(index, replace(one, correction=correction, from_prediction=from_prediction, unconfirmed=unconfirmed))

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
            slices = f"slice {slice_number(next(iter(indices)))}" if len(indices) == 1 else f"{len(indices)} slices"
            self.history.record(Step(f"{action} {slices}", {index: self._slice(index) for index in indices}))
