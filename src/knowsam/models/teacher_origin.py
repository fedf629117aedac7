"""What a teacher is built from, and how two sets of pretrained weights are distinguished."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from knowsam.models.network_folder import DescribedWeights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from knowsam.config import TeacherConfig

_DIGESTED_VALUES = 64
"""Of each tensor; training that changed a network leaves none of its tensors as it was."""


@dataclass(frozen=True)
class TeacherOrigin:
    """What a teacher is built from; what one has learnt is of use only to another of the same origin.

    Parameters
    ----------
    variant : name of the teacher, as in `TeacherConfig`.
    weights : digest of its pretrained weights; empty if it is trained from scratch.
    adapted_blocks, adapter_ratio, mlp_adapter_scale, prompt_tokens : as in `TeacherConfig`.
    """

    variant: str
    weights: str
    adapted_blocks: int
    adapter_ratio: float
    mlp_adapter_scale: float
    prompt_tokens: int

    @classmethod
    def of(cls, config: TeacherConfig, weights: Mapping[str, Tensor] | None) -> TeacherOrigin:
        """Return the origin of the teacher that these settings and weights make."""
        return cls(
            config.variant,
            "" if weights is None else _digest(weights),
            config.adapted_blocks,
            config.adapter_ratio,
            config.mlp_adapter_scale,
            config.prompt_tokens,
        )


def _digest(weights: Mapping[str, Tensor]) -> str:
    """Return a SHA-256 that identifies weights, from the beginning of each tensor: ViT-H has 2.6 GB."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name]
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1)[:_DIGESTED_VALUES].double().cpu().numpy().tobytes())
    if isinstance(weights, DescribedWeights):
        digest.update(json.dumps(weights.description, sort_keys=True).encode())
    return digest.hexdigest()
