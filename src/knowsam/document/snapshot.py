"""All that a person has said about one volume at one moment, and the file it can be kept in."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from knowsam.damage import damage_error
from knowsam.data.annotation import LabelClass, SliceState, plane_shape
from knowsam.data.ends import End, Side
from knowsam.document.class_list import ClassList
from knowsam.document.slice_annotation import NOT_PAINTED, SliceAnnotation, Values
from knowsam.errors import InputError
from knowsam.io.atomic import written_whole

FORMAT = 1
"""Files of another format are not read."""

_ABOUT = "about"
_NOTHING = SliceAnnotation()
# What zip, numpy and JSON raise at bytes that are not what they should be.
_DAMAGE = (
    *(ArithmeticError, AttributeError, EOFError, InputError, LookupError, MemoryError, OSError),
    *(RuntimeError, SyntaxError, TypeError, ValueError, zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What was painted, corrected and marked, slice by slice; its arrays are never changed.

    Parameters
    ----------
    taken_at : local time.
    shape : (Z, Y, X) of the volume.
    axis : working axis the slices are stacked along.
    classes : background first.
    brush_value : painted where background is known.
    slices : those about which anything was said, by index.
    """

    taken_at: datetime
    shape: tuple[int, int, int]
    axis: int
    classes: tuple[LabelClass, ...]
    brush_value: int
    slices: Mapping[int, SliceAnnotation]

    @property
    def judged(self) -> tuple[int, ...]:
        """Indices of all slices that were judged, completely or in part, ascending."""
        return tuple(index for index in sorted(self.slices) if (self._judged(index) != NOT_PAINTED).any())

    def is_unchanged_in(self, later: Snapshot) -> bool:
        """Whether nothing has happened between this snapshot and a later one of the same document."""
        # Slices are replaced, never changed, so that there is no need to look at pixels.
        same_slices = self.slices.keys() == later.slices.keys() and all(
            later.slices[index] is one for index, one in self.slices.items()
        )
        return same_slices and (self.classes, self.brush_value) == (later.classes, later.brush_value)

    def holds(self, other: Snapshot) -> bool:
        """Whether all that was judged in another snapshot of the same volume is judged just so in this one."""
        if self.axis != other.axis:
            return not other.judged
        return all(self._agrees(other, index) for index in other.slices)

    def with_brush(self, brush_value: int) -> Snapshot:
        """Return the snapshot with known background painted with another value, which is none of its classes."""
        slices = {index: one.with_brush(self.brush_value, brush_value) for index, one in self.slices.items()}
        return replace(self, brush_value=brush_value, slices=slices)

    def _agrees(self, other: Snapshot, index: int) -> bool:
        mine, theirs = self._judged(index), other._judged(index)
        is_background = mine == self.brush_value
        if not np.array_equal(is_background, theirs == other.brush_value):
            return False
        return bool((mine == theirs)[~is_background].all())

    def _judged(self, index: int) -> Values:
        return self.slices.get(index, _NOTHING).judged(plane_shape(self.shape, self.axis), self.brush_value)


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot as a compressed `.npz` file, whole or not at all.

    It holds label values, marks, the classes with the names the user gave them, and the time: no voxel, name, path or
    header of the image.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    with written_whole(path) as whole, whole.open("wb") as file:
        # The fastest level: masks shrink a hundredfold at any.
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, array in _packed(snapshot).items():
                with archive.open(f"{name}.npy", "w") as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)
        file.flush()
        # Otherwise a power cut could leave the new name with nothing behind it.
        os.fsync(file.fileno())


