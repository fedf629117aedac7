"""The scribbled slices of one volume, completed, and which of them labels are propagated from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

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
    """Completed outlines of partly annotated slices, kept until their annotation changes.

    Parameters
    ----------
    planes : (N, H, W), the slices on the device.
    cap_px : largest distance.
    """

    def __init__(self, planes: Tensor, window: Window, cap_px: float) -> None:
        self._planes, self._window, self._cap_px = planes, window, cap_px
        self._outlines: dict[int, Outline] = {}
        self._known: dict[int, tuple[LabelArray, LabelArray | None]] = {}

    def clear(self) -> None:
        """Hold no slice any more."""
        self._outlines.clear()

    def take(self, label_slice: LabelSlice, classes: int) -> None:
        """Take a slice as it is annotated now, of which nothing is held if it cannot be completed.

        Parameters
        ----------
        classes : C, background included.
        """
        index = label_slice.index
        self._outlines.pop(index, None)
        if not label_slice.can_be_completed:
            self._known.pop(index, None)
            return
        known, labels = self._known.get(index, (None, None))
        if known is None or not np.array_equal(known, label_slice.labels):
            labels = _completed(network_scribbles(label_slice.labels, self._window), self._planes[index])
            self._known[index] = label_slice.labels, labels
        if labels is not None:
            outline = plane_outline(labels, classes, self._cap_px)
            self._outlines[index] = replace(outline, error=COMPLETION_ERROR).to(self._planes.device)

    def beside(self, drawn: Mapping[int, Outline]) -> dict[int, Outline]:
        """Return the outlines to propagate: all that somebody has drawn, and completed ones that do not spoil those.

        Between two drawn slices that hold a structure, propagated labels are better than outlines completed from a few
        strokes. A class that slices on both sides hold, but that was not scribbled, is forgotten rather than absent.
        """
        held = [index for index, outline in drawn.items() if not outline.is_empty]
        completions = {i: one for i, one in self._outlines.items() if not held or not min(held) < i < max(held)}
        sources = {**completions, **drawn}
        if not completions:
            return sources
        indices = sorted(sources)
        present = torch.stack([sources[index].present for index in indices]).cpu().numpy()
        below, above = (np.logical_or.accumulate(present[::step])[::step] for step in (1, -1))
        forgets = (below & above & ~present).any(axis=1)
        return {i: sources[i] for i, forgot in zip(indices, forgets, strict=True) if i in drawn or not forgot}


def _completed(scribbles: LabelArray, plane: Tensor) -> LabelArray | None:
    """Return the class indices of a slice, or None if its window shows too little of what was scribbled."""
    labelled = scribbles[scribbles != IGNORE]
    if not (labelled == BACKGROUND).any() or not (labelled != BACKGROUND).any():
        return None
    return completed(scribbles, plane.cpu().numpy())
