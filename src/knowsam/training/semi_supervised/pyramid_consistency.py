"""URPC, uncertainty rectified pyramid consistency (Luo et al., MICCAI 2021, and Medical Image Analysis 80, 2022).

A student predicts at S = 4 scales of its decoder, and what it says at all of them agrees on unlabelled slices, less
where the scales contradict each other. With `p_s` the prediction of scale s, upsampled, and means over pixels:

    p_c         = 1/S sum_s p_s
    D_s         = sum_c p_s log(p_s / p_c),   w_s = exp(-D_s)
    consistency = 1/S sum_s [ mean( w_s || p_s - p_c ||^2 ) / mean( w_s )  +  mean( D_s ) ]
    supervised  = 1/S sum over the coarser scales of L_sup(z_s, y)

the squared norm as the mean over classes, and the mean over both students. The finest scale is the student itself. The
others get a 1x1 convolution behind dropout and noise of their features. These belong to the training, not to the model:
they begin anew where one goes on, or where the classes change.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from knowsam.training.losses import supervised_loss
from knowsam.training.semi_supervised.method import SemiSupervisedMethod, Terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from knowsam.config import StudentConfig
    from knowsam.models.students import Students
    from knowsam.training.semi_supervised.averaged_students import AveragedStudents
    from knowsam.training.semi_supervised.method import Pass, Seen

COARSER = 3
"""Scales beside the finest one."""

DROPOUT = 0.5
FEATURE_NOISE = 0.3
"""Largest change of a feature, relative to it."""


class PyramidLogits(NamedTuple):
    """Logits of one pass, each (B, C, H, W), and of the coarser scales (B, 3, C, H, W), upsampled."""

    unet: Tensor
    vnet: Tensor
    fused: Tensor
    unet_coarser: Tensor
    vnet_coarser: Tensor


class PyramidConsistency(SemiSupervisedMethod):
    """Lets the scales of a student's decoder agree."""

    title = "uncertainty rectified pyramid consistency (Luo et al. 2022)"

    def __init__(self, classes: int, config: StudentConfig, averaged: AveragedStudents) -> None:
        super().__init__(classes, config, averaged)
        widths = [config.width << level for level in range(COARSER, 0, -1)]
        self.unet, self.vnet = (nn.ModuleList(_Head(width, classes) for width in widths) for _ in range(2))

    def network(self, students: nn.Module) -> Pass:
        """Return the students with what they say at the coarser scales."""

        def run(images: Tensor) -> PyramidLogits:
            both = cast("Students", students)
            with ExitStack() as hooks:
                unet, vnet = (_features(student.up, hooks) for student in (both.unet, both.vnet))
                logits = both(images)
            size = images.shape[-2:]
            coarser = _upsampled(self.unet, unet, size), _upsampled(self.vnet, vnet, size)
            return PyramidLogits(logits.unet, logits.vnet, logits.fused, *coarser)

        return run

    def forward(self, seen: Seen) -> Terms:
        """Return the consistency on unlabelled slices, and the supervised loss of the coarser scales."""
        logits = cast("PyramidLogits", seen.logits)
        pyramids = [
            torch.cat([own.unsqueeze(1), coarser], dim=1).float()
            for own, coarser in ((logits.unet, logits.unet_coarser), (logits.vnet, logits.vnet_coarser))
        ]
        consistency = [pyramid_loss(pyramid[seen.unlabelled]) for pyramid in pyramids]
        supervised = [
            supervised_loss(scale, seen.labels) / (COARSER + 1)
            for pyramid in pyramids
            for scale in pyramid[: len(seen.labels), 1:].unbind(1)
        ]
        return Terms(torch.stack(consistency).mean(), supervised=torch.stack(supervised).sum() / len(pyramids))


def pyramid_loss(logits: Tensor) -> Tensor:
    """Return the consistency of the scales of one student.

    Parameters
    ----------
    logits : (U, S, C, H, W).
    """
    log_p = logits.log_softmax(dim=2)
    p = log_p.exp()
    mean = p.mean(dim=1, keepdim=True)
    divergence = (p * (log_p - mean.clamp_min(1e-8).log())).sum(dim=2)
    certainty = (-divergence).exp()
    over_pixels = (0, 2, 3)
    squared = (certainty * (p - mean).square().mean(dim=2)).mean(over_pixels) / certainty.mean(over_pixels)
    return (squared + divergence.mean(over_pixels)).mean()


class _Head(nn.Module):
    """Predicts from the features of one scale, dropped and disturbed while it learns."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(DROPOUT)
        self.predict = nn.Conv2d(channels, classes, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        disturbed = features * (1 + FEATURE_NOISE * (2 * torch.rand_like(features) - 1))
        logits: Tensor = self.predict(self.dropout(disturbed))
        return logits


def _features(blocks: nn.ModuleList, hooks: ExitStack) -> list[Tensor]:
    """Return a list that fills with what the coarser blocks of a decoder put out, coarse to fine."""
    features: list[Tensor] = []
    for block in list(blocks)[:COARSER]:
        hook = block.register_forward_hook(lambda _block, _given, out: features.append(out))
        hooks.callback(hook.remove)
    return features


def _upsampled(heads: nn.ModuleList, features: Sequence[Tensor], size: torch.Size) -> Tensor:
    logits = [head(own) for head, own in zip(heads, features, strict=True)]
    return torch.stack([F.interpolate(z, size=size, mode="bilinear", align_corners=False) for z in logits], dim=1)
