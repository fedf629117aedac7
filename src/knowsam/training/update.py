"""From the loss of a step to the change of the weights; what is not finite never reaches one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from knowsam.errors import TrainingError
from knowsam.training.step import StepLosses

if TYPE_CHECKING:
    from knowsam.training.processes import Processes


class Updated(NamedTuple):
    """What came of an update.

    Parameters
    ----------
    losses : of this step, or of the step before where the device is not waited for.
    applied : (), bool on the device, whether the weights have changed; None if they have for certain.
    """

    losses: StepLosses
    applied: Tensor | None


class ExactUpdate:
    """Looks at the loss before anything is done with it, and so waits for the device.

    Parameters
    ----------
    processes : whose gradients are averaged.
    """

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    def __call__(
        self,
        terms: Tensor,
        networks: Sequence[nn.Module],
        optimizers: Sequence[torch.optim.Optimizer],
        longest: float,
        number: int,
    ) -> Updated:
        """Follow the gradient of a step.

        Parameters
        ----------
        terms : of `step_losses`.
        longest : norm to which the gradient of each network is shortened.
        number : of the step.

        Raises
        ------
        TrainingError
            If loss or gradient is not finite; no weight has changed by it.
        """
        losses = self._processes.together(lambda: _followed_back(terms, number))
        self._processes.average(_gradients(networks))
        self._processes.together(lambda: _follow(networks, optimizers, longest))
        return Updated(losses, None)


class LateUpdate:
    """Never waits for the device, which decides itself whether to change the weights; the losses come a step late.

    The optimisers have to be fused ones, which leave all weights and moments as they are where `found_inf` is one. A
    loss or gradient that is not finite raises its error in the next step.

    Parameters
    ----------
    processes : whose gradients are averaged.
    """

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._reading: _Reading | None = None

    def __call__(
        self,
        terms: Tensor,
        networks: Sequence[nn.Module],
        optimizers: Sequence[torch.optim.Optimizer],
        longest: float,
        number: int,
    ) -> Updated:
        """Follow the gradient of a step, see `ExactUpdate`."""
        self._processes.together(lambda: terms.sum().backward())
        self._processes.average(_gradients(networks))
        norms = [nn.utils.clip_grad_norm_(network.parameters(), longest) for network in networks]
        gradient_is_finite = torch.stack([norm.isfinite() for norm in norms]).all()
        applied = gradient_is_finite & terms.detach().isfinite().all()
        skip = (~applied).float()
        for optimizer in optimizers:
            optimizer.found_inf = skip  # type: ignore[attr-defined]
            optimizer.step()
        before, self._reading = self._reading, _Reading(torch.cat([terms.detach(), gradient_is_finite[None]]), number)
        # Only the first step has none before it.
        return Updated((before or self._reading).losses(), applied)


def _followed_back(terms: Tensor, number: int) -> StepLosses:
    """Return the losses, which are finite, after their gradient has been computed."""
    losses = StepLosses(*terms.tolist())
    _require_finite(losses, number)
    terms.sum().backward()
    return losses


def _follow(networks: Sequence[nn.Module], optimizers: Sequence[torch.optim.Optimizer], longest: float) -> None:
    for network in networks:
        # A gradient that is not finite ends the training before it reaches a weight.
        nn.utils.clip_grad_norm_(network.parameters(), longest, error_if_nonfinite=True)
    for optimizer in optimizers:
        optimizer.step()


def _gradients(networks: Sequence[nn.Module]) -> list[Tensor]:
    return [p.grad for network in networks for p in network.parameters() if p.grad is not None]


class _Reading:
    """Losses on their way from the device."""

    def __init__(self, values: Tensor, number: int) -> None:
        self._number = number
        self._arrived: torch.cuda.Event | None = None
        if values.is_cuda:
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()
        else:
            self._values = values

    def losses(self) -> StepLosses:
        if self._arrived is not None:
            self._arrived.synchronize()
        *terms, gradient_is_finite = self._values.tolist()
        losses = StepLosses(*terms)
        _require_finite(losses, self._number)
        if not gradient_is_finite:
            raise TrainingError(f"The gradient of step {self._number + 1} is not finite. {_REMEDY}")
        return losses


_REMEDY = "Train again with a lower --learning-rate or with --precision float32."


def _require_finite(losses: StepLosses, number: int) -> None:
    if not math.isfinite(losses.total):
        raise TrainingError(f"The loss of step {number + 1} is {losses.total}. {_REMEDY}")
