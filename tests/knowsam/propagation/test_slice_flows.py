"""A texture that moves by the same amount from slice to slice."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from knowsam.propagation import slice_flows
from knowsam.propagation.registration import displaced
from knowsam.propagation.slice_flows import SliceFlows

SLICES, SIZE = 8, (32, 40)
STEP_PX = (1.0, -0.5)
"""Motion of the content from one slice to the next, x before y."""


def moving_texture() -> Tensor:
    y = torch.arange(SIZE[0]).unsqueeze(1) - STEP_PX[1] * torch.arange(SLICES).view(-1, 1, 1)
    x = torch.arange(SIZE[1]) - STEP_PX[0] * torch.arange(SLICES).view(-1, 1, 1)
    return 100 + 30 * (torch.sin(x / 3) + torch.sin(y / 4 + 1) + torch.sin((x + y) / 5) / 2)


@pytest.fixture(scope="module")
def flows() -> SliceFlows:
    return SliceFlows(moving_texture(), sigma_px=2.0)


def middle(flow: Tensor) -> list[float]:
    """Return the median displacement away from the edges."""
    return [float(one[10:-10, 10:-10].float().median()) for one in flow]


@pytest.mark.parametrize(("source", "end"), [(2, 5), (5, 2), (0, 3), (7, 6)])
def test_a_chain_adds_up_the_motion_of_the_slices_on_its_way(flows: SliceFlows, source: int, end: int) -> None:
    (chain,) = flows.chains([source], [end])
    assert chain.shape == (abs(end - source), 2, *SIZE)
    assert chain.dtype == torch.float16
    direction = 1 if end > source else -1
    for distance, flow in enumerate(chain, start=1):
        expected = [-direction * distance * step for step in STEP_PX]
        assert middle(flow) == pytest.approx(expected, abs=0.2)


def test_a_slice_displaced_along_its_chain_lies_in_the_slice_at_its_end(flows: SliceFlows) -> None:
    planes = moving_texture()
    (chain,) = flows.chains([1], [5])
    brought = displaced(planes[None, 1:2], chain[-1:].float())[0, 0]
    inside = slice(10, -10), slice(10, -10)
    assert (brought - planes[5])[inside].abs().mean() < 0.2 * (planes[1] - planes[5])[inside].abs().mean()


def test_chains_of_different_lengths_are_followed_together_as_each_alone(flows: SliceFlows) -> None:
    sources, ends = [2, 4, 4, 0], [5, 0, 5, 7]
    together = flows.chains(sources, ends)
    assert [len(chain) for chain in together] == [3, 4, 1, 7]
    for chain, source, end in zip(together, sources, ends, strict=True):
        torch.testing.assert_close(chain, flows.chains([source], [end])[0])


@pytest.mark.parametrize("index", [0, 3, 7])
def test_a_chain_to_the_slice_itself_is_empty(flows: SliceFlows, index: int) -> None:
    (chain,) = flows.chains([index], [index])
    assert chain.shape == (0, 2, *SIZE)


def test_no_chain_is_followed_where_none_is_asked_for(flows: SliceFlows) -> None:
    assert flows.chains([], []) == []


def test_without_a_neighbourhood_everything_stays_where_it_is() -> None:
    for chain in SliceFlows(moving_texture(), sigma_px=0.0).chains([2, 5], [7, 0]):
        assert len(chain) == 5
        assert not chain.any()


def test_a_single_slice_has_nowhere_to_go() -> None:
    alone = SliceFlows(torch.rand(1, *SIZE), sigma_px=2.0)
    assert alone.slices == 1
    assert [len(chain) for chain in alone.chains([0], [0])] == [0]


def test_staying_is_no_displacement(flows: SliceFlows) -> None:
    assert flows.still().shape == (2, *SIZE)
    assert not flows.still().any()


def test_brightness_and_contrast_do_not_matter(flows: SliceFlows) -> None:
    (chain,) = SliceFlows(moving_texture() / 100 - 3, sigma_px=2.0).chains([0], [4])
    torch.testing.assert_close(chain, flows.chains([0], [4])[0], atol=0.02, rtol=0.0)


def test_a_uniform_volume_does_not_move() -> None:
    (chain,) = SliceFlows(torch.full((4, *SIZE), 0.5), sigma_px=2.0).chains([0], [3])
    assert not chain.any()


def test_more_slices_than_are_registered_at_a_time_move_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slice_flows, "_CHUNK_SLICES", 3)
    (chain,) = SliceFlows(moving_texture(), sigma_px=2.0).chains([0], [7])
    assert middle(chain[-1]) == pytest.approx([-7 * step for step in STEP_PX], abs=0.5)


def test_registration_is_broken_off_by_what_the_check_raises() -> None:
    def check() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        SliceFlows(moving_texture(), 2.0, check)
    SliceFlows(moving_texture(), 0.0, check)
