"""How probable it is that a prediction is wrong, calibrated by temperature scaling (Guo et al. 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from knowsam.propagation.propagated_labels import PropagatedLabels

_BETWEEN, _BEYOND = 2.4, 1.0
"""Inverse temperatures between the outermost annotated slices and beyond them, where structures may end. They were
chosen on the left atrium and the hippocampus; `benchmarks/reliability.py` shows how they do on other tasks."""


def inverse_temperature(propagated: PropagatedLabels) -> Tensor:
    """Return what the log-odds of being wrong are multiplied by, (B, 1, 1, 1); infinity in drawn slices."""
    between = torch.full_like(propagated.position, _BETWEEN)
    return between.masked_fill(propagated.is_one_sided, _BEYOND).masked_fill(propagated.is_drawn, torch.inf)


def error_probability(probabilities: Tensor, disagreement: Tensor, inverse_temperature: Tensor) -> Tensor:
    """Return the probability that the most probable class is wrong, (B, 1, H, W).

    Parameters
    ----------
    probabilities : (B, C, H, W), sum one.
    disagreement : (B, 1, H, W), half the summed difference of the two students' probabilities, times their weight.
        Where they contradict each other, either may be right.
    inverse_temperature : (B, 1, 1, 1).
    """
    error = (1 - probabilities.amax(dim=1, keepdim=True)).maximum(disagreement / 2).clamp(1e-6, 1 - 1e-6)
    calibrated = (error.logit() * inverse_temperature.clamp_max(1e6)).sigmoid()
    return calibrated.masked_fill(inverse_temperature.isinf(), 0.0)
