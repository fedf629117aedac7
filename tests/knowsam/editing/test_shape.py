"""Structures are changed by millimetres, not by voxels, and keep what the tool has nothing to do with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from knowsam.editing.shape import grown, piece_at, smoothed, without_holes

Mask = npt.NDArray[np.bool_]


def mask_of(*rows: str) -> Mask:
    return np.array([[letter == "#" for letter in row] for row in rows])


def ball(radius_mm: float, spacing_mm: tuple[float, ...]) -> Mask:
    sides = [2 * round(radius_mm / mm) + 9 for mm in spacing_mm]
    axes = np.ogrid[tuple(slice(-(n // 2), n - n // 2) for n in sides)]
    inside: Mask = sum((axis * mm) ** 2 for axis, mm in zip(axes, spacing_mm, strict=True)) <= radius_mm**2
    return inside


def test_a_structure_grows_by_millimetres_along_each_axis() -> None:
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = True
    grew = grown(mask, 2.0, (2.0, 1.0))
    assert (grew.sum(0).nonzero()[0] - 4).tolist() == [-2, -1, 0, 1, 2]
    assert (grew.sum(1).nonzero()[0] - 4).tolist() == [-1, 0, 1]


def test_what_has_grown_shrinks_back_to_what_it_was() -> None:
    mask = ball(6.0, (1.0, 1.0, 2.0))
    assert np.array_equal(grown(grown(mask, 2.0, (1.0, 1.0, 2.0)), -2.0, (1.0, 1.0, 2.0)), mask)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (3.0, 0.7, 0.9)])
@pytest.mark.parametrize("margin_mm", [0.5, 2.1, 3.0, 7.5, 40.0])
def test_growing_agrees_with_a_distance_transform(spacing_mm: tuple[float, ...], margin_mm: float) -> None:
    mask = np.random.default_rng(0).random((12, 20, 24)) > 0.998
    distance_mm = ndimage.distance_transform_edt(~mask, sampling=spacing_mm)
    assert np.array_equal(grown(mask, margin_mm, spacing_mm), distance_mm <= margin_mm + 1e-6)
    assert np.array_equal(grown(~mask, -margin_mm, spacing_mm), distance_mm > margin_mm + 1e-6)


def test_at_the_border_of_the_image_a_structure_is_not_shrunk() -> None:
    mask = np.zeros((5, 9), bool)
    mask[:, :4] = True
    assert np.array_equal(grown(mask, -1.0, (1.0, 1.0)).sum(1), [3] * 5)


def test_smoothing_takes_a_spike_away_and_keeps_the_size() -> None:
    mask = ball(8.0, (1.0, 1.0))
    spiked = mask.copy()
    spiked[12, 20:24] = True
    smooth = smoothed(spiked, 2.0, (1.0, 1.0))
    assert not smooth[12, 22:].any()
    assert smooth.sum() == pytest.approx(spiked.sum(), rel=0.03)


def test_smoothing_evens_out_slices_that_jump_to_and_fro() -> None:
    volume = np.zeros((9, 40, 40), bool)
    for index in range(9):
        left = 8 + 3 * (index % 2)
        volume[index, 10:30, left : left + 20] = True
    before, after = (np.count_nonzero(one[1:] != one[:-1]) for one in (volume, smoothed(volume, 2.0, (1.0, 1.0, 1.0))))
    assert after < before / 3


def test_holes_are_filled_and_bays_are_not() -> None:
    ring = mask_of("......", ".####.", ".#..#.", ".####.", "......")
    bay = mask_of("......", ".####.", ".#..#.", ".#..#.", "......")
    assert without_holes(ring).sum() == ring.sum() + 2
    assert np.array_equal(without_holes(bay), bay)


def test_a_hole_at_the_border_of_the_image_is_open() -> None:
    mask = mask_of("#.#", "###")
    assert np.array_equal(without_holes(mask), mask)


def test_a_tunnel_through_a_volume_is_no_hole() -> None:
    shell = np.ones((5, 5, 5), bool)
    shell[2, 2, 2] = False
    assert without_holes(shell).all()
    shell[:, 2, 2] = False
    assert np.array_equal(without_holes(shell), shell)


def test_pixels_that_touch_at_a_corner_are_one_piece() -> None:
    mask = mask_of("#....", ".#..#")
    assert piece_at(mask, (0, 0)).sum() == 2
    assert piece_at(mask, (1, 4)).sum() == 1
    assert not piece_at(mask, (0, 4)).any()


@pytest.mark.parametrize("margin_mm", [2.0, -2.0])
def test_where_there_is_nothing_nothing_comes(margin_mm: float) -> None:
    nothing = np.zeros((4, 5), bool)
    for result in (grown(nothing, margin_mm, (1, 1)), smoothed(nothing, 1.0, (1, 1)), without_holes(nothing)):
        assert not result.any()
