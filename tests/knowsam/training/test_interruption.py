"""Work is broken off where it stands, and can be done again."""

from __future__ import annotations

import copy
import gc
import threading
import weakref

import pytest
import torch
from torch import Tensor, nn

from knowsam.training.interruption import Interrupted, Interruption


class Asking(nn.Module):
    """Hands its input on, and asks for an interruption on the way forward or back."""

    def __init__(self, interruption: Interruption, *, backward: bool) -> None:
        super().__init__()
        self._interruption = interruption
        self._backward = backward

    def forward(self, x: Tensor) -> Tensor:
        """Map any tensor to itself."""
        out = x * 1.0
        if self._backward:
            out.register_hook(lambda _: self._interruption.request())
        else:
            self._interruption.request()
        return out


@pytest.fixture
def interruption() -> Interruption:
    return Interruption()


def chain(interruption: Interruption, middle: nn.Module) -> tuple[nn.Sequential, list[str]]:
    """Return a watched network, and a list that notes which of its outer layers have worked."""
    network = nn.Sequential(nn.Linear(2, 2), middle, nn.Linear(2, 2), nn.Linear(2, 1))
    done: list[str] = []
    for name in ("0", "2", "3"):
        network.get_submodule(name).register_forward_hook(lambda *_, name=name: done.append(name))
    interruption.watch(network)
    return network, done


def test_nothing_is_broken_off_unless_somebody_asks(interruption: Interruption) -> None:
    network, done = chain(interruption, nn.Identity())
    network(torch.ones(1, 2)).sum().backward()
    interruption.check()
    assert done == ["0", "2", "3"]
    assert network[0].weight.grad is not None


def test_a_request_stands_until_it_is_taken_back(interruption: Interruption) -> None:
    interruption.request()
    for _ in range(2):
        with pytest.raises(Interrupted):
            interruption.check()
    interruption.clear()
    interruption.check()


def test_the_way_forward_ends_at_the_next_layer(interruption: Interruption) -> None:
    network, done = chain(interruption, Asking(interruption, backward=False))
    with pytest.raises(Interrupted):
        network(torch.ones(1, 2))
    assert done == ["0"]


def test_the_way_back_ends_at_the_next_layer(interruption: Interruption) -> None:
    network, _ = chain(interruption, Asking(interruption, backward=True))
    loss = network(torch.ones(1, 2)).sum()
    with pytest.raises(Interrupted):
        loss.backward()
    assert network[3].weight.grad is not None
    assert network[0].weight.grad is None


def test_a_network_works_again_after_it_was_broken_off(interruption: Interruption) -> None:
    network, _ = chain(interruption, nn.Identity())
    interruption.request()
    with pytest.raises(Interrupted):
        network(torch.ones(1, 2))
    interruption.clear()
    assert network(torch.ones(1, 2)).shape == (1, 1)


def test_another_thread_may_ask(interruption: Interruption) -> None:
    thread = threading.Thread(target=interruption.request)
    thread.start()
    thread.join()
    with pytest.raises(Interrupted):
        interruption.check()


def test_a_copy_of_a_watched_network_heeds_the_same_requests(interruption: Interruption) -> None:
    network, _ = chain(interruption, nn.Identity())
    twin = copy.deepcopy(network)
    interruption.request()
    with pytest.raises(Interrupted):
        twin(torch.ones(1, 2))


def test_a_network_that_is_watched_twice_asks_once(interruption: Interruption, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[None] = []
    monkeypatch.setattr(interruption, "check", lambda: looks.append(None))
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True))
    interruption.watch(network)
    interruption.watch(network)
    with torch.no_grad():
        network(torch.ones(1, 2))
    assert len(looks) == 2


def test_watching_changes_neither_values_nor_gradients(interruption: Interruption) -> None:
    """In-place layers among them."""
    plain = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.LeakyReLU(inplace=True), nn.Conv2d(4, 1, 3))
    watched = copy.deepcopy(plain)
    interruption.watch(watched)
    x = torch.rand(2, 1, 8, 8)
    out, expected = watched(x), plain(x)
    out.sum().backward()
    expected.sum().backward()
    assert torch.equal(out, expected)
    for own, other in zip(watched.parameters(), plain.parameters(), strict=True):
        assert own.grad is not None
        assert other.grad is not None
        assert torch.equal(own.grad, other.grad)


def test_a_network_is_not_kept_alive_by_being_watched(interruption: Interruption) -> None:
    layer = nn.Linear(2, 2)
    interruption.watch(layer)
    gone = weakref.ref(layer)
    del layer
    gc.collect()
    assert gone() is None


def test_other_things_are_done_wherever_work_may_be_broken_off() -> None:
    done: list[str] = []
    interruption = Interruption(lambda: done.append("done"))
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    interruption.watch(network)
    network(torch.ones(1, 2)).sum().backward()
    interruption.check()
    # Two layers forward, two backward, one check.
    assert len(done) == 5
