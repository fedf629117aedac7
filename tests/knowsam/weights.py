"""The weights of networks, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from knowsam.models.prompted_teacher import PromptedTeacher

Weights = Mapping[str, Tensor]


def copied(network: nn.Module) -> Weights:
    """Return what the weights are now."""
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def are_same(weights: Weights, other: Weights) -> bool:
    """Tell whether two networks have the same weights."""
    return weights.keys() == other.keys() and all(torch.equal(other[name], weights[name]) for name in weights)


def trained_weights(teacher: PromptedTeacher, classes: int, plane: tuple[int, int]) -> set[str]:
    """Return the names of all that training changes in a teacher; no gradient reaches anything else."""
    before = copied(teacher)
    optimizer = torch.optim.AdamW(teacher.trainable_parameters(), lr=1e-2)
    # The zero second layer of an adapter lets no gradient through to its first one before it has moved itself.
    for _ in range(2):
        optimizer.zero_grad()
        teacher(torch.rand(2, 3, *plane), torch.randn(2, classes, *plane)).square().mean().backward()
        optimizer.step()
    changed = {name for name, tensor in teacher.state_dict().items() if not torch.equal(tensor, before[name])}
    assert all(parameter.grad is None for name, parameter in teacher.named_parameters() if name not in changed)
    return changed
