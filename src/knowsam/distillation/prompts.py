"""Prompts without labels: what the teacher finds at a click anywhere is what is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from knowsam.models.sam_prompting import Prompts

if TYPE_CHECKING:
    from knowsam.models.promptable_sam import PromptableSam
    from knowsam.pretraining.prompting import PromptSource


def clicked(source: PromptSource, like: Tensor) -> Prompts:
    """Return a click anywhere in each slice of some masks (B, 1, H, W)."""
    anywhere = torch.ones_like(like)
    return without_mask(*source.click(anywhere, anywhere), like)


def boxed(source: PromptSource, target: Tensor) -> Prompts:
    """Return a box round each target (B, 1, H, W), not quite in place."""
    return without_mask(*source.box(target), target)


def masked(source: PromptSource, target: Tensor) -> Prompts:
    """Return a mask of each target (B, 1, H, W) that is not quite right, and no point."""
    nowhere = torch.zeros(len(target), 0, 2, device=target.device)
    kinds = torch.zeros(len(target), 0, dtype=torch.long, device=target.device)
    return Prompts(nowhere, kinds, source.degraded_mask(target), torch.ones_like(target[:, :, :1, :1]))


def without_mask(points: Tensor, kinds: Tensor, like: Tensor) -> Prompts:
    """Return points (B, P, 2) of some kinds (B, P) as prompts in slices of the size of `like` (B, 1, H, W)."""
    return Prompts(points, kinds, torch.zeros_like(like), torch.zeros_like(like[:, :, :1, :1]))


def first_prompts(teacher: PromptableSam, seen: Tensor, plane: tuple[int, int], source: PromptSource) -> Prompts:
    """Ask in one way or another for what the teacher finds at a click anywhere in each slice.

    Parameters
    ----------
    seen : (B, ...), embeddings of the teacher. plane : (H, W) in px.
    """
    with torch.no_grad():
        found, _ = teacher.masks(seen, clicked(source, torch.zeros(len(seen), 1, *plane, device=seen.device)))
    return source.first((found > 0).float(), found.sigmoid())
