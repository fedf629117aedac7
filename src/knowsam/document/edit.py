"""A structure of an annotation document edited as a whole, in one slice or in all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from knowsam.data.annotation import BACKGROUND_CLASS
from knowsam.data.slice_number import slice_number
from knowsam.document.slice_annotation import Values
from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.document.annotated_volume import AnnotatedVolume

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Structure:
    """A structure as it is shown, apart from its document, so that it can be edited in another thread.

    Parameters
    ----------
    value : of its class.
    first : index of the first slice.
    mask : (H, W) of one slice, or (S, H, W) of several that follow each other.
    image : grey values, of the same shape.
    blocked : where the structure must not grow, of the same shape.
    spacing_mm : of each axis of the mask.
    is_editable : (S,), False for slices that show nothing yet, neither paint nor prediction.
    """

    value: int
    first: int
    mask: Mask
    image: npt.NDArray[np.number[Any]]
    blocked: Mask
    spacing_mm: tuple[float, ...]
    is_editable: tuple[bool, ...]

    def is_same_as(self, other: Structure) -> bool:
        """Whether a tool makes the same of both in the same image."""
        pairs = ((self.mask, other.mask), (self.blocked, other.blocked))
        return self.first == other.first and all(np.array_equal(one, another) for one, another in pairs)

    def edited(self, tool: Callable[[Structure], Mask]) -> Edit:
        """Return what a tool makes of it, in the slices that it changes."""
        edited = tool(self) & ~self.blocked
        before, after = (mask.reshape(-1, *mask.shape[-2:]) for mask in (self.mask, edited))
        changed = (i for i, is_editable in enumerate(self.is_editable) if is_editable and (after[i] != before[i]).any())
        return Edit(self.value, {self.first + i: after[i] for i in changed})


@dataclass(frozen=True, eq=False)
class Edit:
    """What a structure is to be.

    Parameters
    ----------
    value : of its class.
    masks : (H, W) of the structure, by the index of the slice.
    is_by_sam : whether SAM outlined it, so that a person has yet to confirm that.
    """

    value: int
    masks: Mapping[int, Mask]
    is_by_sam: bool = False

    def applied(self, index: int, shown: Values) -> Values:
        """Return what is to be shown of a slice (H, W) of which this is shown."""
        without = np.where(shown == self.value, BACKGROUND_CLASS.value, shown)
        return np.where(self.masks[index], self.value, without).astype(shown.dtype)

    def unconfirmed(self, before: frozenset[int], touched: frozenset[int]) -> frozenset[int]:
        """Return the structures of a slice that are yet to be confirmed after the edit.

        Parameters
        ----------
        before : those that were.
        touched : values of the pixels that it changes, before and after.
        """
        if self.is_by_sam:
            return before | {self.value}
        # Nobody has looked at each of many slices.
        return before if len(self.masks) > 1 else before - touched


MakeStructure = Callable[[], Structure]
StructureReading = Iterator[MakeStructure | None]


def other_structures(document: AnnotatedVolume, value: int, action: str) -> tuple[int, ...]:
    """Return the values of all structures but one that is to be changed.

    Parameters
    ----------
    value : of its class.
    action : what is to be done to it, for the message: "edit".

    Raises
    ------
    InputError
        If it is no structure, but background.
    """
    structures = document.class_list.values[1:]
    if value not in structures:
        raise InputError(f"Background is chosen. Choose the structure to {action} in the table of classes.")
    return tuple(one for one in structures if one != value)


def structure_in_slice(document: AnnotatedVolume, value: int, index: int, protected: Collection[int] = ()) -> Structure:
    """Return a structure as it is shown in a slice.

    Parameters
    ----------
    protected : values of classes that keep their pixels.

    Raises
    ------
    InputError
        If it is not there.
    """
    shown = document.shown(index)
    mask = shown == value
    if not mask.any():
        name = document.class_list.name_of(value)
        raise InputError(
            f"“{name}” is not in slice {slice_number(index)}. Go to a slice that shows it, or choose another class."
        )
    image, blocked = document.volume.array[document.at(index)], np.isin(shown, tuple(protected))
    return Structure(value, index, mask, image, blocked, document.spacing_mm[1:], (True,))


def read_structure(
    document: AnnotatedVolume, value: int, reach_mm: float = 0.0, protected: Collection[int] = ()
) -> StructureReading:
    """Read a structure as it is shown in all slices, with those that a tool can reach beside them, slice by slice.

    A large volume takes up to a second, in which the window of its document must not stand still: each slice yields
    None, in the thread that changes the document. Last comes a function that makes the structure in any thread.

    Parameters
    ----------
    protected : values of classes that keep their pixels.

    Raises
    ------
    InputError
        If it is nowhere, or slices in the midst of it show nothing yet.
    """
    held = [index for index, area in document.shown_areas_px(value).items() if area]
    if not held:
        raise InputError(
            f"“{document.class_list.name_of(value)}” is in no slice. Paint it first, or choose another class."
        )
    _require_shown(document, value, range(min(held), max(held) + 1))
    spacing_mm = document.spacing_mm
    reach = math.ceil(reach_mm / spacing_mm[0])
    indices = range(max(min(held) - reach, 0), min(max(held) + reach + 1, document.slice_count))
    planes, is_editable = list[Values](), list[bool]()
    for index in indices:
        # A prediction that comes later is written into the same array.
        planes.append(document.shown(index).copy())
        is_editable.append(document.shows(index))
        yield None
    image = np.moveaxis(document.volume.array, document.axis, 0)[indices.start : indices.stop]

    def make() -> Structure:
        mask = np.stack([plane == value for plane in planes])
        blocked = np.stack([np.isin(plane, tuple(protected)) for plane in planes])
        return Structure(value, indices.start, mask, image, blocked, spacing_mm, tuple(is_editable))

    yield make


def _require_shown(document: AnnotatedVolume, value: int, indices: range) -> None:
    missing = [index for index in indices if not document.shows(index)]
    if missing:
        name = document.class_list.name_of(value)
        raise InputError(
            f"{len(missing)} of the slices between the first and the last one of “{name}” show "
            f"nothing yet, the first of them slice {slice_number(missing[0])}. Wait until they are predicted: that "
            "begins when two slices are painted. Or edit single slices."
        )
