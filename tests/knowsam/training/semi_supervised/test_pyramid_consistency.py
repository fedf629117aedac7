from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch

from knowsam.models.students import Students
from knowsam.training.batch import Batch
from knowsam.training.learner import Learner
from knowsam.training.semi_supervised.averaged_students import AveragedStudents
from knowsam.training.semi_supervised.pyramid_consistency import (
    COARSER,
    PyramidConsistency,
    PyramidLogits,
    pyramid_loss,
)

if TYPE_CHECKING:
    from knowsam.config import Config


def scales(*probabilities: float) -> torch.Tensor:
    """Return logits (1, S, 2, 4, 4) of scales that give the second class these probabilities everywhere."""
    second = torch.tensor(probabilities).logit().view(1, -1, 1, 1, 1).expand(1, -1, 1, 4, 4)
    return torch.cat([torch.zeros_like(second), second], dim=2)


def test_scales_that_agree_have_no_loss() -> None:
    assert pyramid_loss(scales(0.9, 0.9, 0.9, 0.9)).item() == pytest.approx(0, abs=1e-6)


def test_the_loss_is_the_rectified_difference_and_the_uncertainty() -> None:
    divergences = [p * math.log(p / 0.6) + (1 - p) * math.log((1 - p) / 0.4) for p in (0.8, 0.4)]
    expected = 0.2**2 + sum(divergences) / 2
    assert pyramid_loss(scales(0.8, 0.4)).item() == pytest.approx(expected, rel=1e-4)


def test_pixels_where_scales_contradict_each_other_count_less() -> None:
    logits = scales(0.6, 0.5)
    logits[..., 0] = scales(0.99, 0.01)[..., 0]
    p = logits.softmax(2)
    plain = (p - p.mean(1, keepdim=True)).square().mean()
    divergence = (p * (p / p.mean(1, keepdim=True)).log()).sum(2).mean()
    assert pyramid_loss(logits) - divergence < 0.8 * plain


@pytest.fixture
def batch() -> Batch:
    return Batch(torch.rand(2, 3, 32, 32), torch.randint(2, (2, 32, 32)).to(torch.uint8), torch.rand(2, 3, 32, 32))


@pytest.fixture
def config(tiny_config: Config) -> Config:
    return tiny_config.with_values(semi_supervised="urpc", shape_prior=False, mixing=False, distillation=False)


def test_the_students_are_the_same_beside_their_coarser_scales(config: Config, batch: Batch) -> None:
    students = Students(2, config=config.students).eval()
    method = PyramidConsistency(2, config.students, AveragedStudents(students))
    alone, seen = students(batch.labelled), method.network(students)(batch.labelled)
    assert isinstance(seen, PyramidLogits)
    for one, other in zip(alone, seen, strict=False):
        assert torch.equal(one, other)
    assert seen.unet_coarser.shape == seen.vnet_coarser.shape == (2, COARSER, 2, 32, 32)
    # Upsampled by eight, the coarsest of 4 x 4 pixels is smoother than the finest of 16 x 16.
    steps = seen.unet_coarser.diff(dim=-1).abs().mean(dim=(0, 2, 3, 4)) / seen.unet_coarser.std(dim=(0, 2, 3, 4))
    assert steps[0] < steps[2]
    assert not any(block._forward_hooks for block in [*students.unet.up, *students.vnet.up])


def test_the_heads_of_the_coarser_scales_learn_and_stay_out_of_the_students(config: Config, batch: Batch) -> None:
    trained = Learner(2, (32, 32), config, device=torch.device("cpu"), seed=0)
    before = {name: parameter.clone() for name, parameter in trained._method.named_parameters()}
    assert len(before) == 2 * 2 * COARSER
    losses = [trained.step(batch, number, 0.0) for number in range(8)]
    assert all(not torch.equal(parameter, before[name]) for name, parameter in trained._method.named_parameters())
    assert losses[-1].supervised < losses[0].supervised
    assert trained.students.state_dict().keys() == Students(2, config=config.students).state_dict().keys()


def test_their_supervised_loss_is_added_to_that_of_the_students(config: Config, batch: Batch) -> None:
    plain, pyramid = (
        Learner(2, (32, 32), one, device=torch.device("cpu"), seed=0).step(batch, 0, 0.9).supervised
        for one in (config.with_values(semi_supervised="none"), config)
    )
    # Three of four scales with the loss of networks that know nothing, each with a quarter of its weight.
    assert 0.5 < pyramid - plain < 1.5
