"""What can be undone: steps with the slices as they were, compressed."""

from __future__ import annotations

import pickle
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from knowsam.document.class_list import ClassPresence
    from knowsam.document.slice_annotation import SliceAnnotation

LIMIT_STEPS = 200
LIMIT_BYTES = 128 * 2**20


@dataclass(frozen=True, eq=False)
class Step:
    """How to get to the other side of one action.

    Parameters
    ----------
    name : of the action, for people: "painting of slice 3".
    slices : those it changes, as they are on the other side; an empty annotation for a slice without any.
    presence : of the class it takes away or brings back, on the other side.
    """

    name: str
    slices: Mapping[int, SliceAnnotation]
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
        self._undo.append(_PackedStep.of(step))
        while len(self._undo) > 1 and self._is_full():
            self._undo.popleft()

    def undo(self, here: Callable[[Step], Step]) -> Step | None:
        """Return the step back, if any.

        Parameters
        ----------
        here : returns the same step with the slices as they are now, to come back to.
        """
        return _move(self._undo, self._redo, here)

    def redo(self, here: Callable[[Step], Step]) -> Step | None:
        """Return the step forth, if any; see `undo`."""
        return _move(self._redo, self._undo, here)

    def _is_full(self) -> bool:
        return len(self._undo) > self._limit_steps or sum(len(step.packed) for step in self._undo) > self._limit_bytes


@dataclass(frozen=True)
class _PackedStep:
    name: str
    packed: bytes

    @classmethod
    def of(cls, step: Step) -> _PackedStep:
        # The fastest level: masks shrink a hundredfold at any, and this runs between two strokes.
        return cls(step.name, zlib.compress(pickle.dumps(step), level=1))

    def unpacked(self) -> Step:
        # Pickled by this process and never written to a file, so that no foreign bytes get here.
        step: Step = pickle.loads(zlib.decompress(self.packed))
        return step


def _move(source: deque[_PackedStep], target: deque[_PackedStep], here: Callable[[Step], Step]) -> Step | None:
    if not source:
        return None
    step = source.pop().unpacked()
    target.append(_PackedStep.of(here(step)))
    return step
