"""The scribbled slices of one volume, completed, and which of them labels are propagated from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from knowsam.data.annotation import BACKGROUND, IGNORE
from knowsam.inference.planes import network_scribbles, plane_outline
from knowsam.propagation.completion import COMPLETION_ERROR, completed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from knowsam.data.annotation import LabelArray, LabelSlice
    from knowsam.data.window import Window
    from knowsam.propagation.label_propagation import Outline


class Completions:
    """Outlines of slices that are annotated in part, each made once for as long as nobody annotates it otherwise."""

    def __init__(self) -> None:
        self._outlines: dict[int, Outline] = {}
        self._known: dict[int, tuple[LabelSlice, LabelArray | None]] = {}

    def clear(self) -> None:
        """Hold no slice any more."""
        self._outlines.clear()

    def take(self, label_slice: LabelSlice, plane: Tensor, classes: int, window: Window, cap_px: float) -> None:
        """Take a slice as it is annotated now, of which nothing is held if it cannot be completed.

        Parameters
        ----------
        plane : (H, W), the slice on the device.
        classes : C, background included.
        cap_px : distance beyond which nothing is further away.
        """
        index = label_slice.index
        self._outlines.pop(index, None)
        if not label_slice.can_be_completed:
            self._known.pop(index, None)
            return
        known, labels = self._known.get(index, (None, None))
        if known is not label_slice:
            labels = _completed(network_scribbles(label_slice.labels, window), plane)
            self._known[index] = label_slice, labels
        if labels is not None:
            outline = plane_outline(labels, classes, cap_px)
            self._outlines[index] = replace(outline, error=COMPLETION_ERROR).to(plane.device)

    def beside(self, drawn: Mapping[int, Outline]) -> dict[int, Outline]:
        """Return the outlines to propagate: all that somebody has drawn, and completed ones that do not spoil those.

        Between two drawn slices, what is propagated is better than a guess from a few strokes. And where a class that
        both neighbours hold was not scribbled, it is not absent but forgotten.
        """
        held = [index for index, outline in drawn.items() if not outline.is_empty]
        guessed = {i: one for i, one in self._outlines.items() if not held or not min(held) < i < max(held)}
        sources = {**guessed, **drawn}
        indices = sorted(sources)
        forgetful = {
            index
            for below, index, above in zip(indices, indices[1:], indices[2:], strict=False)
            if index not in drawn and _forgets(sources[index], sources[below], sources[above])
        }
        return {index: outline for index, outline in sources.items() if index not in forgetful}


def _forgets(outline: Outline, below: Outline, above: Outline) -> bool:
    """Tell whether a class that both neighbours hold is missing."""
    return bool((below.present & above.present & ~outline.present).any())


def _completed(scribbles: LabelArray, plane: Tensor) -> LabelArray | None:
    """Return the class indices of a slice, or None if its window shows too little of what was scribbled."""
    judged = scribbles[scribbles != IGNORE]
    if not (judged == BACKGROUND).any() or not (judged != BACKGROUND).any():
        return None
    return completed(scribbles, plane.cpu().numpy())
