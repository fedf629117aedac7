"""What a person did in one slice: strokes, a mark, a correction of the prediction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from knowsam.data.annotation import BACKGROUND_CLASS, SliceState
from knowsam.data.slice_number import slice_number
from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.data.ends import End

Values = npt.NDArray[np.integer[Any]]

NOT_PAINTED = 0
"""Value of a pixel that no stroke has touched, and that no mark labels."""


@dataclass(frozen=True, eq=False)
class SliceAnnotation:
    """The slice as a person left it; arrays are never changed in place.

    Parameters
    ----------
    painted : (H, W), class values, the brush value where background is known, `NOT_PAINTED` elsewhere; None if no
        stroke is left.
    mark : the state the person gave it, if any.
    correction : (H, W), class values of the whole slice, as it was painted over a prediction.
    from_prediction : whether some labels were not drawn but taken from a prediction.
    ends : structures, by their label values, that do not go on beyond the slice.
    unconfirmed : structures, by their label values, that SAM has outlined, and nobody has corrected or accepted since.
    """

    painted: Values | None = None
    mark: SliceState | None = None
    correction: Values | None = None
    from_prediction: bool = False
    ends: frozenset[End] = frozenset()
    unconfirmed: frozenset[int] = frozenset()

    def accepted(self, shown: Values, from_prediction: bool) -> SliceAnnotation:
        """Return the annotation of the slice if all that is shown of it (H, W) is taken as painted."""
        if (shown != BACKGROUND_CLASS.value).any():
            return SliceAnnotation(shown.copy(), SliceState.COMPLETE, from_prediction=from_prediction, ends=self.ends)
        return SliceAnnotation(mark=SliceState.BACKGROUND_ONLY, from_prediction=from_prediction)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to keep."""
        return self.painted is None and self.mark is None and self.correction is None

    @property
    def size_bytes(self) -> int:
        """Of its arrays."""
        return sum(values.nbytes for values in (self.painted, self.correction) if values is not None)

    @property
    def leaves_open(self) -> bool:
        """Whether there are unlabelled pixels."""
        if self.correction is not None:
            return False
        if self.painted is None:
            return self.mark is not SliceState.BACKGROUND_ONLY
        return self.mark is SliceState.PARTIAL and not self.painted.all()

    @property
    def is_annotated(self) -> bool:
        """Whether anything is annotated, if only that there is nothing but background."""
        return not (self.painted is None and self.correction is None) or self.mark is SliceState.BACKGROUND_ONLY

    def annotated_values(self, plane_shape: tuple[int, int], brush_value: int, *, is_open: bool = False) -> Values:
        """Return (H, W) as it would be painted to say all that is known: no pixel of background goes without saying.

        Parameters
        ----------
        plane_shape : (H, W).
        brush_value : painted where background is known.
        is_open : whether a person is painting the slice just now; without a mark, it then counts as partly painted.
        """
        if self.correction is not None:
            return _replaced(self.correction, BACKGROUND_CLASS.value, brush_value)
        if self.painted is None:
            is_background = self.mark is SliceState.BACKGROUND_ONLY
            return np.full(plane_shape, brush_value if is_background else NOT_PAINTED, np.min_scalar_type(brush_value))
        if self.mark is SliceState.PARTIAL or (self.mark is None and is_open):
            return self.painted
        return _replaced(self.painted, NOT_PAINTED, brush_value)

    def shown(self, predicted: Values, brush_value: int) -> Values:
        """Return (H, W) as it is annotated, and as it is predicted elsewhere.

        Parameters
        ----------
        predicted : (H, W), class values.
        brush_value : painted where background is known.
        """
        if self.correction is not None:
            return self.correction
        if self.painted is None:
            is_background = self.mark is SliceState.BACKGROUND_ONLY
            return np.full_like(predicted, BACKGROUND_CLASS.value) if is_background else predicted
        annotated = without_brush(self.painted, brush_value)
        # Where nothing is painted in a slice that is complete, there is background.
        return np.where(self.painted == NOT_PAINTED, predicted, annotated) if self.leaves_open else annotated

    def astype(self, dtype: np.dtype[np.integer]) -> SliceAnnotation:
        """Return the annotation with its arrays of another type."""
        painted, correction = (v if v is None else v.astype(dtype, copy=False) for v in (self.painted, self.correction))
        return replace(self, painted=painted, correction=correction)

    def with_painting(self, painted: Values, brush_value: int) -> SliceAnnotation:
        """Return the annotation after strokes; pixels they changed are changed in the correction too.

        Parameters
        ----------
        painted : (H, W), the user's labels as they are now.
        """
        correction = self.correction
        if correction is not None:
            before = NOT_PAINTED if self.painted is None else self.painted
            correction = np.where(painted != before, without_brush(painted, brush_value), correction)
            correction = correction.astype(painted.dtype)
        return replace(self, correction=correction)._with_strokes(painted)

    def without_class(self, value: int) -> SliceAnnotation:
        """Return the annotation with the pixels of a class unpainted, and background in the correction."""
        correction = self.correction
        if correction is not None:
            correction = _replaced(correction, value, BACKGROUND_CLASS.value)
        ends = frozenset(end for end in self.ends if end.of != value)
        without = replace(self, correction=correction, ends=ends)
        if self.painted is None:
            return without
        return without._with_strokes(_replaced(self.painted, value, NOT_PAINTED))

    def without_erased_outlines(self) -> SliceAnnotation:
        """Return the annotation with nothing to confirm of structures that are no longer there."""
        held = self.painted if self.correction is None else self.correction
        left = frozenset(value for value in self.unconfirmed if held is not None and (held == value).any())
        return self if left == self.unconfirmed else replace(self, unconfirmed=left)

    def with_brush(self, old: int, new: int) -> SliceAnnotation:
        """Return the annotation with known background painted with another value."""
        return self if self.painted is None else replace(self, painted=_replaced(self.painted, old, new))

    def marked(self, index: int, state: SliceState | None) -> SliceAnnotation:
        """Return the annotation of the slice, which has this index, with another mark or none.

        A slice that is annotated completely because it is corrected gets no mark.

        Raises
        ------
        InputError
            If the state does not go with what is painted.
        """
        if self.correction is not None:
            if state is not SliceState.COMPLETE:
                raise InputError(
                    f"Slice {slice_number(index)} is corrected, and a corrected slice is annotated completely. "
                    "Undo the correction; or accept the slice (U): then it can be marked otherwise, or erased."
                )
            return self
        if self.painted is not None and state is SliceState.BACKGROUND_ONLY:
            raise InputError(
                f"Slice {slice_number(index)} is painted, but a slice of background only holds no paint. "
                "Erase it first."
            )
        if self.painted is None and state is SliceState.COMPLETE:
            raise InputError(
                f"Nothing is painted in slice {slice_number(index)}, so it cannot be complete. If it shows none "
                'of the structures, choose "Background only"; if its prediction is right, accept it.'
            )
        return self if state is self.mark else replace(self, mark=state)

    def _with_strokes(self, painted: Values) -> SliceAnnotation:
        """Background round a stroke stays annotated; a slice that was erased has no known background."""
        if (painted != NOT_PAINTED).any():
            was_background = self.mark is SliceState.BACKGROUND_ONLY
            return replace(self, painted=painted, mark=SliceState.COMPLETE if was_background else self.mark)
        is_erased = self.mark is SliceState.COMPLETE
        return replace(self, painted=None, mark=None if is_erased else self.mark)


def changed_values(before: Values, after: Values) -> frozenset[int]:
    """Return the values that pixels (H, W) had, or have, where they have changed."""
    is_changed = before != after
    return frozenset(np.unique([before[is_changed], after[is_changed]]).tolist())


def without_brush(values: Values, brush_value: int) -> Values:
    """Return values (H, W) with the background brush turned into background."""
    return _replaced(values, brush_value, BACKGROUND_CLASS.value)


def _replaced(values: Values, old: int, new: int) -> Values:
    """Return the values themselves if there is nothing to replace."""
    is_old = values == old
    if not is_old.any():
        return values
    # The sum wraps round like the difference; it takes a sixth of the time of an assignment to most of the pixels.
    difference = np.array(new - old).astype(values.dtype)
    replaced: Values = values + is_old * difference
    return replaced
