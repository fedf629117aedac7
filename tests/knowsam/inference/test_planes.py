from __future__ import annotations

import numpy as np
import pytest
import torch

from knowsam.data.annotation import IGNORE, LabelArray
from knowsam.data.volume import Grid, Volume
from knowsam.data.window import Window
from knowsam.inference.planes import network_labels, network_planes, network_scribbles, with_neighbours

WHOLE = Window((0, 0), (32, 32), (32, 32))


def volume_of(array: np.ndarray) -> Volume:
    to_inferior_posterior_left = np.array(
        [[0.0, 0.0, -1.0, 0.0], [0.0, -1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    )
    return Volume(array, Grid(array.shape, to_inferior_posterior_left))


def test_at_the_pixel_size_of_the_voxels_slices_are_only_scaled_in_brightness(ball: Volume) -> None:
    planes = network_planes(ball, 0, WHOLE, clip_percent=0.0)
    low, high = ball.array.min(), ball.array.max()
    assert planes.dtype == torch.float32
    np.testing.assert_allclose(planes.numpy(), (ball.array - low) / (high - low), atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_taken_along_the_axis(ball: Volume, axis: int) -> None:
    planes = network_planes(ball, axis, Window((0, 0), (12, 32), (16, 32)), clip_percent=0.5)
    assert planes.shape == (ball.shape[axis], 16, 32)
    assert 0 <= planes.min() <= planes.max() <= 1


def test_more_slices_than_fit_a_chunk_stay_in_order() -> None:
    brightness = np.arange(70, dtype=np.int16)
    volume = volume_of(np.broadcast_to(brightness[:, None, None], (70, 16, 16)).copy())
    planes = network_planes(volume, 0, Window((0, 0), (16, 16), (16, 16)), clip_percent=0.0)
    np.testing.assert_allclose(planes[:, 0, 0].numpy() * 69, brightness, atol=1e-4)


def test_a_coarser_plane_averages_instead_of_leaving_out() -> None:
    stripes = np.zeros((2, 64, 64), dtype=np.uint8)
    stripes[:, ::2] = 200
    planes = network_planes(volume_of(stripes), 0, Window((0, 0), (64, 64), (16, 16)), clip_percent=0.0)
    torch.testing.assert_close(planes[:, 2:-2, 2:-2], torch.full((2, 12, 12), 0.5), atol=0.02, rtol=0)


def test_labels_on_the_plane_are_ignored_outside_the_slice(ball_labels: LabelArray) -> None:
    on_plane = network_labels(ball_labels[5], Window((-4, 0), (28, 32), (32, 32)))
    assert on_plane.dtype == torch.uint8
    assert (on_plane[:4] == IGNORE).all()
    np.testing.assert_array_equal(on_plane[4:].numpy(), ball_labels[5, :28])


@pytest.mark.parametrize("plane", [(16, 16), (64, 48)])
def test_resampled_labels_keep_their_values_and_their_place(plane: tuple[int, int]) -> None:
    labels = np.full((32, 32), IGNORE, dtype=np.uint8)
    labels[:16, :16], labels[16:, 16:] = 0, 3
    on_plane = network_labels(labels, Window((0, 0), (32, 32), plane))
    h, w = plane[0] // 2, plane[1] // 2
    assert (on_plane[:h, :w] == 0).all()
    assert (on_plane[h:, w:] == 3).all()
    assert (on_plane[:h, w:] == IGNORE).all()


@pytest.mark.parametrize("side", [8, 16, 32])
def test_thin_scribbles_stay_on_any_plane_and_structures_win_where_they_meet_background(side: int) -> None:
    labels = np.full((16, 16), IGNORE, np.uint8)
    labels[4, 2:14], labels[5, 8] = 0, 1
    scribbles = network_scribbles(labels, Window((0, 0), (16, 16), (side, side)))
    assert set(np.unique(scribbles)) == {0, 1, IGNORE}
    assert scribbles[5 * side // 16, 8 * side // 16] == 1
    assert (scribbles == IGNORE).mean() > 0.7


def test_beside_the_slice_there_is_background() -> None:
    labels = np.full((16, 16), IGNORE, np.uint8)
    labels[8, 8] = 1
    scribbles = network_scribbles(labels, Window((0, -8), (16, 8), (16, 16)))
    assert (scribbles[:, :8] == 0).all()
    assert (scribbles[:, 8:] != 0).all()


def test_a_slice_comes_with_the_one_below_and_the_one_above() -> None:
    planes = torch.arange(5.0).view(5, 1, 1).expand(5, 2, 3)
    gathered = with_neighbours(planes, torch.tensor([3, 0, 4]), neighbours=True)
    assert gathered.shape == (3, 3, 2, 3)
    assert gathered[:, :, 0, 0].tolist() == [[2, 3, 4], [0, 0, 1], [3, 4, 4]]


def test_without_neighbours_a_slice_comes_three_times() -> None:
    planes = torch.arange(5.0).view(5, 1, 1)
    assert with_neighbours(planes, torch.tensor([3, 0]), neighbours=False).flatten(1).tolist() == [[3] * 3, [0] * 3]
