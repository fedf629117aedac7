"""The propagator: a small network that corrects propagated labels, whatever the structure.

It is pretrained once, on synthetic volumes (`knowsam.pretraining`), and never sees the name of what it segments: the
evidence (`knowsam.propagation.evidence`) tells it which structure is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from knowsam.models.half_precision import shipped_weights

WIDTHS = (24, 40, 64, 96, 128)
"""Channels of the five levels, from fine to coarse."""

WEIGHTS_FILE = Path(__file__).with_name("propagator.safetensors")
"""Weights that come with the program; `propagator.md` beside them says how they were made and what they reach."""

WEIGHTS_SHA256 = "dce63021a5dabacecc7701c7e236d8111224efd540e1d561f7ee77df84b8e0b2"


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, without normalisation; it begins as the shortcut alone."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.second = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()
        _start_at_zero(self.second)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in, H, W) to (B, out, H, W)."""
        return F.relu(self.shortcut(x) + self.second(F.relu(self.first(x), inplace=True)), inplace=True)


class Propagator(nn.Module):
    """A UNet on the evidence for one structure; its output is added to the propagated logit.

    Parameters
    ----------
    in_channels : maps and values of the evidence, see `Evidence`.
    widths : channels of each level, from fine to coarse.
    """

    def __init__(self, in_channels: int, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, widths[0], kernel_size=3, padding=1)
        self.down = nn.ModuleList(ResidualBlock(finer, coarser) for finer, coarser in pairwise((widths[0], *widths)))
        self.narrow = nn.ModuleList(nn.Conv2d(coarser, finer, 1) for finer, coarser in pairwise(widths))
        self.up = nn.ModuleList(ResidualBlock(width, width) for width in widths[:-1])
        self.head = nn.Conv2d(widths[0], 1, 1)
        _start_at_zero(self.head)

    def forward(self, maps: Tensor, position: Tensor) -> Tensor:
        """Correct propagated labels of slices.

        Parameters
        ----------
        maps : (B, 10, H, W), see `Evidence.maps`; H and W are multiples of 16.
        position : (B, 5), see `Evidence`.

        Returns
        -------
        (B, 1, H, W), float32, what to add to the logit of the structure; zero before any training.
        """
        planes = position[:, :, None, None].expand(-1, -1, *maps.shape[-2:])
        # Channels last, which convolutions of so few channels take half the time with on CPUs.
        x = self.stem(torch.cat([maps, planes], dim=1).contiguous(memory_format=torch.channels_last))
        levels = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else F.max_pool2d(x, 2))
            levels.append(x)
        x = levels.pop()
        for narrow, block, finer in zip(reversed(self.narrow), reversed(self.up), reversed(levels), strict=True):
            x = block(F.interpolate(narrow(x), scale_factor=2, mode="nearest") + finer)
        change: Tensor = self.head(x).float()
        return change


@cache
def shipped_propagator(device: torch.device) -> Propagator:
    """Return the propagator that comes with the program, ready to predict; every caller gets the same one.

    Raises
    ------
    CheckpointError
        If its weights are missing or are not those that were shipped.
    """
    without = "the pretrained propagator (--no-pretrained)"
    return propagator_of(shipped_weights(WEIGHTS_FILE, WEIGHTS_SHA256, without)).to(device)


def propagator_of(tensors: Mapping[str, Tensor]) -> Propagator:
    """Return a propagator with these weights, as wide as they are, ready to predict."""
    count = sum(name.startswith("down.") and name.endswith("first.weight") for name in tensors)
    widths = tuple(len(tensors[f"down.{level}.first.weight"]) for level in range(count))
    propagator = Propagator(tensors["stem.weight"].shape[1], widths)
    propagator.load_state_dict(tensors)
    return propagator.eval()


def _start_at_zero(layer: nn.Conv2d) -> None:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
