"""Pretraining in a few steps on a few volumes."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file

from knowsam.models.propagator import propagator_of
from knowsam.pretraining.episode_pool import EpisodePool
from knowsam.pretraining.episodes import episodes
from knowsam.pretraining.mask_loss import mask_loss
from knowsam.pretraining.propagator_training import PROPAGATOR_TASK
from knowsam.pretraining.training_run import TrainingRun
from knowsam.propagation.evidence import propagated_logit

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def filled_pool() -> EpisodePool:
    pool = EpisodePool(0, CPU)
    for seed in (1, 11):
        pool.add(episodes(seed))
    return pool


@pytest.fixture
def pool(filled_pool: EpisodePool) -> EpisodePool:
    """Draw the same in every test, whichever of them ran before."""
    return copy.deepcopy(filled_pool)


def dice_of(logits: torch.Tensor, target: torch.Tensor) -> float:
    found = logits > 0
    return float(2 * (found & target).sum() / (found.sum() + target.sum()))


def test_a_batch_has_slices_of_one_size_with_their_targets(pool: EpisodePool) -> None:
    for _ in range(4):
        batch = pool.batch()
        assert batch.maps.shape[1] == 10
        assert batch.maps.shape[-2:] == batch.target.shape[-2:]
        assert len(batch.maps) == len(batch.position) == len(batch.target) >= 2
        assert set(batch.target.unique().tolist()) <= {0.0, 1.0}


def test_augmentation_keeps_the_propagated_labels_with_their_target(pool: EpisodePool) -> None:
    batch = pool.batch()
    propagated = batch.maps[:, 7:8] > 0
    overlap = (propagated & (batch.target > 0)).sum()
    assert 2 * overlap / (propagated.sum() + batch.target.sum()) > 0.6


def test_a_right_answer_costs_less_than_a_wrong_one() -> None:
    target = (torch.rand((2, 1, 16, 16)) > 0.5).float()
    right, wrong = 8 * (2 * target - 1), -8 * (2 * target - 1)
    unsure = torch.zeros_like(target)
    losses = [mask_loss(own, target, dice_weight=0.5, smoothing_px=20) for own in (right, unsure, wrong)]
    assert losses[0] < 0.1 < losses[1] < losses[2]


@pytest.mark.slow
def test_some_steps_beat_propagated_labels_on_other_volumes(tmp_path: Path) -> None:
    propagator = TrainingRun(PROPAGATOR_TASK, 0, 240, CPU).run(tmp_path / "run.pt").eval()
    before, after = [], []
    with torch.inference_mode():
        for episode in (episode for seed in range(20) for episode in episodes(seed)):
            logits = propagated_logit(episode.maps)
            before.append(dice_of(logits, episode.target))
            after.append(dice_of(logits + propagator(episode.maps, episode.position), episode.target))
    assert sum(after) / len(after) > sum(before) / len(before) + 0.01


@pytest.mark.slow
def test_one_command_makes_weights(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "knowsam.pretraining", "propagator", tmp_path / "run.pt", "--steps", "2"]
    subprocess.run([*command, "-o", tmp_path / "weights.safetensors"], check=True)
    assert propagator_of(load_file(tmp_path / "weights.safetensors")).stem.in_channels == 15
