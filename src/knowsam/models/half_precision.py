"""Weights that come with the program: kept in half precision, checked when they are read."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load, save

from knowsam.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor, nn


def save_half(network: nn.Module, path: Path) -> None:
    """Write the weights of a network, in half precision."""
    # Not by save_file, which makes files that nobody else may read.
    path.write_bytes(save({name: tensor.half().contiguous().cpu() for name, tensor in network.state_dict().items()}))


def shipped_weights(file: Path, digest: str, without: str) -> dict[str, Tensor]:
    """Read weights that come with the program, in half precision.

    Parameters
    ----------
    digest : SHA-256 of the file. without : how to do without them, for the message.

    Raises
    ------
    CheckpointError
        If they are missing or are not those that were shipped.
    """
    content = file.read_bytes() if file.is_file() else b""
    if sha256(content).hexdigest() != digest:
        raise CheckpointError(f"{file} is missing or damaged. Install napari-knowsam anew, or do without {without}.")
    return load(content)
