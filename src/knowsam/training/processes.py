"""The processes that train one model together: usually one, by itself."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

Done = TypeVar("Done")
Network = TypeVar("Network", bound=Callable[..., object])

ENDING_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)
"""What Ctrl-C, a scheduler and a terminal that is closed send to all processes of a command; no system has them all."""


class Processes:
    """One process that trains by itself; `knowsam.training.data_parallel.DataParallel` is one of several.

    All processes take the same steps, on the same joined batches, and come to the same decisions at the same time.

    Attributes
    ----------
    count : of the processes.
    rank : of this one, from 0; the first one reads messages, tells the time, logs and writes.
    device : the name of the device that this one computes on.
    """

    def __init__(self, device: str = "auto") -> None:
        self.count, self.rank, self.device = 1, 0, device

    @property
    def is_first(self) -> bool:
        """Whether this process decides for all."""
        return self.rank == 0

    def all_raised(self, error: BaseException) -> bool:
        """Return whether an error was raised in all processes, so that all may go on in the same way."""
        return True

    def together(self, work: Callable[[], Done]) -> Done:
        """Do some work; if it fails in one process, the same error is raised in all."""
        return work()

    def first_decides(self, decide: Callable[[], Done]) -> Done:
        """Let only the first process decide, and return in all what it has decided."""
        return decide()

    def shared(self, network: Network) -> Network:
        """Return a network whose batches are shared out among the processes.

        Every process calls it with the joined batch and is given what the network finds in all of it. Each gradient
        that flows back into the network of a process is that of its own share, times the number of processes: the mean
        over the processes is the gradient of the joined batch.
        """
        return network

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their mean over the processes, in place."""
