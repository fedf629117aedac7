"""SAM, asked for structures in threads of the window; it is loaded when it is first asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from knowsam.models.official_weights import OFFICIAL, place_of

if TYPE_CHECKING:
    from knowsam.data.volume import Volume
    from knowsam.prompting.prompted_volume import PromptedMask, PromptedVolume
    from knowsam.prompting.slice_prompts import Mask, SlicePrompts

_COMPACT = "compact"


def promptable(teacher: str) -> str:
    """Return the SAM to be asked where a teacher was chosen: itself if it is a SAM that is here, else the compact one.

    SAM-2 and EdgeTAM are asked by learnt prompts only, and nothing is downloaded by the way.
    """
    if teacher in OFFICIAL:
        return teacher if place_of(teacher).is_file() else _COMPACT
    return teacher if Path(teacher).is_file() else _COMPACT


def name_of(sam: str) -> str:
    """Return how people call a SAM that `promptable` gave."""
    if sam in OFFICIAL:
        return OFFICIAL[sam].name
    return "the compact SAM" if sam == _COMPACT else f"SAM from {Path(sam).name}"


@dataclass(frozen=True)
class Asked:
    """What is asked, and which SAM.

    Parameters
    ----------
    sam : as `promptable` gives it. device : by its name.
    """

    volume: Volume
    axis: int
    sam: str
    device: str


class SliceAsking:
    """Keeps the SAM that was asked last, and what it saw; its methods but `forget` are for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: Asked | None = None
        self._prompted: PromptedVolume | None = None

    def look_at(self, asked: Asked, index: int) -> None:
        """See a slice before SAM is asked for it, if it sees whole slices."""
        prompted = self._of(asked)
        if prompted.sees_whole_slices:
            prompted.look_at(index)

    def outline(self, asked: Asked, index: int, prompts: SlicePrompts) -> PromptedMask:
        """Outline what is pointed at in a slice."""
        return self._of(asked).ask(index, prompts)

    def follow(self, asked: Asked, index: int, mask: Mask) -> Iterator[tuple[int, Mask]]:
        """Yield the structure in the slices above and below, see `followed`."""
        from knowsam.prompting.following import followed

        for direction in (1, -1):
            for other, found in followed(self._of(asked), index, mask, direction):
                yield other, found.mask

    def forget(self) -> None:
        """Let go of SAM and the volume."""
        with self._lock:
            self._asked = self._prompted = None

    def _of(self, asked: Asked) -> PromptedVolume:
        from napari_knowsam.torch_loading import load_torch

        load_torch()
        from knowsam.jobs import choose_teacher, told_device
        from knowsam.prompting.prompted_volume import PromptedVolume

        with self._lock:
            if self._prompted is None or self._asked != asked:
                teacher = choose_teacher(asked.sam)
                assert teacher.weights is not None
                device = told_device(asked.device)
                self._prompted = PromptedVolume(asked.volume, asked.axis, teacher.variant, teacher.weights, device)
                self._asked = asked
            return self._prompted
