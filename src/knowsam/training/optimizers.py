"""The optimisers of students and teacher, and their state for each parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.models.prompted_teacher import PromptedTeacher

Moments = Mapping[str, Mapping[str, Tensor]]
"""State of an optimiser for each parameter, by the name of the parameter in its network."""


def load_ahead() -> None:
    """Let PyTorch import now what it otherwise imports with the first optimiser, which takes a second or more."""
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])


def student_optimizer(parameters: Sequence[Tensor], config: Config, device: torch.device) -> torch.optim.Optimizer:
    """Return the configured optimiser of the students' parameters, and of whatever learns with them."""
    rate, decay, fused = config.training.learning_rate, config.training.weight_decay, _is_fused(device)
    if config.training.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=0.9, weight_decay=decay, fused=fused)
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=fused)


def teacher_optimizer(teacher: PromptedTeacher, config: Config, device: torch.device) -> torch.optim.Optimizer:
    """Return the optimiser of those parameters of the teacher that are trained."""
    training = config.training
    rate = training.adapter_learning_rate if teacher.provenance.pretrained else training.scratch_learning_rate
    return torch.optim.Adam(teacher.trainable_parameters(), lr=rate, fused=_is_fused(device))


def moments_of(optimizer: torch.optim.Optimizer | None, network: nn.Module | None) -> Moments:
    """Return a copy of the state of an optimiser on the CPU, empty without an optimiser."""
    if optimizer is None or network is None:
        return {}
    return {
        name: {key: value.detach().cpu().clone() for key, value in optimizer.state[parameter].items()}
        for name, parameter in network.named_parameters()
        if parameter in optimizer.state
    }


def take_moments(optimizer: torch.optim.Optimizer, network: nn.Module, moments: Moments) -> None:
    """Give an optimiser the state that another one had for parameters of the same shape."""
    for name, parameter in network.named_parameters():
        known = moments.get(name, {})
        if known and all(value.shape in ((), parameter.shape) for value in known.values()):
            optimizer.state[parameter] = {key: _like(parameter, value) for key, value in known.items()}


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """Copy the state of a parameter with the same memory layout, which fused optimisers require."""
    if value.shape != parameter.shape:
        return value.to(parameter.device, copy=True)
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def _is_fused(device: torch.device) -> bool:
    """Whether the optimisers go through the weights once, which is faster, and what `LateUpdate` needs."""
    return device.type in ("cpu", "cuda")
