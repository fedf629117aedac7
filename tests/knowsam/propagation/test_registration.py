"""Textures whose motion is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from knowsam.propagation.registration import displaced, gaussian, register

SIZES = [(32, 32), (32, 48), (47, 33)]
RIM_PX = 10
"""What comes in over the edge is seen in one of two images only."""


def texture(size: tuple[int, int], x_px: float = 0.0, y_px: float = 0.0) -> Tensor:
    """Return waves (H, W) of about unit variance as they look that far along."""
    y = torch.arange(size[0]).unsqueeze(1) + y_px
    x = torch.arange(size[1]) + x_px
    return torch.sin(x / 3) + torch.sin(y / 4 + 1) + torch.sin((x + y) / 5) / 2


def inner(maps: Tensor) -> Tensor:
    return maps[..., RIM_PX:-RIM_PX, RIM_PX:-RIM_PX]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shift_px", [(0.5, 0.0), (-1.5, 0.75), (3.0, -2.0)])
def test_a_shift_is_found_to_a_fraction_of_a_pixel(size: tuple[int, int], shift_px: tuple[float, float]) -> None:
    moving = texture(size).expand(3, -1, -1)
    fixed = texture(size, *shift_px).expand(3, -1, -1)
    flow = register(fixed, moving, sigma_px=2.0)
    assert flow.shape == (3, 2, *size)
    for found, expected in zip(inner(flow).unbind(1), shift_px, strict=True):
        assert (found - expected).abs().median() < 0.1
        assert (found - expected).abs().mean() < 0.25


def test_the_displaced_image_resembles_the_fixed_one() -> None:
    moving, fixed = texture((32, 32)), texture((32, 32), 2.0, 1.0)
    flow = register(fixed[None], moving[None], sigma_px=2.0)
    moved = displaced(moving[None, None], flow)
    assert inner(moved - fixed).abs().max() < 0.1
    assert inner(moving - fixed).abs().max() > 0.5


@pytest.mark.parametrize("size", SIZES)
def test_what_does_not_move_stays(size: tuple[int, int]) -> None:
    still = texture(size).expand(2, -1, -1)
    assert register(still, still, sigma_px=2.0).abs().max() < 1e-3


def test_where_nothing_is_to_be_seen_nothing_moves() -> None:
    flat = torch.zeros(2, 32, 32)
    assert not register(flat, flat + 0.1, sigma_px=2.0).any()


def test_work_is_broken_off_by_what_the_check_raises() -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        register(torch.zeros(1, 32, 32), torch.zeros(1, 32, 32), 2.0, check)
    assert calls == 3


def test_a_map_is_sampled_where_the_displacement_says_and_its_edge_goes_on() -> None:
    maps = (torch.arange(4.0).unsqueeze(1) * 10 + torch.arange(5.0)).view(1, 1, 4, 5)
    flow = torch.zeros(1, 2, 4, 5)
    flow[:, 0] = 1.0
    torch.testing.assert_close(displaced(maps, flow)[0, 0, 2], torch.tensor([21.0, 22, 23, 24, 24]))
    flow[:, 0], flow[:, 1] = 0.0, -0.5
    torch.testing.assert_close(displaced(maps, flow)[0, 0, :, 3], torch.tensor([3.0, 8, 18, 28]))


def test_each_image_is_displaced_by_its_own_displacement() -> None:
    maps = torch.arange(5.0).expand(2, 3, 4, 5)
    flow = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1) * torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(2, 2, 4, 5)
    moved = displaced(maps, flow)
    assert moved.shape == (2, 3, 4, 5)
    torch.testing.assert_close(moved[:, 2, 1], torch.tensor([[1.0, 2, 3, 4, 4], [0, 0, 1, 2, 3]]))


@pytest.mark.parametrize("size", [*SIZES, (5, 64)])
@pytest.mark.parametrize("sigma_px", [0.5, 2.0, 6.0])
def test_smoothing_keeps_a_constant(size: tuple[int, int], sigma_px: float) -> None:
    maps = torch.full((2, 3, *size), 7.0)
    torch.testing.assert_close(gaussian(maps, sigma_px), maps)


def test_smoothing_spreads_a_spot_evenly_and_keeps_its_mean() -> None:
    spot = torch.zeros(33, 47)
    spot[16, 23] = 1.0
    smooth = gaussian(spot, 2.0)
    assert smooth.sum() == pytest.approx(1.0, abs=1e-5)
    assert smooth.argmax() == spot.argmax()
    torch.testing.assert_close(smooth, smooth.flip(0, 1))
    variance = (smooth.sum(0) * (torch.arange(47.0) - 23) ** 2).sum()
    assert variance == pytest.approx(4.0, rel=0.1)
