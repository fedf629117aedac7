"""What the compact SAM has besides the networks of the package: convolutions where it learns from few images."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from knowsam.models.propagator import ResidualBlock

_DILATIONS = (1, 2, 4)


class ConvStem(nn.Module):
    """Residual blocks, each at half the resolution of the one before, in place of a patch embedding.

    Edges are learnt from far fewer images so (Xiao et al., "Early convolutions help transformers see better", 2021).

    Parameters
    ----------
    channels : of each block but the last. embed_dim : E, of the last.
    """

    def __init__(self, channels: tuple[int, ...], embed_dim: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, channels[0], kernel_size=3, padding=1)
        widths = (channels[0], *channels, embed_dim)
        self.blocks = nn.ModuleList(ResidualBlock(finer, coarser) for finer, coarser in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to tokens (B, h, w, E)."""
        # Channels last, which convolutions of so few channels take half the time with on CPUs.
        x = self.first(x.contiguous(memory_format=torch.channels_last))
        for level, block in enumerate(self.blocks):
            x = block(x if level == 0 else F.max_pool2d(x, 2))
        return x.permute(0, 2, 3, 1)


class MaskMixer(nn.Module):
    """Lets a mask prompt look at the image round it, ever farther; it begins as nothing.

    In SAM's decoder each place sees its own piece of image and mask, and beyond it what the tokens have gathered.
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_DilatedBlock(embed_dim, dilation) for dilation in _DILATIONS)

    def forward(self, x: Tensor) -> Tensor:
        """Map embeddings of image and mask (B, E, h, w) to others of the same shape."""
        for block in self.blocks:
            x = block(x)
        return x


class _DilatedBlock(nn.Module):
    """A residual block that begins as nothing."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.second = nn.Conv2d(channels, channels, kernel_size=3, padding=dilation, dilation=dilation)
        for parameter in self.second.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.second(F.relu(self.first(x)))
        return x + changed
