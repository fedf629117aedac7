"""MobileSAM's weights by a formula, in the layout of the published file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from knowsam.models.sam import VARIANTS, build_sam


def fill(tensors: Mapping[str, Tensor]) -> None:
    """Give every tensor values that depend on its name only, of a size with which features neither fade nor explode."""
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            continue
        count = torch.arange(tensor.numel(), dtype=torch.float64) + len(name)
        wave = torch.sin(count * count * 0.6180339887).view(tensor.shape)
        inputs = tensor[0].numel() if tensor.ndim > 1 else 1
        if name.endswith("running_var"):
            wave = 1.5 + wave
        elif tensor.ndim > 1:
            wave = wave * (3 / inputs) ** 0.5
        else:
            wave = 0.1 * wave + (1.0 if name.endswith("weight") else 0.0)
        tensor.copy_(wave)


@torch.no_grad()
def mobile_sam_weights() -> dict[str, Tensor]:
    """Return the tensors of which MobileSAM is built, by their names."""
    weights: dict[str, Tensor] = build_sam(VARIANTS["mobile_sam"], (1024, 1024)).state_dict()
    fill(weights)
    return weights


CLASSIFIER = {
    "image_encoder.norm_head.weight": torch.ones(320),
    "image_encoder.norm_head.bias": torch.zeros(320),
    "image_encoder.head.weight": torch.zeros(1000, 320),
    "image_encoder.head.bias": torch.zeros(1000),
}
"""What the published file holds besides."""


def save_mobile_sam(folder: Path) -> Path:
    """Save all that the published file holds as `mobile_sam.pt`; return the file."""
    path = folder / "mobile_sam.pt"
    torch.save(mobile_sam_weights() | CLASSIFIER, path)
    return path
