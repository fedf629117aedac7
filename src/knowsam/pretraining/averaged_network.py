"""A network in training, and the moving average of its weights, which is kept."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping

_LARGEST_GRADIENT = 1.0
_WEIGHT_DECAY = 1e-2
_AVERAGING = 0.9985
_LOWEST_RATE = 0.02

NetworkT = TypeVar("NetworkT", bound=nn.Module)


class AveragedNetwork(Generic[NetworkT]):
    """A network, its optimiser, and an exponential moving average of its weights.

    Parameters
    ----------
    network : what learns. learning_rate : the highest. device : of the network.

    Attributes
    ----------
    average : the averaged network.
    step : how many steps it has learnt for.
    """

    def __init__(self, network: NetworkT, learning_rate: float, device: torch.device) -> None:
        self.step = 0
        self._device, self._learning_rate = device, learning_rate
        self._network = network.to(device)
        self.average = copy.deepcopy(self._network)
        self._optimiser = torch.optim.AdamW(
            self._network.parameters(), learning_rate, betas=(0.9, 0.99), weight_decay=_WEIGHT_DECAY
        )

    def learn(self, loss: Callable[[NetworkT], Tensor], rate: float) -> Tensor:
        """Do one step and return the loss.

        Parameters
        ----------
        loss : of the network. rate : factor on the learning rate.
        """
        self._optimiser.param_groups[0]["lr"] = self._learning_rate * rate
        # Most CPUs only emulate bfloat16, ten times slower than float32.
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            found = loss(self._network)
        self._optimiser.zero_grad()
        found.backward()
        nn.utils.clip_grad_norm_(self._network.parameters(), _LARGEST_GRADIENT)
        self._optimiser.step()
        kept = min(_AVERAGING, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for average, own in zip(self.average.parameters(), self._network.parameters(), strict=True):
                average.lerp_(own, 1 - kept)
        self.step += 1
        return found.detach()

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on."""
        return {
            "step": self.step,
            "network": self._network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.step = state["step"]
        self._network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])


def rate(step: int, progress: float, *, warm_up_steps: int, decay_from: float) -> float:
    """Return the factor on the learning rate: it warms up, stays, and falls to almost nothing at the end.

    Parameters
    ----------
    progress : share of the training that is done, in [0, 1]. decay_from : that from which the rate falls.
    """
    falling = (1 - progress) / (1 - decay_from)
    return min(1.0, (step + 1) / warm_up_steps, max(falling, _LOWEST_RATE))
