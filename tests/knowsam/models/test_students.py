from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from knowsam.config import StudentConfig
from knowsam.models.students import Fusion, Students, entropy


@pytest.mark.parametrize("classes", [2, 4])
def test_all_three_predictions_cover_the_plane(classes: int) -> None:
    logits = Students(classes, config=StudentConfig(width=4))(torch.rand(2, 3, 32, 48))
    assert {z.shape for z in logits} == {(2, classes, 32, 48)}


def test_the_students_see_the_image_centred_on_zero() -> None:
    students = Students(2, config=StudentConfig(width=4))
    seen: list[Tensor] = []
    for student in (students.unet, students.vnet):
        student.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    students(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 32, 32))
    assert [(x[0].unique().item(), x[1].unique().item()) for x in seen] == [(-1.0, 1.0)] * 2


def test_the_fused_prediction_teaches_both_students() -> None:
    students = Students(2, config=StudentConfig(width=4))
    students(torch.rand(2, 3, 32, 32)).fused.square().mean().backward()
    assert students.unet.head.weight.grad.abs().sum() > 0
    assert students.vnet.head.weight.grad.abs().sum() > 0


def test_fused_logits_are_not_squashed_below_zero() -> None:
    fusion = Fusion(2)
    with torch.no_grad():
        fusion.head[-1].bias.fill_(-5.0)
    logits = torch.randn(2, 2, 16, 16)
    assert fusion(logits, logits).min() < -3.0


def test_fusion_sees_agreement_certainty_and_evidence() -> None:
    fusion = Fusion(2)
    seen: dict[str, Tensor] = {}
    for name, branch in fusion.named_children():
        branch.register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args[0]}))
    sure, unsure = torch.tensor([20.0, -20.0]), torch.zeros(2)
    unet = torch.stack([sure, sure, unsure]).T.reshape(1, 2, 3, 1).repeat(2, 1, 1, 1)
    vnet = torch.stack([sure, -sure, sure]).T.reshape(1, 2, 3, 1).repeat(2, 1, 1, 1)
    fusion(unet, vnet)
    agreement, certainty = seen["agreement"][0, :, :, 0], seen["certainty"][0, :, :, 0]
    assert agreement.tolist() == [[1, 0, 0], [1, 0, 1]]
    torch.testing.assert_close(certainty, torch.tensor([[1, 1, 1 - math.log(2)], [1, 1, 1]]))
    torch.testing.assert_close(seen["evidence"], torch.cat([unet, vnet], dim=1))


@pytest.mark.parametrize(
    ("probabilities", "nats"), [([0.5, 0.5], math.log(2)), ([1.0, 0.0], 0.0), ([0.25] * 4, math.log(4))]
)
def test_entropy_has_its_textbook_value(probabilities: list[float], nats: float) -> None:
    p = torch.tensor(probabilities).view(1, -1, 1, 1).expand(2, -1, 3, 5)
    torch.testing.assert_close(entropy(p), torch.full((2, 3, 5), nats))


def test_the_gradient_of_entropy_is_finite_where_a_class_is_certain() -> None:
    logits = nn.Parameter(torch.tensor([200.0, -200.0]).view(1, 2, 1, 1))
    entropy(logits.softmax(dim=1)).sum().backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("classes", [2, 4])
def test_students_that_know_carried_shapes_are_given_four_maps_of_each_class(classes: int) -> None:
    students = Students(classes, config=StudentConfig(width=4), prior=True).eval()
    assert students.prior_channels == 4 * classes
    assert {z.shape for z in students(torch.rand(2, 3 + 4 * classes, 32, 48))} == {(2, classes, 32, 48)}
    assert Students(classes, config=StudentConfig(width=4)).prior_channels == 0


def test_students_see_the_carried_shapes_beside_the_centred_image() -> None:
    students = Students(2, config=StudentConfig(width=4), prior=True).eval()
    seen: list[Tensor] = []
    students.unet.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    image, shapes = torch.ones(1, 3, 32, 32), torch.rand(1, 8, 32, 32)
    for given in (shapes, torch.zeros_like(shapes)):
        students(torch.cat([image, given], dim=1))
    assert all(torch.equal(x[:, :3], image) for x in seen)
    assert seen[0][:, 3:].any()
    assert not seen[1][:, 3:].any()
