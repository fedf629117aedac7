"""The first student: a 2D UNet."""

from __future__ import annotations

from itertools import pairwise
from math import gcd

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DROPOUT_RATES = (0.05, 0.1, 0.2, 0.3, 0.5)
"""Dropout of the five encoder levels of both students, from fine to coarse (paper)."""


def norm_layer(norm: str, channels: int) -> nn.Module:
    """Return the normalisation named in `StudentConfig.norm`: "batch", "group" (8 groups) or "instance"."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "group":
        return nn.GroupNorm(gcd(8, channels), channels)
    if norm == "instance":
        return nn.InstanceNorm2d(channels, affine=True)
    raise ValueError(f"norm must be batch, group or instance, not {norm!r}")


class ConvBlock(nn.Sequential):
    """Two 3x3 convolutions, each with normalisation and LeakyReLU, and dropout between them."""

    def __init__(self, in_channels: int, out_channels: int, norm: str, dropout: float = 0.0) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
            norm_layer(norm, out_channels),
            nn.LeakyReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
            norm_layer(norm, out_channels),
            nn.LeakyReLU(inplace=True),
        )


class UNet(nn.Module):
    """Five levels, max-pool down, transposed convolution up, skips by concatenation.

    Parameters
    ----------
    in_channels : channels of the input.
    classes : C, background included.
    width : channels of the finest level; each coarser level has twice as many.
    norm : normalisation layer, see `norm_layer`.
    dropout : factor on `DROPOUT_RATES`; 0 switches dropout off.
    """

    def __init__(
        self, in_channels: int, classes: int, width: int = 16, norm: str = "batch", dropout: float = 1.0
    ) -> None:
        super().__init__()
        widths = [width << level for level in range(len(DROPOUT_RATES))]
        self.down = nn.ModuleList(
            ConvBlock(fine, coarse, norm, dropout * rate)
            for (fine, coarse), rate in zip(pairwise([in_channels, *widths]), DROPOUT_RATES, strict=True)
        )
        steps_up = list(pairwise(reversed(widths)))
        self.upsample = nn.ModuleList(
            nn.ConvTranspose2d(coarse, fine, kernel_size=2, stride=2) for coarse, fine in steps_up
        )
        self.up = nn.ModuleList(ConvBlock(2 * fine, fine, norm) for _, fine in steps_up)
        self.head = nn.Conv2d(width, classes, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W), H and W multiples of 16, to logits (B, C, H, W)."""
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else F.max_pool2d(x, kernel_size=2))
            skips.append(x)
        skips.pop()
        for upsample, block in zip(self.upsample, self.up, strict=True):
            x = block(torch.cat([skips.pop(), upsample(x)], dim=1))
        logits: Tensor = self.head(x)
        return logits
