"""Voxels without a value: NaN, as programs write where nothing was measured or computed, and infinity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from knowsam.errors import InputError, MissingValuesError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from knowsam.io.value_range import ValueRange

MissingAs = Literal["refused", "smallest", "zero"]
"""Their treatment: an error, the smallest of all other values, for images, or 0, for labels."""


class Filled(NamedTuple):
    """The value that such voxels got, and a notice of it."""

    value: float
    notice: str


def fill_missing(name: str, array: npt.NDArray[Any], values: ValueRange, missing_as: MissingAs) -> Filled:
    """Give voxels without a value one, in place.

    Parameters
    ----------
    name : of the image, for messages.
    array : real numbers, of any shape.
    values : what was found in them, at least one voxel without a value.

    Raises
    ------
    MissingValuesError
        If `missing_as` is "refused".
    InputError
        If no voxel has a value.
    """
    found = f"{values.missing} of {array.size} voxels of {name} are {values.fault}"
    if values.missing == array.size:
        raise InputError(f"All voxels of {name} are {values.fault}, but numbers are needed. Export the image again.")
    if missing_as == "refused":
        raise MissingValuesError(found)
    value = (
        0.0 if missing_as == "zero" else min(float(plane[known].min()) for plane, known in _known(array) if known.any())
    )
    for plane, known in _known(array):
        plane[~known] = value
    return Filled(value, f"{found}; they were taken for background and got the value {value:g}.")


def _known(array: npt.NDArray[Any]) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]]:
    """Yield each plane and a mask of its finite values."""
    # Not of the whole volume at once, which would take as much memory again.
    for plane in array:
        yield plane, np.isfinite(plane)
