"""One volume, slice by slice: what was painted, predicted, corrected and accepted."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from itertools import chain, islice
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from knowsam.data.annotation import BACKGROUND_CLASS, Annotation, LabelClass, LabelSlice, SliceState, plane_shape
from knowsam.data.case import Case
from knowsam.data.ends import End, Side
from knowsam.document.class_list import ClassList
from knowsam.document.predictions import Predictions
from knowsam.document.slice_annotation import NOT_PAINTED, SliceAnnotation, Values
from knowsam.document.slice_facts import SliceFacts
from knowsam.document.snapshot import Snapshot

if TYPE_CHECKING:
    from knowsam.data.proposed_mask import ProposedMask
    from knowsam.data.volume import Volume


class AnnotatedVolume:
    """The state of all slices of a volume along one axis, in label *values* as layers and files hold them.

    Parameters
    ----------
    volume : the image.
    axis : working axis the slices are stacked along.
    classes : background first.
    brush_value : painted where background is known; by default the largest value up to 255 that is no class.

    Attributes
    ----------
    name : by which a person knows the volume, at first that of its file.
    class_list : adds, renames and recolours classes.
    predictions : the latest of each slice.
    proposal : what finished volumes propose, if they were asked.
    """

    def __init__(
        self, volume: Volume, axis: int, classes: tuple[LabelClass, ...], brush_value: int | None = None
    ) -> None:
        self.volume = volume
        self.name = volume.name
        self.axis = axis
        self.class_list = ClassList(classes, brush_value)
        self.predictions = Predictions(volume.shape, axis)
        self.proposal: ProposedMask | None = None
        self._slices: dict[int, SliceAnnotation] = {}
        self._open_index: int | None = None
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
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of slices, rows and columns."""
        return (self.volume.spacing_mm[self.axis], *self.volume.plane_spacing_mm(self.axis))

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
        """Indices of all slices a person has annotated, completely or in part, ascending."""
        return tuple(i for i in sorted(self._slices) if self._slices[i].is_annotated)

    @property
    def fully_annotated(self) -> tuple[int, ...]:
        """Indices of all slices that are annotated completely, ascending."""
        # Few need a look at all of their pixels.
        whole = (i for i in self.annotated if not self._slices[i].leaves_open)
        return tuple(i for i in whole if i != self.open_index or self.state(i) is not SliceState.PARTIAL)

    @property
    def is_fully_annotated(self) -> bool:
        """Whether all slices are annotated completely, so that nothing is left to predict."""
        return len(self.fully_annotated) == self.slice_count

    @property
    def can_propagate(self) -> bool:
        """Whether labels can be propagated, from two slices that are annotated completely or can be completed."""
        scribbled = (i for i in self.annotated if self.label_slice(i).can_be_completed)
        return len({*islice(chain(self.fully_annotated, scribbled), 2)}) > 1

    @property
    def corrected(self) -> tuple[int, ...]:
        """Indices of all slices in which a person has painted over the prediction, ascending."""
        return tuple(i for i in sorted(self._slices) if self._slices[i].correction is not None)

    @property
    def unconfirmed(self) -> tuple[int, ...]:
        """Indices of all slices with a structure that SAM outlined and nobody has confirmed since, ascending."""
        return tuple(i for i in sorted(self._slices) if self._slices[i].unconfirmed)

    @property
    def marks(self) -> dict[int, SliceState]:
        """The states a person has given slices, by index, ascending."""
        return {i: mark for i in sorted(self._slices) if (mark := self._slices[i].mark) is not None}

    @property
    def unpredicted(self) -> int:
        """Number of slices that were neither annotated nor predicted."""
        return self.slice_count - len({*self.predictions.indices, *self.annotated})

    @property
    def unfinished(self) -> tuple[int, ...]:
        """Indices of the slices, from the first to the last that shows a structure, that are not annotated completely.

        Where a single slice shows any, those beside it are among them unless the ends of all are marked, for it is
        probably only the first that was painted. SAM's outlines count only once they are confirmed.
        """
        showing = [index for index, area in enumerate(self.structure_areas_px) if area]
        left_out = self._left_out_among(self._with_open_sides(*showing) if len(showing) == 1 else showing)
        return tuple(sorted({*left_out, *self.unconfirmed}))

    @property
    def has_gaps(self) -> bool:
        """Whether slices are left out between the first and the last one in which a structure is annotated."""
        return bool(self._left_out_among([i for i in self.annotated if any(self._facts_of(i).pixels.values())]))

    @property
    def is_finished(self) -> bool:
        """Whether it shows a structure, and all slices from its first to its last one are annotated completely."""
        return any(self.structure_areas_px) and not self.unfinished

    @property
    def has_results(self) -> bool:
        """Whether anything is painted, predicted or marked."""
        return bool(self._slices or self.predictions.indices)

    @property
    def structure_areas_px(self) -> tuple[int, ...]:
        """How many pixels of each slice show any structure."""
        return tuple(sum(self._facts_of(index).pixels.values()) for index in range(self.slice_count))

    @property
    def expected_errors_px(self) -> tuple[float, ...]:
        """How many pixels of what is shown of each slice are probably wrong; none in annotated slices."""
        return tuple(self._facts_of(index).expected_error_px for index in range(self.slice_count))

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
        """Return (H, W), what the user's labels layer must hold; not to be written into."""
        painted, dtype = self._slice(index).painted, self.class_list.dtype
        return np.full(self.plane_shape, NOT_PAINTED, dtype) if painted is None else painted.astype(dtype, copy=False)

    def shown(self, index: int) -> Values:
        """Return (H, W), what the prediction layer must hold, which is what is exported; not to be written into.

        Where nothing is annotated, it follows the prediction.
        """
        # A slice that is painted afresh shows no prediction that arrives meanwhile, since it would go again.
        shown = self._slice(index).shown(self.predictions.values[self.at(index)], self.brush_value)
        return shown.astype(self.class_list.dtype, copy=False)

    def painted_to_show(self, index: int, shown: Values) -> Values:
        """Return (H, W), what the user's labels must hold so that this is shown: changed pixels, background too."""
        drawn = np.where(shown == BACKGROUND_CLASS.value, self.brush_value, shown)
        painted = np.where(shown != self.shown(index), drawn, self.painted(index))
        return painted.astype(self.class_list.dtype)

    def label_slice(self, index: int) -> LabelSlice:
        """Return what is known of a slice, in class indices."""
        one, values = self._slice(index), self.class_list.values
        annotated = one.annotated_values(self.plane_shape, self.brush_value, is_open=index == self.open_index)
        ends = frozenset(End(values.index(end.of), end.side) for end in one.ends if end.of in values)
        return LabelSlice(
            self.axis,
            index,
            self.class_list.indices(annotated),
            ends,
            by_hand=not (one.from_prediction or one.unconfirmed),
            corrected=one.correction is not None and not one.unconfirmed,
            unconfirmed=bool(one.unconfirmed),
        )

    def state(self, index: int) -> SliceState:
        """Return how much of a slice is annotated."""
        return self._facts_of(index).state

    def ends_at(self, index: int) -> frozenset[End]:
        """Return the structures, by label value, that are marked not to go on beyond a slice."""
        return self._slice(index).ends

    def painted_areas_px(self, value: int) -> dict[int, int]:
        """Return the area of a class in each slice in which a person painted any of it, ascending."""
        facts = {index: self._facts_of(index) for index in self.annotated}
        return {index: one.pixels[value] for index, one in facts.items() if value in one.painted_values}

    def shown_areas_px(self, value: int) -> dict[int, int]:
        """Return the area of a class in what is shown of each slice that was predicted or painted."""
        indices = {*self.predictions.indices, *self._slices}
        return {index: self._facts_of(index).pixels.get(value, 0) for index in indices}

    def is_correctable(self, index: int) -> bool:
        """Return whether a slice shows labels that come from a prediction, so that a stroke corrects them."""
        one = self._slice(index)
        return one.correction is not None or (one.is_empty and bool(self.predictions.values[self.at(index)].any()))

    def shows(self, index: int) -> bool:
        """Return whether a slice was predicted or annotated, so that what is shown of it means anything."""
        return index in self.predictions or self._slice(index).is_annotated

    def states(self) -> list[SliceState]:
        """Return the state of every slice."""
        return [self.state(index) for index in range(self.slice_count)]

    def annotation(self) -> Annotation:
        """Return all annotated slices."""
        slices = {index: self.label_slice(index) for index in self.annotated}
        return Annotation(self.volume.shape, self.axis, self.classes, MappingProxyType(slices))

    def case(self) -> Case:
        """Return the volume with all annotated slices, and what is proposed for the others."""
        return Case(self.volume, self.annotation(), self.proposal)

    def copy(self) -> AnnotatedVolume:
        """Return a copy of annotations and proposal, without predictions; it is cheap, since arrays are shared."""
        copied = AnnotatedVolume(self.volume, self.axis, self.classes, self.brush_value)
        copied.proposal, copied._slices, copied._open_index = self.proposal, dict(self._slices), self._open_index
        return copied

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
        areas = [(one, self.shown_areas_px(one.value)) for one in self.classes[1:]]
        return [(one, sum(own.values()) * self.volume.voxel_volume_ml) for one, own in areas]

    def painted_values(self) -> frozenset[int]:
        """Return the class values a person has painted anywhere, corrections included."""
        return frozenset().union(*(self._facts_of(index).painted_values for index in self._slices))

    def at(self, index: int) -> tuple[slice | int, ...]:
        """Return where the slice lies in an array (Z, Y, X)."""
        return self.predictions.at(index)

    def snapshot(self) -> Snapshot:
        """Return all annotations as they are now; no predictions."""
        slices = MappingProxyType(dict(self._slices))
        return Snapshot(datetime.now(), self.volume.shape, self.axis, self.classes, self.brush_value, slices)

    def _left_out_among(self, held: list[int]) -> tuple[int, ...]:
        """Return the slices between the first and the last of some that were not annotated completely, ascending."""
        return tuple(sorted({*range(held[0], held[-1] + 1)} - {*self.fully_annotated})) if held else ()

    def _with_open_sides(self, index: int) -> list[int]:
        """Return a slice with those beside it, but on the sides on which a person says that all it shows ends there."""
        shown = [value for value, pixels in self._facts_of(index).pixels.items() if pixels]
        beside = {Side.BELOW: index - 1, Side.ABOVE: index + 1}
        open_sides = [side for side in Side if not {End(value, side) for value in shown} <= self.ends_at(index)]
        among = {index, *(beside[side] for side in open_sides)}
        return sorted(among.intersection(range(self.slice_count)))

    def _require_slice(self, index: int, shape: tuple[int, ...]) -> None:
        """Check that there is a slice of this index and shape.

        Raises
        ------
        ValueError
            If there is none.
        """
        # A negative index would count from the end, and make a second slice of the same place.
        if index not in range(self.slice_count) or shape != self.plane_shape:
            raise ValueError(
                f"Slice {index} of shape {shape}, but slices 0 to {self.slice_count - 1} of shape {self.plane_shape} "
                "are needed."
            )

    def _slice(self, index: int) -> SliceAnnotation:
        return self._slices.get(index, SliceAnnotation())

    def _put(self, index: int, one: SliceAnnotation) -> None:
        self._facts.pop(index, None)
        one = one.without_erased_outlines()
        if one.is_empty:
            self._slices.pop(index, None)
        elif one.from_prediction and not one.is_annotated:
            self._slices[index] = replace(one, from_prediction=False)
        else:
            self._slices[index] = one

    def _facts_of(self, index: int) -> SliceFacts:
        if index not in self._slices and index not in self.predictions:
            return SliceFacts()
        if index not in self._facts:
            one, shown = self._slice(index), self.shown(index)
            if one.is_annotated and not one.leaves_open and index != self.open_index:
                # As its labels say, but those take a look at all pixels several times.
                state = SliceState.COMPLETE if shown.any() else SliceState.BACKGROUND_ONLY
            else:
                state = self.label_slice(index).state
            uncertainty = self.predictions.uncertainty[self.at(index)]
            self._facts[index] = SliceFacts.of(one, state, shown, self.class_list.values[1:], uncertainty)
        return self._facts[index]

    def _shows_prediction(self, index: int) -> bool:
        return index in self.predictions and self._slice(index).leaves_open
