"""The latest prediction of every slice of a volume, with its uncertainty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from knowsam.data.annotation import BACKGROUND_CLASS

if TYPE_CHECKING:
    from knowsam.document.slice_annotation import Values

PercentArray = npt.NDArray[np.uint8]


class Predictions:
    """Predictions of slices along one axis.

    Parameters
    ----------
    shape : (Z, Y, X).
    axis : working axis the slices are stacked along.

    Attributes
    ----------
    values : (Z, Y, X), class values, background where nothing was predicted.
    """

    def __init__(self, shape: tuple[int, int, int], axis: int) -> None:
        self._axis = axis
        self._indices: set[int] = set()
        # Pages of zeros take no memory before something is written.
        self.values: Values = np.zeros(shape, dtype=np.uint8)
        self._uncertainty: PercentArray = np.zeros(shape, dtype=np.uint8)

    @property
    def indices(self) -> tuple[int, ...]:
        """Of all slices that were predicted, ascending."""
        return tuple(sorted(self._indices))

    @property
    def uncertainty(self) -> PercentArray:
        """(Z, Y, X), 0 to 100 percent, a read-only view that follows the predictions."""
        view = self._uncertainty.view()
        view.setflags(write=False)
        return view

    def __contains__(self, index: int) -> bool:
        """Whether a slice was predicted."""
        return index in self._indices

    def put(self, index: int, values: Values, uncertainty: PercentArray) -> None:
        """Take the prediction (H, W) of a slice."""
        if not np.can_cast(values.dtype, self.values.dtype):
            self.values = self.values.astype(values.dtype)
        self.values[self.at(index)] = values
        self._uncertainty[self.at(index)] = uncertainty
        self._indices.add(index)

    def clear(self) -> tuple[int, ...]:
        """Forget all predictions, and return the indices of the slices they were of."""
        cleared = self.indices
        self.values[:], self._uncertainty[:] = BACKGROUND_CLASS.value, 0
        self._indices.clear()
        return cleared

    def drop_class(self, value: int) -> tuple[int, ...]:
        """Turn a class into background, and return the indices of the slices that held it."""
        holding = tuple(index for index in self.indices if (self.values[self.at(index)] == value).any())
        for index in holding:
            plane = self.values[self.at(index)]
            plane[plane == value] = BACKGROUND_CLASS.value
        return holding

    def at(self, index: int) -> tuple[slice | int, ...]:
        """Return where the slice lies in an array (Z, Y, X)."""
        return (*(slice(None),) * self._axis, index)