def read_snapshot(path: Path, shape: tuple[int, int, int]) -> Snapshot:
    """Read a snapshot of a volume (Z, Y, X) of this shape.

    Raises
    ------
    OSError
        If the file cannot be read.
    InputError
        If it is damaged, of another format or belongs to another volume.
    """
    data = path.read_bytes()
    try:
        # All bytes of an entry are read before any is believed, which checks their sum.
        with zipfile.ZipFile(BytesIO(data)) as archive:
            entries = {name.removesuffix(".npy"): _array(archive.read(name)) for name in archive.namelist()}
        return _unpacked(entries, shape)
    except _DAMAGE as error:
        sentence = (
            f"{path.name} should hold the painting of a volume of shape {shape}, but it is damaged or of another kind "
            f"({error}). It is left as it is."
        )
        raise damage_error(sentence, error) from error


def _packed(snapshot: Snapshot) -> dict[str, npt.NDArray[Any]]:
    slices = snapshot.slices
    painted = {f"painted_{i}": one.painted for i, one in slices.items() if one.painted is not None}
    corrected = {f"correction_{i}": one.correction for i, one in slices.items() if one.correction is not None}
    about = {
        "format": FORMAT,
        "taken_at": snapshot.taken_at.isoformat(),
        "shape": snapshot.shape,
        "axis": snapshot.axis,
        "classes": [(one.value, one.name, one.color) for one in snapshot.classes],
        "brush_value": snapshot.brush_value,
        "slices": [(index, None if one.mark is None else one.mark.value) for index, one in slices.items()],
        "from_prediction": [index for index, one in slices.items() if one.from_prediction],
        "ends": [(index, end.of, end.side.value) for index, one in slices.items() for end in one.ends],
        # A damaged list of contents may lack some of them.
        "arrays": sorted([*painted, *corrected]),
    }
    return {_ABOUT: np.array(json.dumps(about, default=int)), **painted, **corrected}


def _array(data: bytes) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.lib.format.read_array(BytesIO(data), allow_pickle=False)
    array.setflags(write=False)
    return array


def _unpacked(entries: dict[str, npt.NDArray[Any]], shape: tuple[int, int, int]) -> Snapshot:
    about = json.loads(str(entries.pop(_ABOUT)))
    if about["format"] != FORMAT or tuple(about["shape"]) != shape:
        raise ValueError(f"format {about['format']}, shape {about['shape']}")
    if sorted(entries) != about["arrays"]:
        raise ValueError(f"arrays {sorted(entries)}")
    ends: dict[int, set[End]] = {}
    # Files of before there were marked ends are read all the same.
    for index, value, side in about.get("ends", ()):
        ends.setdefault(int(index), set()).add(End(int(value), Side(side)))
    slices = {}
    for index, mark in about["slices"]:
        state = None if mark is None else SliceState(mark)
        painted, correction = (entries.get(f"{what}_{index}") for what in ("painted", "correction"))
        is_predicted, marked = index in about["from_prediction"], frozenset(ends.get(index, ()))
        slices[int(index)] = SliceAnnotation(painted, state, correction, is_predicted, marked)
    snapshot = Snapshot(
        datetime.fromisoformat(about["taken_at"]),
        shape,
        range(len(shape))[about["axis"]],
        tuple(LabelClass(int(value), str(name), _color(*color)) for value, name, color in about["classes"]),
        int(about["brush_value"]),
        slices,
    )
    _require_sound(snapshot)
    return snapshot


def _color(red: int, green: int, blue: int) -> tuple[int, int, int]:
    return int(red), int(green), int(blue)


def _require_sound(snapshot: Snapshot) -> None:
    classes = ClassList(snapshot.classes, snapshot.brush_value)
    for index, one in snapshot.slices.items():
        if not 0 <= index < snapshot.shape[snapshot.axis]:
            raise ValueError(f"slice {index}")
        classes.require_known(np.array([end.of for end in one.ends], int))
        for values in (one.painted, one.correction):
            if values is None:
                continue
            if values.shape != plane_shape(snapshot.shape, snapshot.axis) or values.dtype.kind not in "iu":
                raise ValueError(f"slice {index} of shape {values.shape} and type {values.dtype}")
            classes.require_known(values)
