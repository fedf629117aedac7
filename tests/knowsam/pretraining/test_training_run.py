"""A network of one weight learns what the seeds of volumes are on average."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from knowsam.pretraining.training_run import PretrainingTask, TrainingRun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CPU = torch.device("cpu")


class LatestSeed:
    """A pool that gives the last digits of the latest seed."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._latest = torch.zeros(1, 1)

    def add(self, samples: Sequence[int]) -> None:
        self._latest = torch.full((1, 1), float(samples[0] % 1000))

    def batch(self) -> Tensor:
        return self._latest


def seed_of(seed: int) -> list[int]:
    return [seed]


def squared_error(network: nn.Linear, batch: Tensor) -> Tensor:
    return (network(torch.ones(1, 1)) - batch).square().mean()


TASK = PretrainingTask(lambda: nn.Linear(1, 1), seed_of, LatestSeed, squared_error, 1e-2)


def weights(network: nn.Module) -> list[float]:
    return [parameter.item() for parameter in network.parameters()]


def test_one_seed_gives_one_network(tmp_path: Path) -> None:
    one, other = (weights(TrainingRun(TASK, 3, 12, CPU).run(tmp_path / f"{n}.pt")) for n in range(2))
    assert one == other
    assert one != weights(TrainingRun(TASK, 4, 12, CPU).run(tmp_path / "another.pt"))


def test_a_run_that_was_broken_off_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    def broken_off(network: nn.Linear, batch: Tensor) -> Tensor:
        if run.step == 300:
            raise KeyboardInterrupt
        return squared_error(network, batch)

    file = tmp_path / "run.pt"
    run = TrainingRun(PretrainingTask(TASK.network, seed_of, LatestSeed, broken_off, TASK.learning_rate), 0, 400, CPU)
    with pytest.raises(KeyboardInterrupt):
        run.run(file)
    going_on = TrainingRun(TASK, 0, 400, CPU)
    assert weights(going_on.run(file)) == weights(TrainingRun(TASK, 0, 400, CPU).run(tmp_path / "whole.pt"))
    assert going_on.step == 400


def test_another_run_is_not_gone_on_with(tmp_path: Path) -> None:
    TrainingRun(TASK, 0, 1, CPU).run(tmp_path / "run.pt")
    with pytest.raises(ValueError, match="1 steps with seed 0"):
        TrainingRun(TASK, 1, 1, CPU).run(tmp_path / "run.pt")


@pytest.mark.slow
def test_processes_make_the_same_volumes_in_the_same_order(tmp_path: Path) -> None:
    alone = TrainingRun(TASK, 0, 8, CPU).run(tmp_path / "alone.pt")
    together = TrainingRun(TASK, 0, 8, CPU).run(tmp_path / "together.pt", workers=2)
    assert weights(alone) == weights(together)
