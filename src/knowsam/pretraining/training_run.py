"""One run of pretraining on synthetic volumes, whatever learns: seeded, resumable, on the CPU or a GPU."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from multiprocessing import get_context
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from knowsam.pretraining.averaged_network import AveragedNetwork, NetworkT, rate

if TYPE_CHECKING:
    from multiprocessing.pool import Pool as Processes

logger = logging.getLogger(__name__)

_FIRST_VOLUMES = 40
_STEPS_PER_VOLUME = 4
"""So every slice is drawn about once."""

_WARM_UP_STEPS = 150
_DECAY_FROM = 0.6

_SEEDS_PER_RUN = 10_000_000
"""So that two runs never share a volume."""

_SAVE_EVERY = 200

SampleT = TypeVar("SampleT")
BatchT = TypeVar("BatchT")
_Sample = TypeVar("_Sample", contravariant=True)
_Batch = TypeVar("_Batch", covariant=True)


class Pool(Protocol[_Sample, _Batch]):
    """The samples of the latest volumes."""

    def add(self, samples: Sequence[_Sample]) -> None:
        """Take the samples of one more volume."""

    def batch(self) -> _Batch:
        """Draw a batch."""


def _whole(network: nn.Module) -> nn.Module:
    return network


@dataclass(frozen=True)
class PretrainingTask(Generic[NetworkT, SampleT, BatchT]):
    """What is learnt.

    Parameters
    ----------
    network : makes the network.
    samples : of the synthetic volume of a seed; a function that another process can import.
    pool : makes a pool with a seed, whose batches are on a device.
    loss : of the network on a batch.
    learning_rate : the highest.
    kept : what is kept of the network in the end.
    """

    network: Callable[[], NetworkT]
    samples: Callable[[int], list[SampleT]]
    pool: Callable[[int, torch.device], Pool[SampleT, BatchT]]
    loss: Callable[[NetworkT, BatchT], Tensor]
    learning_rate: float
    kept: Callable[[NetworkT], nn.Module] = _whole


class TrainingRun(Generic[NetworkT, SampleT, BatchT]):
    """A network that is pretrained.

    Parameters
    ----------
    seed : of weights, volumes, order and augmentation.
    steps : in all.
    device : of the network; the volumes are made on the CPU.
    """

    def __init__(
        self, task: PretrainingTask[NetworkT, SampleT, BatchT], seed: int, steps: int, device: torch.device
    ) -> None:
        torch.manual_seed(seed)
        self.seed, self.steps, self.device = seed, steps, device
        self._task = task
        self._learner = AveragedNetwork(task.network(), task.learning_rate, device)

    @property
    def step(self) -> int:
        """How many steps are done."""
        return self._learner.step

    def run(self, file: Path, workers: int = 0) -> NetworkT:
        """Train to the end and return the averaged network; what `file` holds of an earlier run goes on.

        Parameters
        ----------
        file : the state of the run, saved now and then.
        workers : processes that make volumes; 0 makes them in this one.
        """
        if file.is_file():
            self._load(file)
        started, losses = monotonic(), []
        seeds = count(_SEEDS_PER_RUN * (self.seed + 1) + self.step // _STEPS_PER_VOLUME)
        with _volumes(self._task.samples, seeds, workers) as volumes:
            # Seeded by the step, so that a run that goes on draws anew what it would have drawn.
            pool = self._task.pool(self.seed + self.step, self.device)
            for own in islice(volumes, _FIRST_VOLUMES):
                pool.add(own)
            while self.step < self.steps:
                if self.step and self.step % _STEPS_PER_VOLUME == 0:
                    pool.add(next(volumes))
                losses.append(self._learn(pool.batch()))
                if self.step % _SAVE_EVERY == 0 or self.step == self.steps:
                    self._save(file)
                    mean = float(torch.stack(losses).mean())
                    logger.info("step %d, loss %.4f, %.0f s", self.step, mean, monotonic() - started)
                    losses.clear()
        return self._learner.average

    def _learn(self, batch: BatchT) -> Tensor:
        progress = self.step / self.steps
        factor = rate(self.step, progress, warm_up_steps=_WARM_UP_STEPS, decay_from=_DECAY_FROM)
        return self._learner.learn(lambda network: self._task.loss(network, batch), factor)

    def _save(self, file: Path) -> None:
        state = {"seed": self.seed, "steps": self.steps, **self._learner.state()}
        unfinished = file.with_suffix(".part")
        torch.save(state, unfinished)
        unfinished.replace(file)

    def _load(self, file: Path) -> None:
        state = torch.load(file, map_location=self.device, weights_only=True)
        if (state["seed"], state["steps"]) != (self.seed, self.steps):
            raise ValueError(
                f"{file} is a run of {state['steps']} steps with seed {state['seed']}, not of {self.steps} with seed "
                f"{self.seed}. Give the same numbers, or another file."
            )
        self._learner.load(state)


@contextmanager
def _volumes(
    samples: Callable[[int], list[SampleT]], seeds: Iterator[int], workers: int
) -> Iterator[Iterator[list[SampleT]]]:
    """Give the samples of volume after volume, in the same order with any number of workers."""
    if workers == 0:
        yield map(samples, seeds)
        return
    with get_context("spawn").Pool(workers, initializer=torch.set_num_threads, initargs=(1,)) as processes:
        yield _in_order(processes, samples, seeds, 2 * workers)


def _in_order(
    processes: Processes, samples: Callable[[int], list[SampleT]], seeds: Iterator[int], ahead: int
) -> Iterator[list[SampleT]]:
    """Yield the samples of each seed in turn, with some volumes made ahead."""
    waiting = deque(processes.apply_async(samples, (seed,)) for seed in islice(seeds, ahead))
    while True:
        yield waiting.popleft().get()
        waiting.append(processes.apply_async(samples, (next(seeds),)))
