"""The network that corrects propagated labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file

from knowsam.errors import CheckpointError
from knowsam.models import propagator as propagator_module
from knowsam.models.half_precision import save_half
from knowsam.models.propagator import Propagator, propagator_of, shipped_propagator

if TYPE_CHECKING:
    from pathlib import Path


def evidence(count: int = 2, side: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn((count, 10, side, side), generator=generator), torch.rand((count, 5), generator=generator)


def test_an_untrained_one_changes_nothing() -> None:
    assert not Propagator(15)(*evidence()).any()


def test_it_learns_from_what_it_is_shown() -> None:
    propagator = Propagator(15, (8, 8))
    optimiser = torch.optim.Adam(propagator.parameters(), 1e-2)
    maps, position = evidence()
    target = (maps[:, 1:2] > 0).float()
    losses = []
    for _ in range(60):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(propagator(maps, position), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("widths", [(8, 12), (8, 12, 16, 24)])
def test_weights_that_were_written_are_read_with_their_widths(widths: tuple[int, ...], tmp_path: Path) -> None:
    propagator = Propagator(15, widths)
    torch.nn.init.normal_(propagator.head.weight)
    save_half(propagator, tmp_path / "weights.safetensors")
    read = propagator_of(load_file(tmp_path / "weights.safetensors"))
    # They are kept in half precision.
    torch.testing.assert_close(read(*evidence()), propagator(*evidence()), rtol=0.02, atol=0.02)


def test_everybody_gets_the_same_shipped_one() -> None:
    assert shipped_propagator(torch.device("cpu")) is shipped_propagator(torch.device("cpu"))
    assert not shipped_propagator(torch.device("cpu")).training


def test_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "propagator.safetensors"
    damaged.write_bytes(propagator_module.WEIGHTS_FILE.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(propagator_module, "WEIGHTS_FILE", damaged)
    with pytest.raises(CheckpointError, match="is missing or damaged"):
        shipped_propagator.__wrapped__(torch.device("cpu"))
