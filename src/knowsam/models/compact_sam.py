"""The compact SAM that comes with the program."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from knowsam.models.half_precision import shipped_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

WEIGHTS_FILE = Path(__file__).with_name("compact_sam.safetensors")
"""Weights that come with the program; `compact_sam.md` beside them says how they were made and what they reach."""

WEIGHTS_SHA256 = "962cec48c2643ed7179a94126cc8d0ba3257dd5ba6175d6518055029e1831edf"


@cache
def compact_sam_weights() -> Mapping[str, Tensor]:
    """Return the weights, in single precision; every caller gets the same ones.

    Raises
    ------
    CheckpointError
        If they are missing or are not those that were shipped.
    """
    weights = shipped_weights(WEIGHTS_FILE, WEIGHTS_SHA256, without="SAM (--teacher none)")
    return {name: tensor.float() for name, tensor in weights.items()}
