"""What a training step is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Origin(NamedTuple):
    """Where the images of a batch come from, annotated ones first.

    Parameters
    ----------
    rows : numbers of the slices, counted through all volumes.
    planes : all slices of each volume, (N, H, W); always the same object while the network planes stay the same.
    images : the slices as they are, (B + U, 3, H, W).
    labels : of the annotated ones as they are, (B, H, W).
    grid : sampling positions (B + U, H, W, 2) that made the augmented images, see `knowsam.training.augment.warp`.
    mask_prompts : logits (B + U, C, H, W), the mask prompts of slices that the teacher has not seen yet; by default it
        is shown the students' prediction from the beginning.
    """

    rows: tuple[int, ...]
    planes: tuple[Tensor, ...]
    images: Tensor
    labels: Tensor
    grid: Tensor
    mask_prompts: Tensor | None = None


class Batch(NamedTuple):
    """Augmented slices of both streams: (B, 3, H, W) with labels (B, H, W), and (U, 3, H, W)."""

    labelled: Tensor
    labels: Tensor
    unlabelled: Tensor
    origin: Origin | None = None
