"""The best linear map from the embeddings of one SAM to those of another."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_RIDGE = 1e-4
"""Of the mean variance; places are alike, so that some directions hardly vary."""


def embedding_map(student: Tensor, teacher: Tensor) -> nn.Module:
    """Return a 1x1 convolution that maps embeddings (B, E, h, w) to others (B, F, h, w); the identity where E is F.

    It is the least-squares fit. Between embeddings of the same width there is nothing to fit: the student is to have
    those of its teacher.
    """
    if student.shape[1] == teacher.shape[1]:
        return nn.Identity()
    weight, bias = _fitted(_by_place(student), _by_place(teacher))
    convolution = nn.Conv2d(student.shape[1], teacher.shape[1], kernel_size=1)
    with torch.no_grad():
        convolution.weight.copy_(weight.T[:, :, None, None])
        convolution.bias.copy_(bias)  # type: ignore[union-attr]
    return convolution.to(student.device)


def unexplained(found: Tensor, teacher: Tensor) -> Tensor:
    """Return how far embeddings (B, E, h, w) are from the teacher's: 0 the same, 1 no better than their mean."""
    mean = teacher.mean(dim=(0, 2, 3), keepdim=True)
    return (found - teacher).square().mean() / (teacher - mean).square().mean().clamp_min(1e-12)


def _by_place(embedding: Tensor) -> Tensor:
    # Not every device computes in double precision.
    return embedding.detach().cpu().double().permute(0, 2, 3, 1).flatten(0, 2)


def _fitted(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight (E, F) and bias (F,) of the map from x (P, E) to y (P, F)."""
    x_mean, y_mean = x.mean(dim=0), y.mean(dim=0)
    covariance = (x - x_mean).T @ (x - x_mean)
    ridge = _RIDGE * covariance.diagonal().mean().clamp_min(1e-12)
    covariance.diagonal().add_(ridge)
    weight = torch.linalg.solve(covariance, (x - x_mean).T @ (y - y_mean))
    return weight, y_mean - x_mean @ weight
