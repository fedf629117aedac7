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
    images : the slices as they are, (B + U, 3 + K, H, W).
    labels : of the annotated ones as they are, (B, H, W).
    grid : sampling positions (B + U, H, W, 2) that made the augmented images, see `knowsam.propagation.sampling.warp`.
    mask_prompts : logits (B + U, C, H, W) propagated to the slices; by default the teacher is shown the students'
        prediction.
    """

    rows: tuple[int, ...]
    planes: tuple[Tensor, ...]
    images: Tensor
    labels: Tensor
    grid: Tensor
    mask_prompts: Tensor | None = None


class PseudoLabels(NamedTuple):
    """What propagated labels say of the unlabelled slices of a batch, augmented as these are.

    Parameters
    ----------
    probabilities : (U, C, H, W).
    confidence : (U, 1, H, W), in [0, 1]; 0 where nothing is propagated.
    """

    probabilities: Tensor
    confidence: Tensor


class Batch(NamedTuple):
    """Augmented slices of both streams: (B, 3 + K, H, W) with labels (B, H, W), and (U, 3 + K, H, W).

    The first three channels are grey values, the others propagated labels, zero where there are none.
    """

    labelled: Tensor
    labels: Tensor
    unlabelled: Tensor
    origin: Origin | None = None
    pseudo_labels: PseudoLabels | None = None
