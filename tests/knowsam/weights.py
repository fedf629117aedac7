"""The weights of networks, by name."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

Weights = Mapping[str, Tensor]


def copied(network: nn.Module) -> Weights:
    """Return what the weights are now."""
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def are_same(weights: Weights, other: Weights) -> bool:
    """Tell whether two networks have the same weights."""
    return weights.keys() == other.keys() and all(torch.equal(other[name], weights[name]) for name in weights)
