"""The last predictions of the teacher, cached, so that it need not run on every slice in every step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class _Entry(NamedTuple):
    logits: Tensor
    step: int


class TeacherBank:
    """The teacher's logits of slices at its own low resolution, in bfloat16 on the device, by the row of the slice.

    What is stored in a step can be looked up at once, but is forgotten unless the step comes to its end. Which slices
    it holds, and since which step, is kept on the host, so that look-ups never wait for the device.
    """

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}
        self._fresh: dict[int, Tensor] = {}
        self._step = 0

    def __contains__(self, row: int) -> bool:
        return row in self._entries

    def clear(self) -> None:
        """Forget all slices."""
        self._entries.clear()
        self._fresh.clear()

    def begin_step(self) -> None:
        """Forget what was stored in a step that was broken off."""
        self._fresh.clear()

    def end_step(self) -> None:
        """Keep what was stored in this step."""
        self._entries.update({row: _Entry(logits, self._step) for row, logits in self._fresh.items()})
        self._fresh.clear()
        self._step += 1

    def store(self, rows: Sequence[int], logits: Tensor) -> None:
        """Remember logits (B, C, h, w) of some slices; earlier ones of the same slices are forgotten."""
        self._fresh.update(zip(rows, logits.detach().to(torch.bfloat16), strict=True))

    def look_up(self, rows: Sequence[int], blank: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of some slices, and 1 for each slice that is held, 0 for another.

        Parameters
        ----------
        blank : (C, h, w), float32, on the device; stands for the logits of a slice that is not held.

        Returns
        -------
        (B, C, h, w) and (B,), float32.
        """
        held = [self._newest(row) for row in rows]
        logits = torch.stack([blank if own is None else own.to(blank.dtype) for own in held])
        yes, no = torch.ones((), device=blank.device), torch.zeros((), device=blank.device)
        return logits, torch.stack([no if own is None else yes for own in held])

    def due(self, rows: Iterable[int], count: int, after: int) -> list[int]:
        """Return which slices to look at next: those never seen, then those seen longest ago.

        Parameters
        ----------
        rows : the slices to choose from.
        count : how many at most.
        after : a slice seen fewer steps ago is not due.
        """
        seen = {row: self._entries[row].step if row in self._entries else -1 for row in rows}
        due = [row for row, when in seen.items() if when < 0 or self._step - when >= after]
        return sorted(due, key=seen.__getitem__)[:count]

    def _newest(self, row: int) -> Tensor | None:
        if row in self._fresh:
            return self._fresh[row]
        return self._entries[row].logits if row in self._entries else None
