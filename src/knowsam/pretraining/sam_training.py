"""Pretrains the compact SAM as SAM was trained: prompted in some way, then corrected by clicks for some rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from knowsam.models.sam import VARIANTS, build_sam
from knowsam.models.sam_prompting import decode, embed, point_tokens
from knowsam.pretraining.mask_loss import mask_loss
from knowsam.pretraining.prompted_pool import AskedBatch, PromptedPool, asked_slices
from knowsam.pretraining.training_run import Lesson

if TYPE_CHECKING:
    from knowsam.pretraining.prompting import Prompts

PLANE = (96, 96)
"""Of the position tables; for slices of other sizes they are interpolated."""

_DICE_WEIGHT = 1.0
_DICE_SMOOTHING_PX = 4.0
"""Cross-entropy alone would rather say that a small structure is not there than draw it in a wrong place."""

_QUALITY_WEIGHT = 0.1
_INITIAL_DEVIATION = 0.02


def untrained_sam() -> nn.Module:
    """Return a compact SAM to begin with."""
    sam: nn.Module = build_sam(VARIANTS["compact"], PLANE)
    for layer in sam.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=max(_INITIAL_DEVIATION, 0.5 * layer.in_features**-0.5))
            nn.init.zeros_(layer.bias)
    return sam


def sam_loss(sam: nn.Module, batch: AskedBatch) -> Tensor:
    """Return the mean loss over the rounds of a batch."""
    slices, source = batch
    embedding = embed(sam, slices.images)
    prompts = source.first(slices.target, slices.propagated)
    rounds = source.rounds()
    losses = []
    for number in range(rounds):
        masks, quality = prompted(sam, embedding, prompts, (slices.target.shape[2], slices.target.shape[3]))
        whole = F.interpolate(masks.float(), size=slices.target.shape[-2:], mode="bilinear", align_corners=False)
        loss = mask_loss(whole, slices.target, dice_weight=_DICE_WEIGHT, smoothing_px=_DICE_SMOOTHING_PX)
        losses.append(loss + _QUALITY_WEIGHT * _quality_loss(quality, whole, slices.target))
        if number + 1 < rounds:
            prompts = source.corrected(prompts, whole.detach(), slices.target)
    return torch.stack(losses).mean()


def prompted(sam: Any, embedding: Tensor, prompts: Prompts, plane: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return masks (B, 1, 4h, 4w) and their quality (B,)."""
    sparse = point_tokens(sam, prompts.points, prompts.kinds, plane)
    corrects = VARIANTS["compact"].corrects_masks
    return decode(sam, embedding, sparse, prompts.masks, prompts.has_mask, corrects=corrects)


def _quality_loss(quality: Tensor, logits: Tensor, target: Tensor) -> Tensor:
    """Compare what SAM thinks of its masks with their overlap over union."""
    found = (logits.detach() > 0).float()
    overlap, union = (own.sum(dim=(1, 2, 3)) for own in (found * target, torch.maximum(found, target)))
    return F.mse_loss(quality.float(), (overlap + 1) / (union + 1))


SAM_LESSON = Lesson(untrained_sam, asked_slices, PromptedPool, sam_loss, 1.5e-3)
