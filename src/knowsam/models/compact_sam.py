"""The compact SAM that comes with the program."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load

from knowsam.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

WEIGHTS_FILE = Path(__file__).with_name("compact_sam.safetensors")
"""Weights that come with the program; `compact_sam.md` beside them says how they were made and what they reach."""

WEIGHTS_SHA256 = "8740fd0056f64b7788fd2a9c899d833872beb7ae532f82857bc18814ab484db5"


@cache
def compact_sam_weights() -> Mapping[str, Tensor]:
    """Return the weights, in single precision; every caller gets the same ones.

    Raises
    ------
    CheckpointError
        If they are missing or are not those that were shipped.
    """
    content = WEIGHTS_FILE.read_bytes() if WEIGHTS_FILE.is_file() else b""
    if sha256(content).hexdigest() != WEIGHTS_SHA256:
        raise CheckpointError(
            f"{WEIGHTS_FILE} is missing or damaged. Install napari-knowsam anew, or do without SAM (--teacher none)."
        )
    return {name: tensor.float() for name, tensor in load(content).items()}
