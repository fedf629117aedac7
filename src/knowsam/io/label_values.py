"""Label values between the working order and a file: whole numbers, in the smallest type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from knowsam.data.orientation import from_working
from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.data.volume import Grid

_LARGEST = np.iinfo(np.int32).max

_ROUNDING = 1e-3
"""Labels this close to a whole number were one before they were scaled or resaved as real numbers."""


def as_label_values(name: str, array: npt.NDArray[Any]) -> npt.NDArray[np.integer]:
    """Return the values in the smallest of uint8, uint16 and int32 that holds them, rounded if they are nearly whole.

    Parameters
    ----------
    name : of the file, for messages.

    Raises
    ------
    InputError
        If a value is negative, beyond int32 or not within a thousandth of a whole number.
    """
    wrong = _first_wrong_value(array)
    if wrong is not None:
        raise InputError(
            f"{name} holds values that are no labels, such as {wrong:.10g}, but labels are whole numbers from 0. "
            "Give a label file, not an image or a probability map."
        )
    label_type = _label_type(round(float(array.max())))
    if array.dtype.kind in "iu":
        return array.astype(label_type, copy=False)
    labels = np.empty(array.shape, label_type)
    np.rint(array, out=labels, casting="unsafe")
    return labels


def labels_in_file_order(labels_zyx: npt.NDArray[np.integer], grid: Grid) -> npt.NDArray[np.integer]:
    """Return labels (Z, Y, X) in the order of the file, (I, J, K), in the smallest of uint8, uint16 and int32.

    Raises
    ------
    ValueError
        If they do not fit the grid, or are no whole numbers from 0 that int32 holds.
    """
    if labels_zyx.shape != grid.working_shape or labels_zyx.min() < 0:
        raise ValueError(f"Labels of shape {labels_zyx.shape} from {labels_zyx.min()} do not fit {grid.working_shape}.")
    if labels_zyx.dtype.kind not in "biu" or labels_zyx.max() > _LARGEST:
        raise ValueError(f"Labels of type {labels_zyx.dtype} up to {labels_zyx.max()} do not fit into int32.")
    return from_working(labels_zyx, grid).astype(_label_type(int(labels_zyx.max())), copy=False)


def _label_type(largest: int) -> npt.DTypeLike:
    """Return the smallest type for label values up to `largest`."""
    smallest = np.min_scalar_type(largest)
    return smallest if smallest in (np.uint8, np.uint16) else np.int32


def _first_wrong_value(array: npt.NDArray[Any]) -> float | None:
    if array.dtype.kind in "iu" and array.min() >= 0 and array.max() <= _LARGEST:
        return None
    # Plane by plane, since comparing a whole volume at once makes copies as large as itself.
    for plane in array:
        # In float64, since neither float16, in which small integers are rounded, nor float32 holds the largest label.
        whole = np.rint(plane, dtype=np.float64)
        wrong = plane[(whole < 0) | (np.abs(plane - whole) > _ROUNDING) | (whole > _LARGEST)]
        if wrong.size:
            return float(wrong[0])
    return None
