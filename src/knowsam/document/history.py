"""Undo and redo: steps with the slices as they were."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from knowsam.document.class_list import ClassPresence
    from knowsam.document.slice_annotation import SliceAnnotation

LIMIT_STEPS = 200
LIMIT_BYTES = 256 * 2**20


@dataclass(frozen=True, eq=False)
class Step:
    """The state on the other side of one action.

    Its arrays are those of the document, which never changes them in place, so that a step of a whole volume is taken
    in no time; compressed, undoing an acceptance of 400 slices of 512 x 512 took half a second.

    Parameters
    ----------
    name : of the action, for people: "painting of slice 3".
    slices : those it changes, as they are on the other side; an empty annotation for a slice without any.
    presence : of the class it takes away or brings back, on the other side.
    """

    name: str
    slices: Mapping[int, SliceAnnotation]
    presence: ClassPresence | None = None

    @property
    def size_bytes(self) -> int:
        """Of the arrays that it keeps in memory."""
        return sum(one.size_bytes for one in self.slices.values())


class History:
    """Steps back and forth; the oldest go first when there are too many.

    Parameters
    ----------
    limit_bytes : of all steps together; the latest step is kept whatever its size.
    """

    def __init__(self, limit_steps: int = LIMIT_STEPS, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_steps = limit_steps
        self._limit_bytes = limit_bytes
        self._undo: deque[Step] = deque()
        self._redo: deque[Step] = deque()

    @property
    def undo_name(self) -> str | None:
        """Name of the action that `undo` takes back."""
        return self._undo[-1].name if self._undo else None

    @property
    def redo_name(self) -> str | None:
        """Name of the action that `redo` repeats."""
        return self._redo[-1].name if self._redo else None

    @property
    def is_empty(self) -> bool:
        """Whether nothing can be undone or repeated."""
        return not self._undo and not self._redo

    @property
    def steps(self) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
        """All that can be undone and all that can be repeated, each with what comes next last."""
        return tuple(self._undo), tuple(self._redo)

    def resume(self, undo: Iterable[Step], redo: Iterable[Step]) -> None:
        """Go on with the steps of an earlier history, in the order of `steps`."""
        self._undo, self._redo = deque(undo), deque(redo)

    def record(self, step: Step) -> None:
        """Remember how to undo a new action; what was undone before can no longer be repeated."""
        self._redo.clear()
        self._undo.append(step)
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
        return len(self._undo) > self._limit_steps or sum(step.size_bytes for step in self._undo) > self._limit_bytes


def _move(source: deque[Step], target: deque[Step], here: Callable[[Step], Step]) -> Step | None:
    if not source:
        return None
    step = source.pop()
    target.append(here(step))
    return step
