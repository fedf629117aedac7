"""Cached facts of a slice, which take a look at all of its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from knowsam.data.annotation import SliceState

if TYPE_CHECKING:
    from knowsam.document.predictions import PercentArray
    from knowsam.document.slice_annotation import SliceAnnotation, Values


@dataclass(frozen=True)
class SliceFacts:
    """Facts of one slice, the defaults are those of an untouched slice.

    Parameters
    ----------
    state : how much is annotated.
    pixels : their number in what is shown, by class value; no background.
    painted_values : class values a person painted, corrections included.
    expected_error_px : how many pixels of what is shown are probably wrong; none where all is annotated.
    """

    state: SliceState = SliceState.UNLABELLED
    pixels: Mapping[int, int] = field(default_factory=dict)
    painted_values: frozenset[int] = frozenset()
    expected_error_px: float = 0.0

    @classmethod
    def of(
        cls,
        one: SliceAnnotation,
        state: SliceState,
        shown: Values,
        values: tuple[int, ...],
        uncertainty_percent: PercentArray,
    ) -> SliceFacts:
        """Look at the pixels of a slice.

        Parameters
        ----------
        shown : (H, W), class values.
        values : of all classes but background.
        uncertainty_percent : (H, W), how probable it is that a predicted pixel is wrong.
        """
        by_hand = [array for array in (one.painted, one.correction) if array is not None]
        return cls(
            state,
            {value: int(np.count_nonzero(shown == value)) for value in values},
            frozenset(value for value in values if any((array == value).any() for array in by_hand)),
            float(uncertainty_percent.sum()) / 100 if one.leaves_open else 0.0,
        )
