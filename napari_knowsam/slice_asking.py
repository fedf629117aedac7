"""SAM, asked for structures in threads of the window."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from knowsam.errors import PredictionError
from knowsam.models.official_weights import is_here, place_of
from knowsam.models.published_weights import FOLDER_FILES, OFFICIAL

if TYPE_CHECKING:
    from knowsam.data.volume import Volume
    from knowsam.prompting.prompted_volume import PromptedMask, PromptedVolume
    from knowsam.prompting.slice_prompts import Mask, SlicePrompts

_COMPACT = "compact"


def promptable(teacher: str) -> str:
    """Return the SAM to prompt for a chosen teacher: itself if it is a SAM on this computer, else the compact one.

    Nothing is downloaded.
    """
    if teacher in OFFICIAL:
        return teacher if is_here(teacher) else _COMPACT
    is_network = Path(teacher).is_file() or Path(teacher, FOLDER_FILES[0]).is_file()
    return teacher if is_network else _COMPACT


def name_of(sam: str) -> str:
    """Return the name for the user of a SAM that `promptable` returned."""
    if sam in OFFICIAL:
        return OFFICIAL[sam].name
    return "the compact SAM" if sam == _COMPACT else f"SAM from {Path(sam).name}"


class SliceAsking:
    """Asks one SAM for structures in the slices of one volume, in threads of the window, one question at a time.

    SAM is loaded when it is first asked.

    Parameters
    ----------
    axis : along which the slices lie. sam : as `promptable` gives it. device : by its name.
    """

    def __init__(self, volume: Volume, axis: int, sam: str, device: str) -> None:
        self.sam, self.device = sam, device
        self._volume, self._axis = volume, axis
        self._lock = threading.Lock()
        self._prompted: PromptedVolume | None = None

    def look_at(self, index: int) -> None:
        """See a slice before SAM is asked for it, if it sees whole slices."""
        with self._lock, _refusing():
            prompted = self._loaded()
            if prompted.sees_whole_slices:
                prompted.look_at(index)

    def outline(self, index: int, prompts: SlicePrompts) -> PromptedMask:
        """Outline a structure from prompts in a slice.

        Raises
        ------
        KnowSAMError
            If SAM cannot be loaded, or cannot compute.
        """
        with self._lock, _refusing():
            return self._loaded().ask(index, prompts)

    def follow(self, index: int, mask: Mask, annotated: Collection[int]) -> Iterator[tuple[int, Mask]]:
        """Yield the structure in the slices above and below, see `followed`, up to those that a person has annotated.

        Raises
        ------
        KnowSAMError
            If SAM cannot be loaded, or cannot compute.
        """
        from knowsam.prompting.following import followed

        for direction in (1, -1):
            with self._lock, _refusing():
                following = followed(self._loaded(), index, mask, direction)
            while True:
                with self._lock, _refusing():
                    step = next(following, None)
                if step is None or step[0] in annotated:
                    break
                yield step[0], step[1].mask

    def _loaded(self) -> PromptedVolume:
        if self._prompted is None:
            from napari_knowsam.torch_loading import load_torch

            load_torch()
            from knowsam.jobs import checked_device
            from knowsam.models.teachers import choose_teacher, read_weights
            from knowsam.prompting.prompted_volume import PromptedVolume

            device = checked_device(self.device)
            if self.sam in OFFICIAL:
                # Not by its name, which would download it again if it were damaged.
                variant, weights = read_weights(place_of(self.sam))
            else:
                teacher = choose_teacher(self.sam)
                assert teacher.weights is not None
                variant, weights = teacher.variant, teacher.weights
            self._prompted = PromptedVolume(self._volume, self._axis, variant, weights, device)
        return self._prompted


@contextmanager
def _refusing() -> Iterator[None]:
    """Turn a `RuntimeError`, which workers of generators drop, into one that is reported."""
    try:
        yield
    except RuntimeError as error:
        raise PredictionError(
            f"SAM cannot compute here ({error}). Choose the CPU under Device, or a smaller SAM under Teacher."
        ) from error
