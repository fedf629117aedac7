"""Both ways to update do the same to the weights, and neither lets in what is not finite."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from knowsam.errors import TrainingError
from knowsam.training.processes import Processes
from knowsam.training.update import ExactUpdate, LateUpdate

TERMS = torch.tensor([1.0, 2.0, 3.0, 0.0, 0.0, 0.5])


class Weights(nn.Module):
    """Two weights that begin as one; the loss terms are multiples of their product."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(()))

    def terms(self, factor: float = 1.0) -> Tensor:
        return TERMS * self.a * self.b * factor

    def values(self) -> list[float]:
        return [self.a.item(), self.b.item()]


def optimizer_of(weights: Weights, kind: str, fused: bool) -> torch.optim.Optimizer:
    if kind == "sgd":
        return torch.optim.SGD(weights.parameters(), lr=0.1, momentum=0.9, fused=fused)
    return torch.optim.AdamW(weights.parameters(), lr=0.1, fused=fused)


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
@pytest.mark.parametrize("longest", [0.5, 1e6])
def test_both_ways_lead_to_the_same_weights(kind: str, longest: float) -> None:
    values = []
    for update in (ExactUpdate(Processes()), LateUpdate(Processes())):
        weights = Weights()
        optimizer = optimizer_of(weights, kind, isinstance(update, LateUpdate))
        for number in range(3):
            optimizer.zero_grad()
            update(weights.terms(), [weights], [optimizer], longest, number)
        values.append(weights.values())
    assert values[0] == pytest.approx(values[1])
    assert values[0] != [1, 1]


def test_losses_come_at_once_or_a_step_late() -> None:
    for update, expected in ((ExactUpdate(Processes()), [6.5, 13, 26]), (LateUpdate(Processes()), [6.5, 6.5, 13])):
        weights = Weights()
        optimizer = torch.optim.SGD(weights.parameters(), lr=0.0, fused=isinstance(update, LateUpdate))
        found = [
            update(weights.terms(factor), [weights], [optimizer], 1.0, number).losses.total
            for number, factor in enumerate((1.0, 2.0, 4.0))
        ]
        assert found == expected


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_reported_and_changes_nothing(kind: str, factor: float) -> None:
    weights = Weights()
    optimizer = optimizer_of(weights, kind, fused=False)
    with pytest.raises(TrainingError, match=r"The loss of step 8 is .* lower --learning-rate"):
        ExactUpdate(Processes())(weights.terms(factor), [weights], [optimizer], 1.0, 7)
    assert weights.values() == [1, 1]


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_changes_nothing_though_it_is_reported_late(kind: str, factor: float) -> None:
    weights, update = Weights(), LateUpdate(Processes())
    optimizer = optimizer_of(weights, kind, fused=True)
    update(weights.terms(), [weights], [optimizer], 1.0, 0)
    before = weights.values()
    momentum = [{name: t.clone() for name, t in optimizer.state[p].items()} for p in weights.parameters()]
    optimizer.zero_grad()
    applied = update(weights.terms(factor), [weights], [optimizer], 1.0, 1).applied
    assert applied is not None
    assert not applied
    assert weights.values() == before
    for p, known in zip(weights.parameters(), momentum, strict=True):
        assert {name: t.item() for name, t in optimizer.state[p].items()} == {n: t.item() for n, t in known.items()}
    optimizer.zero_grad()
    with pytest.raises(TrainingError, match=r"The loss of step 2 is .* lower --learning-rate"):
        update(weights.terms(), [weights], [optimizer], 1.0, 2)


def take_two_steps(weights: Weights, update: ExactUpdate | LateUpdate, optimizer: torch.optim.Optimizer) -> None:
    for number in range(2):
        optimizer.zero_grad()
        update(weights.terms(), [weights], [optimizer], 1.0, number)


def test_a_gradient_that_is_not_finite_changes_nothing_either() -> None:
    for update, error in ((ExactUpdate(Processes()), RuntimeError), (LateUpdate(Processes()), TrainingError)):
        weights = Weights()
        optimizer = torch.optim.SGD(weights.parameters(), lr=0.1, fused=isinstance(update, LateUpdate))
        weights.a.register_hook(lambda gradient: gradient * float("inf"))
        with pytest.raises(error, match=r"not finite|non-finite"):
            take_two_steps(weights, update, optimizer)
        assert weights.values() == [1, 1]
