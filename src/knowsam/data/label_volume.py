"""Label values of a whole volume, as Python programs and files give them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from knowsam.errors import InputError


def require_label_volume(labels: npt.NDArray[Any], axis: int) -> None:
    """Check that an array holds label values, and that slices can be painted along an axis of it.

    Parameters
    ----------
    labels : (Z, Y, X).

    Raises
    ------
    InputError
        If a value is negative or no whole number.
    ValueError
        If it has other dimensions than three, or there is no such axis.
    """
    if labels.ndim != 3 or axis not in range(3):
        raise ValueError(f"Labels of shape {labels.shape} along axis {axis}, but (Z, Y, X) along 0, 1 or 2 is needed.")
    if labels.size and (labels.min() < 0 or (labels.dtype.kind not in "biu" and (labels != np.rint(labels)).any())):
        raise InputError(
            f"The labels hold values from {labels.min()} to {labels.max()} of type {labels.dtype}, but labels are "
            "whole numbers from 0. Give label values, not grey values or probabilities."
        )


def slices_with_labels(labels: npt.NDArray[np.integer], axis: int) -> tuple[int, ...]:
    """Return the indices along `axis` of the slices that hold any label."""
    others = tuple(other for other in range(labels.ndim) if other != axis)
    return tuple(int(index) for index in np.flatnonzero(labels.any(axis=others)))
