"""What can be undone: steps with the slices as they were, compressed."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_knowsam.slice_record import SliceRecord, Values

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelClass, SliceState

LIMIT_STEPS = 200
LIMIT_BYTES = 128 * 2**20


@dataclass(frozen=True)
class ClassPresence:
    """That a class is, or is not, in the list of classes, and where."""

    label_class: LabelClass
    position: int
    present: bool


@dataclass(frozen=True, eq=False)
class Step:
    """How to get to the other side of one action.

    Parameters
    ----------
    name : of the action, for people: "painting of slice 3".
    records : the slices it changes, as they are on the other side; an empty record for a slice without any.
    presence : of the class it takes away or brings back, on the other side.
    """

    name: str
    records: Mapping[int, SliceRecord]
    presence: ClassPresence | None = None


class History:
    """Steps back and forth; the oldest go first when there are too many.

    Parameters
    ----------
    limit_bytes : of all steps together, compressed; the latest step is kept whatever its size.
    """

    def __init__(self, limit_steps: int = LIMIT_STEPS, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_steps = limit_steps
        self._limit_bytes = limit_bytes
        self._undo: deque[_PackedStep] = deque()
        self._redo: deque[_PackedStep] = deque()

    @property
    def undo_name(self) -> str | None:
        """Name of the action that `undo` takes back."""
        return self._undo[-1].name if self._undo else None

    @property
    def redo_name(self) -> str | None:
        """Name of the action that `redo` repeats."""
        return self._redo[-1].name if self._redo else None

    def record(self, step: Step) -> None:
        """Remember how to undo a new action; what was undone before can no longer be repeated."""
        self._redo.clear()
        self._undo.append(_PackedStep(step))
        while len(self._undo) > 1 and self._is_full():
            self._undo.popleft()

    def undo(self, here: Callable[[Step], Step]) -> Step | None:
        """Return the step back, if any.

        Parameters
        ----------
        here : returns the same step with the slices as they are now, to come back to.
        """
        return self._move(self._undo, self._redo, here)

    def redo(self, here: Callable[[Step], Step]) -> Step | None:
        """Return the step forth, if any; see `undo`."""
        return self._move(self._redo, self._undo, here)

    def _is_full(self) -> bool:
        return len(self._undo) > self._limit_steps or sum(step.size_bytes for step in self._undo) > self._limit_bytes

    @staticmethod
    def _move(source: deque[_PackedStep], target: deque[_PackedStep], here: Callable[[Step], Step]) -> Step | None:
        if not source:
            return None
        step = source.pop().unpacked()
        target.append(_PackedStep(here(step)))
        return step


class _PackedStep:
    def __init__(self, step: Step) -> None:
        self.name = step.name
        self._presence = step.presence
        self._records = {index: _PackedRecord.of(record) for index, record in step.records.items()}
        self.size_bytes = sum(record.size_bytes for record in self._records.values())

    def unpacked(self) -> Step:
        records = {index: record.unpacked() for index, record in self._records.items()}
        return Step(self.name, records, self._presence)


@dataclass(frozen=True)
class _PackedRecord:
    painted: _PackedValues | None
    mark: SliceState | None
    correction: _PackedValues | None
    from_prediction: bool

    @classmethod
    def of(cls, record: SliceRecord) -> _PackedRecord:
        painted, correction = (v if v is None else _PackedValues.of(v) for v in (record.painted, record.correction))
        return cls(painted, record.mark, correction, record.from_prediction)

    @property
    def size_bytes(self) -> int:
        return sum(len(packed.compressed) for packed in (self.painted, self.correction) if packed is not None)

    def unpacked(self) -> SliceRecord:
        painted, correction = (p if p is None else p.unpacked() for p in (self.painted, self.correction))
        return SliceRecord(painted, self.mark, correction, self.from_prediction)


@dataclass(frozen=True)
class _PackedValues:
    compressed: bytes
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, values: Values) -> _PackedValues:
        # The fastest level: masks shrink a hundredfold at any, and this runs between two strokes.
        return cls(zlib.compress(values.tobytes(), level=1), values.dtype, values.shape)

    def unpacked(self) -> Values:
        return np.frombuffer(zlib.decompress(self.compressed), dtype=self.dtype).reshape(self.shape)
