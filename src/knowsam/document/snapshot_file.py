"""The file that a snapshot is kept in: a compressed `.npz`, whole or not there at all."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from knowsam.damage import damage_error
from knowsam.data.annotation import LabelClass, SliceState, plane_shape
from knowsam.data.ends import End, Side
from knowsam.document.class_list import ClassList, ClassPresence
from knowsam.document.history import Step
from knowsam.document.slice_annotation import SliceAnnotation, Values
from knowsam.document.snapshot import Snapshot
from knowsam.errors import InputError
from knowsam.io.atomic import written_whole

FORMAT = 1
"""Files of another format are not read."""

MOST_HISTORY_BYTES = 32 * 2**20
"""Of the arrays of steps, uncompressed, that a file holds; the oldest are left out."""

_ABOUT = "about"
# What zip, numpy and JSON raise at bytes that are not what they should be.
_DAMAGE = (
    *(ArithmeticError, AttributeError, EOFError, InputError, LookupError, MemoryError, OSError),
    *(RuntimeError, SyntaxError, TypeError, ValueError, zipfile.BadZipFile, zlib.error),
)


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot as a compressed `.npz` file, whole or not at all.

    It holds label values, marks, what can be undone, the classes with the names the user gave them, and the time: no
    voxel, name, path or header of the image.

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
    arrays: dict[str, Values] = {**painted, **corrected}
    undo, redo = (_packed_steps(steps, arrays) for steps in _latest(snapshot))
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
        "unconfirmed": [(index, value) for index, one in slices.items() for value in sorted(one.unconfirmed)],
        "undo": undo,
        "redo": redo,
        # A damaged list of contents may lack some of them.
        "arrays": sorted(arrays),
    }
    return {_ABOUT: np.array(json.dumps(about, default=int)), **arrays}


def _latest(snapshot: Snapshot) -> tuple[Sequence[Step], Sequence[Step]]:
    """Return the steps back and forth that a file holds: those that come next, as many as are small enough."""
    left = MOST_HISTORY_BYTES
    kept: list[list[Step]] = []
    for steps in (snapshot.redo, snapshot.undo):
        kept.append([])
        for step in reversed(steps):
            left -= step.size_bytes
            if left < 0:
                break
            kept[-1].insert(0, step)
    redo, undo = kept
    return undo, redo


def _packed_steps(steps: Sequence[Step], arrays: dict[str, Values]) -> list[dict[str, Any]]:
    """Describe steps; their arrays are added to those there are, each of them once."""
    names = {id(array): name for name, array in arrays.items()}

    def name_of(array: Values | None) -> str | None:
        if array is None:
            return None
        if id(array) not in names:
            names[id(array)] = f"step_{len(arrays)}"
            arrays[names[id(array)]] = array
        return names[id(array)]

    return [
        {
            "name": step.name,
            "slices": [
                (
                    index,
                    name_of(one.painted),
                    None if one.mark is None else one.mark.value,
                    name_of(one.correction),
                    one.from_prediction,
                    [(end.of, end.side.value) for end in one.ends],
                    sorted(one.unconfirmed),
                )
                for index, one in step.slices.items()
            ],
            "presence": None if step.presence is None else _packed_presence(step.presence),
        }
        for step in steps
    ]


def _packed_presence(presence: ClassPresence) -> tuple[int, str, tuple[int, int, int], int, bool]:
    one = presence.label_class
    return one.value, one.name, one.color, presence.position, presence.present


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
    # Marks of a class that was removed say nothing; a file that has some holds work all the same.
    known = {int(value) for value, _, _ in about["classes"]}
    ends: dict[int, set[End]] = {}
    # Files of before there were marked ends or unconfirmed outlines are read all the same.
    for index, value, side in about.get("ends", ()):
        if value in known:
            ends.setdefault(int(index), set()).add(End(int(value), Side(side)))
    unconfirmed: dict[int, set[int]] = {}
    for index, value in about.get("unconfirmed", ()):
        if value in known:
            unconfirmed.setdefault(int(index), set()).add(int(value))
    slices = {}
    for index, mark in about["slices"]:
        state = None if mark is None else SliceState(mark)
        painted, correction = (entries.get(f"{what}_{index}") for what in ("painted", "correction"))
        is_predicted, marked = index in about["from_prediction"], frozenset(ends.get(index, ()))
        by_sam = frozenset(unconfirmed.get(index, ()))
        slices[int(index)] = SliceAnnotation(painted, state, correction, is_predicted, marked, by_sam)
    undo, redo = (tuple(_unpacked_step(step, entries) for step in about.get(way, ())) for way in ("undo", "redo"))
    snapshot = Snapshot(
        datetime.fromisoformat(about["taken_at"]),
        shape,
        range(len(shape))[about["axis"]],
        tuple(LabelClass(int(value), str(name), _color(*color)) for value, name, color in about["classes"]),
        int(about["brush_value"]),
        slices,
        undo,
        redo,
    )
    _require_sound(snapshot)
    return snapshot


def _unpacked_step(about: Mapping[str, Any], entries: Mapping[str, npt.NDArray[Any]]) -> Step:
    slices = {}
    for index, painted, mark, correction, from_prediction, ends, *unconfirmed in about["slices"]:
        slices[int(index)] = SliceAnnotation(
            None if painted is None else entries[painted],
            None if mark is None else SliceState(mark),
            None if correction is None else entries[correction],
            bool(from_prediction),
            frozenset(End(int(value), Side(side)) for value, side in ends),
            frozenset(int(value) for values in unconfirmed for value in values),
        )
    presence = None
    if about["presence"] is not None:
        value, name, color, position, present = about["presence"]
        presence = ClassPresence(LabelClass(int(value), str(name), _color(*color)), int(position), bool(present))
    return Step(str(about["name"]), slices, presence)


def _color(red: int, green: int, blue: int) -> tuple[int, int, int]:
    return int(red), int(green), int(blue)


def _require_sound(snapshot: Snapshot) -> None:
    classes = ClassList(snapshot.classes, snapshot.brush_value)
    for index, one in snapshot.slices.items():
        _require_fits(index, one, snapshot)
        for values in (one.painted, one.correction):
            if values is not None:
                classes.require_known(values)
    # What can be undone may hold classes that were removed since.
    for step in (*snapshot.undo, *snapshot.redo):
        for index, one in step.slices.items():
            _require_fits(index, one, snapshot)


def _require_fits(index: int, one: SliceAnnotation, snapshot: Snapshot) -> None:
    if not 0 <= index < snapshot.shape[snapshot.axis]:
        raise ValueError(f"slice {index}")
    for values in (one.painted, one.correction):
        if values is not None and (
            values.shape != plane_shape(snapshot.shape, snapshot.axis) or values.dtype.kind not in "iu"
        ):
            raise ValueError(f"slice {index} of shape {values.shape} and type {values.dtype}")
