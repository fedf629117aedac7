"""Pretrains the compact SAM as SAM was trained: prompted in some way, then corrected by clicks for some rounds."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from knowsam.models.prompted_sam import PromptedSam
from knowsam.models.sam import VARIANTS, build_sam
from knowsam.models.sam_prompting import embed
from knowsam.pretraining.mask_loss import mask_loss
from knowsam.pretraining.prompted_pool import PromptedBatch, PromptedPool, prompted_slices
from knowsam.pretraining.training_run import PretrainingTask

PLANE = (96, 96)
"""Of the position tables; for slices of other sizes they are interpolated."""

_DICE_WEIGHT = 1.0
_DICE_SMOOTHING_PX = 4.0
"""Cross-entropy alone would rather say that a small structure is not there than draw it in a wrong place."""

_QUALITY_WEIGHT = 0.1
_LEAST_DEVIATION = 1e-6
_INITIAL_DEVIATION = 0.02

_PIXEL_WEIGHT = 0.5
"""Without the pixels, the encoder gives the same for all images within some twenty steps, and never recovers."""

_LEARNING_RATE = 2e-3


class SamWithPixelHead(nn.Module):
    """A compact SAM from whose image embedding the pixels of each patch can be read, by a map dropped in the end."""

    def __init__(self) -> None:
        super().__init__()
        variant = VARIANTS["compact"]
        self.sam = untrained_sam()
        self.to_pixels = nn.Conv2d(variant.prompt_dim, variant.patch_px**2, kernel_size=1)

    def pixel_loss(self, embedding: Tensor, images: Tensor) -> Tensor:
        """Return the squared error of the grey values (B, 3, H, W) of the slice itself, in their standard deviation."""
        grey = F.pixel_unshuffle(images[:, 1:2], VARIANTS["compact"].patch_px)
        grey = (grey - grey.mean()) / (grey.std() + _LEAST_DEVIATION)
        return F.mse_loss(self.to_pixels(embedding).float(), grey)


def untrained_sam() -> nn.Module:
    """Return a compact SAM to begin with."""
    sam: nn.Module = build_sam(VARIANTS["compact"], PLANE)
    for layer in sam.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=max(_INITIAL_DEVIATION, 0.5 * layer.in_features**-0.5))
            nn.init.zeros_(layer.bias)
    return sam


def sam_loss(network: SamWithPixelHead, batch: PromptedBatch) -> Tensor:
    """Return the loss of the masks, and that of the pixels."""
    images = batch.slices.images
    embedding = embed(network.sam, images)
    return masks_loss(network.sam, embedding, batch) + _PIXEL_WEIGHT * network.pixel_loss(embedding, images)


def masks_loss(sam: nn.Module, embedding: Tensor, batch: PromptedBatch) -> Tensor:
    """Return the mean loss over the rounds of a batch, given the embedding (B, E, h, w) of its slices."""
    slices, source = batch
    asked = PromptedSam(sam, VARIANTS["compact"])
    prompts = source.first(slices.target, slices.propagated)
    rounds = source.rounds()
    losses = []
    for number in range(rounds):
        masks, quality = asked.masks(embedding, prompts)
        whole = F.interpolate(masks, size=slices.target.shape[-2:], mode="bilinear", align_corners=False)
        loss = mask_loss(whole, slices.target, dice_weight=_DICE_WEIGHT, smoothing_px=_DICE_SMOOTHING_PX)
        losses.append(loss + _QUALITY_WEIGHT * _quality_loss(quality, whole, slices.target))
        if number + 1 < rounds:
            prompts = source.corrected(prompts, whole.detach(), slices.target)
    return torch.stack(losses).mean()


def _quality_loss(quality: Tensor, logits: Tensor, target: Tensor) -> Tensor:
    """Compare what SAM thinks of its masks with their overlap over union."""
    found = (logits.detach() > 0).float()
    overlap, union = (own.sum(dim=(1, 2, 3)) for own in (found * target, torch.maximum(found, target)))
    return F.mse_loss(quality, (overlap + 1) / (union + 1))


SAM_TASK = PretrainingTask(
    SamWithPixelHead, prompted_slices, PromptedPool, sam_loss, _LEARNING_RATE, kept=lambda network: network.sam
)
