"""Every method in the table: whom it teaches, that it runs with and without a teacher, and that its average moves."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING

import pytest
import torch
from pixel_students import PixelStudents, method_of, seen_by
from torch import Tensor, nn
from weights import are_same, copied

from knowsam.config import MethodConfig
from knowsam.setting import setting_of
from knowsam.training.batch import Batch, Origin
from knowsam.training.learner import Learner
from knowsam.training.losses import consistency_weight
from knowsam.training.semi_supervised.averaged_students import NOISE, AveragedStudents, noisy
from knowsam.training.semi_supervised.methods import METHODS

if TYPE_CHECKING:
    import numpy as np

    from knowsam.config import Config

OTHERS = [name for name in METHODS if name not in ("none", "mc")]
PLANE = (32, 32)


@pytest.fixture
def batch() -> Batch:
    labels = torch.zeros(2, *PLANE, dtype=torch.uint8)
    labels[:, 8:24, 8:24] = 1
    images = torch.rand(5, 3, *PLANE)
    grid = nn.functional.affine_grid(torch.eye(2, 3).expand(5, -1, -1), [5, 1, *PLANE], align_corners=False)
    return Batch(images[:2], labels, images[2:], Origin((3, 7, 4, 6, 5), (images,), images, labels, grid))


def learner(config: Config) -> Learner:
    return Learner(2, PLANE, config, device=torch.device("cpu"), seed=0)


@pytest.fixture
def config(tiny_config: Config) -> Config:
    return tiny_config.with_values(shape_prior=False, mixing=False, distillation=False)


def test_the_choices_are_the_methods_there_are() -> None:
    (setting,) = (field for field in fields(MethodConfig) if field.name == "semi_supervised")
    assert set(setting_of(setting).choices) == METHODS.keys()


@pytest.mark.parametrize("name", ["mc", "mean_teacher", "ua_mt", "cps", "ict"])
def test_consistency_teaches_both_students_and_nobody_else(name: str, batch: Batch) -> None:
    students, averaged = PixelStudents(2), PixelStudents(2)
    images = torch.cat([batch.labelled, batch.unlabelled])
    loss = method_of(name, averaged)(seen_by(students, images, batch.labels, progress=1.0)).consistency
    assert loss is not None
    loss.backward()
    taught = {learning for learning, p in students.named_parameters() if p.grad is not None and p.grad.any()}
    assert taught == {"unet.weight", "unet.bias", "vnet.weight", "vnet.bias"}
    assert all(parameter.grad is None for parameter in averaged.parameters())


@pytest.mark.parametrize("name", ["mean_teacher", "ua_mt", "ict"])
def test_methods_with_a_mean_teacher_ask_nothing_of_annotated_slices(name: str, batch: Batch) -> None:
    students, averaged = PixelStudents(2), PixelStudents(2)
    losses = []
    for first in (batch.labelled, 1 - batch.labelled):
        images = torch.cat([first, batch.unlabelled])
        seen = seen_by(students, images, batch.labels, progress=1.0)
        losses.append(method_of(name, averaged)(seen).consistency)
    assert losses[0] is not None
    assert losses[0] == losses[1] > 0


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.usefixtures("small_sam")
def test_every_method_takes_steps_with_a_teacher(config: Config, batch: Batch, name: str) -> None:
    trained = learner(config.with_values(semi_supervised=name, distillation=True))
    # Certain predictions come with the first steps, and with the last ones everything counts as certain.
    losses = [trained.step(batch, number, 0.9) for number in range(3)][-1]
    assert losses.consistency > 0
    assert losses.entropy == 0
    assert losses.distillation > 0 < losses.teacher
    trained.change_classes((0, 1, None))
    assert trained.step(batch, 3, 0.9).consistency > 0


@pytest.mark.parametrize("name", OTHERS)
def test_the_teacher_changes_no_other_term_of_the_first_step(
    config: Config, batch: Batch, name: str, small_sam: None
) -> None:
    alone, taught = (
        asdict(learner(config.with_values(semi_supervised=name, distillation=on)).step(batch, 0, 0.9))
        for on in (False, True)
    )
    for term in ("supervised", "entropy", "mixing"):
        assert taught[term] == pytest.approx(alone[term], rel=1e-6), term
    assert alone["distillation"] == alone["teacher"] == 0


@pytest.mark.parametrize("name", [name for name in OTHERS if name != "ua_mt"])
def test_consistency_follows_the_ramp(config: Config, batch: Batch, name: str) -> None:
    chosen = config.with_values(semi_supervised=name, consistency_peak=2.0)
    early, late = (learner(chosen).step(batch, 0, progress).consistency for progress in (0.9, 1.0))
    ramp = consistency_weight(0.9, peak=1.0, steepness=5.0)
    assert early == pytest.approx(ramp * late, rel=1e-5)


def test_the_mean_teacher_is_the_average_that_moves_with_each_step(config: Config, batch: Batch) -> None:
    trained = learner(config.with_values(semi_supervised="mean_teacher", averaging=0.5))
    teacher = trained._method.averaged
    before, start = teacher(batch.unlabelled), trained.averaged.unet.head.weight.clone()
    trained.step(batch, 0, 0.0)
    assert not torch.equal(teacher(batch.unlabelled).unet, before.unet)
    assert torch.equal(teacher(batch.unlabelled).unet, trained.averaged(batch.unlabelled).unet)
    # In the first step it keeps a tenth of itself.
    torch.testing.assert_close(
        trained.averaged.unet.head.weight, start.lerp(trained.students.unet.head.weight.detach(), 0.9)
    )


def test_without_parameters_of_its_own_a_method_adds_none_to_learn(config: Config) -> None:
    for name in ("mc", "mean_teacher", "ua_mt", "cps", "ict"):
        assert not list(learner(config.with_values(semi_supervised=name))._method.parameters()), name


class Dropping(PixelStudents):
    """Students whose every prediction is dropped or not, behind normalisation that must not see it."""

    def __init__(self) -> None:
        super().__init__(2)
        self.norm, self.dropout = nn.BatchNorm2d(3), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        return super().forward(self.dropout(self.norm(x)))


def test_the_average_drops_features_only_when_asked_and_stays_as_it_was() -> None:
    students, images = Dropping().eval(), torch.rand(2, 3, 8, 8)
    averaged, before = AveragedStudents(students), copied(students)
    assert torch.equal(averaged(images).unet, averaged(images).unet)
    assert not torch.equal(averaged(images, dropout=True).unet, averaged(images, dropout=True).unet)
    assert not any(module.training for module in students.modules())
    assert are_same(students.state_dict(), before)
    assert not averaged(images).unet.requires_grad


def test_noise_is_on_grey_values_only_and_bounded(rng: np.random.Generator) -> None:
    images = torch.rand(2, 7, 16, 16)
    disturbed = noisy(images, rng)
    assert torch.equal(disturbed[:, 3:], images[:, 3:])
    difference = disturbed[:, :3] - images[:, :3]
    assert 0 < difference.abs().max() <= 2 * NOISE + 1e-6
    assert not torch.equal(noisy(images, rng), disturbed)


def test_labels_alone_add_nothing(batch: Batch) -> None:
    students = PixelStudents(2)
    images = torch.cat([batch.labelled, batch.unlabelled])
    assert method_of("none", students)(seen_by(students, images, batch.labels)) == (None, None, None)
