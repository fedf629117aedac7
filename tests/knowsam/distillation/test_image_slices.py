"""Whole slices of any images on one plane, some of them held out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from knowsam.data.volume import Grid, Volume
from knowsam.distillation.image_slices import ImageSlices, divided
from knowsam.errors import InputError

CPU = torch.device("cpu")


def ramp(shape: tuple[int, int, int], mm: float = 1.0) -> Volume:
    """Return a volume that gets brighter from slice to slice along its first axis."""
    values = np.broadcast_to(np.arange(shape[0], dtype=np.float32)[:, None, None], shape)
    return Volume(np.array(values), Grid(shape[::-1], np.diag([mm, mm, mm, 1.0])), "ramp")


@pytest.mark.parametrize("counts", [[5], [30], [6, 2], [9, 40], [7, 8, 9], [2] * 11])
def test_no_slice_is_learnt_from_beside_one_that_is_held_out(counts: list[int]) -> None:
    learnt, held_out = divided(counts)
    volumes = np.repeat(np.arange(len(counts)), counts)
    assert learnt
    assert held_out
    assert not [
        row for row in held_out for near in (row - 1, row, row + 1) if near in learnt and volumes[near] == volumes[row]
    ]


def test_of_many_volumes_one_in_five_is_held_out_whole() -> None:
    learnt, held_out = divided([3] * 6)
    assert held_out == [0, 1, 2, 15, 16, 17]
    assert sorted(learnt + held_out) == list(range(18))


def test_too_few_slices_are_refused() -> None:
    with pytest.raises(
        InputError, match="The images have 4 slices along the axis, and once some are held out, 1 are left"
    ):
        divided([4])
    with pytest.raises(InputError, match=r"0 are left to learn from[.] 2 at least are needed: give more images"):
        divided([2, 3])


def test_volumes_of_all_sizes_fill_one_plane() -> None:
    slices = ImageSlices([ramp((5, 30, 60)), ramp((5, 300, 200), mm=3.0)], [0, 0], CPU)
    assert slices.plane == (96, 64)
    assert {tuple(image.shape) for image in slices.images([0, 4, 5, 9])} == {(3, 96, 64)}


def test_neighbours_are_those_of_the_same_volume() -> None:
    slices = ImageSlices([ramp((5, 32, 32)), ramp((5, 32, 32))], [0, 0], CPU)
    last, first = (image[:, 16, 16] for image in slices.images([4, 5]))
    torch.testing.assert_close(last, torch.tensor([0.75, 1.0, 1.0]))
    torch.testing.assert_close(first, torch.tensor([0.0, 0.0, 0.25]))
