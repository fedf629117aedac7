"""Voxels without a value: NaN, as programs write where nothing was measured or computed, and infinite ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from knowsam.errors import InputError, MissingValuesError

if TYPE_CHECKING:
    from collections.abc import Iterator

MissingAs = Literal["refused", "smallest", "zero"]
"""What becomes of them: nothing, or they get the smallest of all other values, as in an image, or 0, as in labels."""


class Filled(NamedTuple):
    """What such voxels got, and what is to be told of it."""

    value: float
    notice: str


def fill_missing(name: str, array: npt.NDArray[Any], missing: int, missing_as: MissingAs) -> Filled:
    """Give voxels without a value one, in place.

    Parameters
    ----------
    name : of the image, for messages.
    array : real numbers, of any shape.
    missing : how many voxels have none, at least one.

    Raises
    ------
    MissingValuesError
        If they are to be refused.
    InputError
        If there are no others.
    """
    found = f"{missing} of {array.size} voxels of {name} are NaN or infinite"
    if missing == array.size:
        raise InputError(f"All voxels of {name} are NaN or infinite, but numbers are needed. Export the image again.")
    if missing_as == "refused":
        raise MissingValuesError(found)
    value = (
        0.0 if missing_as == "zero" else min(float(plane[known].min()) for plane, known in _known(array) if known.any())
    )
    for plane, known in _known(array):
        plane[~known] = value
    return Filled(value, f"{found}; they were taken for background and got the value {value:g}.")


def _known(array: npt.NDArray[Any]) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]]:
    """Yield each plane and where it holds numbers."""
    # Not of the whole volume at once, which would take memory for another one.
    for plane in array:
        yield plane, np.isfinite(plane)
