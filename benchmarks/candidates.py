"""Masks of a slice that the program has beside the one it shows, and questions which of two is better."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from compact_sam import by_mask
from torch.nn import functional as F

from knowsam.inference.ensemble import STUDENTS_ALONE
from knowsam.inference.planes import with_neighbours
from knowsam.models.sam_prompting import embed

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelArray
    from knowsam.inference.predictor import Predictor, SlicePrediction
    from knowsam.propagation.propagated_labels import PropagatedLabels

SHOWN = "shown"

_SHIFT = 0.5
"""In logits, by which structures become larger or smaller."""


def candidates(predictor: Predictor, sam: torch.nn.Module, indices: Sequence[int]) -> dict[str, LabelArray]:
    """Return the masks there are of some slices, each (N, H, W) in class indices, by where they come from."""
    propagate = predictor.propagate
    assert propagate is not None

    def registered(chosen: Sequence[int]) -> PropagatedLabels | None:
        found = propagate(chosen)
        return None if found is None else found._replace(refined=None)

    shown = list(predictor.slices(indices))
    return {
        SHOWN: _labels(shown),
        "students": _labels(replace(predictor, weight=STUDENTS_ALONE).slices(indices)),
        "registration alone": _labels(replace(predictor, weight=None, propagate=registered).slices(indices)),
        "larger": _labels(_shifted(one, _SHIFT) for one in shown),
        "smaller": _labels(_shifted(one, -_SHIFT) for one in shown),
        "compact SAM": _labels(_redrawn(predictor, sam, shown)),
    }


def _labels(predictions: Iterator[SlicePrediction] | Sequence[SlicePrediction]) -> LabelArray:
    return np.stack([one.labels for one in predictions])


def _shifted(predicted: SlicePrediction, logits: float) -> SlicePrediction:
    """Return the prediction with all structures more probable than before."""
    box = predicted.box.clone()
    box[1:] *= np.exp(logits)
    return replace(predicted, box=box)


@torch.inference_mode()
def _redrawn(predictor: Predictor, sam: torch.nn.Module, shown: Sequence[SlicePrediction]) -> Iterator[SlicePrediction]:
    """Prompt SAM with what is shown of each structure, and let the largest logit win; background has 0."""
    source = predictor.source
    rows = torch.tensor([one.index for one in shown])
    embedding = embed(sam, with_neighbours(source.planes, rows, neighbours=True))
    boxes = torch.stack([one.box for one in shown])
    prompts = F.interpolate(boxes, size=source.window.plane, mode="bilinear", align_corners=False)
    logits = torch.cat([by_mask(sam, embedding, prompts[:, [number]]) for number in range(1, predictor.classes)], dim=1)
    logits = F.interpolate(logits, size=source.window.extent, mode="bilinear", align_corners=False)
    # SAM is asked only for what is shown in a slice.
    is_shown = (boxes.argmax(dim=1, keepdim=True) == torch.arange(1, predictor.classes).view(1, -1, 1, 1)).any((2, 3))
    logits = logits.masked_fill(~is_shown[:, :, None, None], -torch.inf)
    found = torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1).softmax(dim=1)
    return (replace(one, box=box) for one, box in zip(shown, found, strict=True))


class Answer(NamedTuple):
    """What was preferred to what in a slice: both (H, W) in class indices."""

    slice_index: int
    chosen: LabelArray
    rejected: LabelArray


Judge = Callable[[int, "LabelArray", "LabelArray"], bool]
"""Tells of a slice and two masks of it whether the second one is better."""


def answers(
    found: dict[str, LabelArray], indices: Sequence[int], painted: Sequence[int], judge: Judge
) -> Iterator[Answer]:
    """Ask whether another mask is better than the one preferred so far, at first the one that is shown.

    First come pairs with many pixels in dispute, times the distance to the nearest painted slice.
    """
    distances = [min(abs(index - one) for one in painted) for index in indices]
    preferred = found[SHOWN].copy()
    left = {(row, name) for row in range(len(indices)) for name in found if name != SHOWN}

    def disputed(row: int, name: str) -> int:
        return int(np.count_nonzero(found[name][row] != preferred[row]))

    while left:
        # Names break ties, since sets have no order.
        row, name = max(left, key=lambda one: (disputed(*one) * distances[one[0]], *one))
        left.remove((row, name))
        if not disputed(row, name):
            continue
        before, other = preferred[row].copy(), found[name][row]
        if judge(indices[row], before, other):
            preferred[row] = other
            yield Answer(indices[row], other, before)
        else:
            yield Answer(indices[row], before, other)
