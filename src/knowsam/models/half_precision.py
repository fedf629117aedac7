"""Weights that come with the program are kept in half precision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save_file

if TYPE_CHECKING:
    from torch import nn


def save_half(network: nn.Module, path: Path) -> None:
    """Write the weights of a network, in half precision."""
    save_file({name: tensor.half().contiguous().cpu() for name, tensor in network.state_dict().items()}, path)
