"""Uncertainty-guided mixing (UGDA): confident cells change places between labelled and unlabelled slices.

Source: Huang et al., IEEE TMI 2025.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from knowsam.data.annotation import IGNORE
from knowsam.models.entropy import entropy


class MixedBatch(NamedTuple):
    """Mixed slices and their labels.

    `into_labelled` and `into_unlabelled` are images (B, 3, H, W); `labels_*` (B, H, W) belong to them.
    """

    into_labelled: Tensor
    labels_into_labelled: Tensor
    into_unlabelled: Tensor
    labels_into_unlabelled: Tensor


def confident_cells(p: Tensor, *, grid: int, cells: int) -> Tensor:
    """Mark the cells in which a prediction is most certain.

    Parameters
    ----------
    p : (B, C, H, W), class probabilities; H and W are multiples of `grid`.
    grid : cells along each side.
    cells : how many cells to mark in each image, those of lowest mean entropy.

    Returns
    -------
    (B, H, W), bool.
    """
    mean_entropy = F.adaptive_avg_pool2d(entropy(p).unsqueeze(1), grid).flatten(1)
    lowest = mean_entropy.topk(min(cells, grid * grid), dim=1, largest=False).indices
    marked = torch.zeros_like(mean_entropy).scatter_(1, lowest, 1.0).view(-1, 1, grid, grid)
    return F.interpolate(marked, size=p.shape[-2:], mode="nearest")[:, 0] > 0


def mix(
    labelled: Tensor,
    labels: Tensor,
    unlabelled: Tensor,
    p_labelled: Tensor,
    p_unlabelled: Tensor,
    pseudo_labels: Tensor,
    *,
    grid: int,
    cells: int,
) -> MixedBatch:
    """Swap confident cells between each unlabelled slice and the labelled slice paired with it.

    The unlabelled slice receives pixels and labels of the labelled one in its own confident cells and stays IGNORE
    elsewhere. The labelled slice receives, in its own confident cells, pixels and pseudo-label of the unlabelled one.

    Parameters
    ----------
    labelled, labels : (B, 3, H, W) and (B, H, W).
    unlabelled : (U, 3, H, W); where U and B differ, the shorter batch is repeated.
    p_labelled, p_unlabelled : fused student probabilities of both, (B, C, H, W) and (U, C, H, W).
    pseudo_labels : (U, H, W), the teacher's classes for the unlabelled slices.
    """
    pairs = max(len(labelled), len(unlabelled))
    to_labelled = torch.arange(pairs, device=labelled.device) % len(labelled)
    to_unlabelled = torch.arange(pairs, device=labelled.device) % len(unlabelled)
    x_l, y_l, x_u = labelled[to_labelled], labels[to_labelled], unlabelled[to_unlabelled]
    y_u = pseudo_labels[to_unlabelled].to(y_l.dtype)
    in_l = confident_cells(p_labelled, grid=grid, cells=cells)[to_labelled]
    in_u = confident_cells(p_unlabelled, grid=grid, cells=cells)[to_unlabelled]
    return MixedBatch(
        into_labelled=torch.where(in_l.unsqueeze(1), x_u, x_l),
        labels_into_labelled=torch.where(in_l, y_u, y_l),
        into_unlabelled=torch.where(in_u.unsqueeze(1), x_l, x_u),
        labels_into_unlabelled=torch.where(in_u, y_l, torch.full_like(y_l, IGNORE)),
    )
