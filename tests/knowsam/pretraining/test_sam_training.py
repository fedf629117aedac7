"""The compact SAM learns from slices of synthetic volumes."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file

from knowsam.models.sam import VARIANTS, build_sam, load_resized
from knowsam.models.sam_prompting import embed
from knowsam.pretraining.averaged_network import AveragedNetwork
from knowsam.pretraining.prompted_pool import PromptedPool, prompted_slices
from knowsam.pretraining.sam_training import SamWithPixelHead, sam_loss

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def filled_pool() -> PromptedPool:
    pool = PromptedPool(0, torch.device("cpu"))
    for seed in (1, 11):
        pool.add(prompted_slices(seed))
    return pool


@pytest.fixture
def pool(filled_pool: PromptedPool) -> PromptedPool:
    """Draw the same in every test, whichever of them ran before."""
    return copy.deepcopy(filled_pool)


def test_a_batch_has_slices_of_one_size_with_their_targets(pool: PromptedPool) -> None:
    for _ in range(4):
        images, propagated, target = pool.batch().slices
        assert images.shape[1:] == (3, *target.shape[2:])
        assert propagated.shape == target.shape
        assert set(target.unique().tolist()) <= {0.0, 1.0}
        assert 0 <= images.min() <= images.max() <= 1


def test_augmentation_keeps_the_propagated_labels_with_their_target(pool: PromptedPool) -> None:
    _, propagated, target = pool.batch().slices
    overlap = ((propagated > 0.5) & (target > 0)).sum()
    assert 2 * overlap / ((propagated > 0.5).sum() + target.sum()) > 0.6


def test_every_part_of_sam_learns_sooner_or_later(pool: PromptedPool) -> None:
    network = SamWithPixelHead()
    waiting = dict(network.named_parameters())
    for _ in range(4):
        sam_loss(network, pool.batch()).backward()
        waiting = {name: parameter for name, parameter in waiting.items() if parameter.grad is None}
        if not waiting:
            break
    assert not waiting


@pytest.mark.slow
def test_the_embedding_is_of_the_image_after_some_steps(pool: PromptedPool) -> None:
    torch.manual_seed(0)
    learner = AveragedNetwork(SamWithPixelHead(), 1.5e-3, torch.device("cpu"))
    for _ in range(20):
        batch = pool.batch()
        learner.learn(lambda network, batch=batch: sam_loss(network, batch), 1.0)
    with torch.no_grad():
        seen = embed(learner.average.sam, pool.batch().slices.images)
    assert seen.var(dim=0).mean() > 0.5 * seen.var(dim=(0, 2, 3)).mean()


@pytest.mark.slow
def test_one_command_makes_weights(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "knowsam.pretraining", "sam", tmp_path / "run.pt", "--steps", "2"]
    subprocess.run([*command, "-o", tmp_path / "weights.safetensors"], check=True)
    weights = load_file(tmp_path / "weights.safetensors")
    assert load_resized(build_sam(VARIANTS["compact"], (96, 96)), weights) == ()
