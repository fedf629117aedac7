from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from knowsam.propagation.sampling import warp


@pytest.mark.parametrize("plane", [(1, 1), (1, 7), (5, 3), (64, 96)])
@pytest.mark.parametrize("reach", [0.5, 1.0, 3.0])
def test_positions_kept_inside_give_what_border_padding_gives(plane: tuple[int, int], reach: float) -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn((2, 3, *plane), generator=generator)
    grid = reach * (2 * torch.rand((2, 40, 50, 2), generator=generator) - 1)
    expected = F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)
    torch.testing.assert_close(warp(maps, grid), expected, rtol=1e-4, atol=1e-4)


def test_beyond_the_plane_its_outermost_pixels_go_on() -> None:
    maps = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 1, 2, 2)
    corners = torch.tensor([[[[-5.0, -5.0], [5.0, -5.0]], [[-1.0, 1.0], [1.0, 1.0]]]])
    torch.testing.assert_close(warp(maps, corners), maps)
