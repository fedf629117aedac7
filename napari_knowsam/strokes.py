"""Strokes on the layers of an image, as changes of its annotation document."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np

from knowsam.data.annotation import SliceState

if TYPE_CHECKING:
    from knowsam.document.annotation_document import AnnotationDocument
    from knowsam.document.slice_annotation import Values
    from napari_knowsam.slice_view import SliceView


class Strokes:
    """Takes strokes into the annotation document of an image.

    A stroke in a slice that shows a prediction corrects it, whichever layer it falls on. While somebody corrects a
    slice on the labels layer, it holds all that is shown, so that brush, eraser and fill bucket work on visible shapes.
    A stroke across slices labels nothing but its own pixels, and leaves the slices partly painted.

    Attributes
    ----------
    is_training : meanwhile a slice that is painted afresh counts as partly painted until it is left.
    corrected_index : the slice that is being corrected on the labels layer, if any.
    """

    def __init__(self, document: AnnotationDocument, view: SliceView) -> None:
        self._document, self._view = document, view
        self.is_training = False
        self.corrected_index: int | None = None

    def on_labels(self, index: int) -> Values:
        """Return (H, W), what the labels layer must hold of a slice."""
        document = self._document
        return document.shown(index) if index == self.corrected_index else document.painted(index)

    def paint(
        self, planes: Mapping[int, Values], *, crossed: Collection[int], over_prediction: bool
    ) -> tuple[int, ...]:
        """Take slices (H, W) of the labels layer as they are now, and return the indices whose annotation changed.

        Parameters
        ----------
        crossed : indices of the slices that a stroke across slices has reached.
        over_prediction : whether the person sees the prediction, and so corrects it.

        Raises
        ------
        InputError
            If a value is neither a class nor the brush; nothing is changed then.
        """
        document = self._document
        painted: dict[int, Values] = {}
        corrections: dict[int, Values] = {}
        for index, plane in planes.items():
            is_seen = index == self.corrected_index or (over_prediction and document.is_correctable(index))
            is_stroke = plane != self.on_labels(index)
            if is_seen and index not in crossed:
                corrections[index] = np.where(is_stroke, plane, document.shown(index))
            else:
                painted[index] = np.where(is_stroke, plane, document.painted(index))
        self._open_slice(painted.keys() - set(crossed))
        return document.paint(painted, partial=crossed) + document.correct(corrections)

    def correct(self, planes: Mapping[int, Values], *, crossed: Collection[int]) -> tuple[int, ...]:
        """Take slices (H, W) of the prediction layer as they are now; see `paint`."""
        document = self._document
        painted = {index: document.painted_to_show(index, planes[index]) for index in planes.keys() & set(crossed)}
        corrections = {index: plane for index, plane in planes.items() if index not in painted}
        return document.paint(painted, partial=crossed) + document.correct(corrections)

    def end_open_slice(self) -> tuple[int, ...]:
        """Count the slice that is being painted as every other one, and return its index, if there is one."""
        index, self._document.open_index = self._document.open_index, None
        return () if index is None else (index,)

    def _open_slice(self, painted: Collection[int]) -> None:
        """The pixels round the first stroke in a slice stay unlabelled until the slice is left."""
        current = self._view.index
        is_first = current in painted and self._document.state(current) is SliceState.UNLABELLED
        if self.is_training and is_first and not self._view.is_across:
            self._document.open_index = current
