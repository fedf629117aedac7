"""Strays: a dab in a slice nobody meant to paint is named, the tip of a structure is not."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from knowsam.data.painted_slices import PaintedSlices, painted_by_default
from knowsam.data.stray_labels import StrayLabel, stray_labels
from knowsam.data.volume import Grid, Volume

Z, Y, X = np.indices((40, 64, 64))
BALL = ((Z - 20) / 15.2) ** 2 + ((Y - 32) / 18) ** 2 + ((X - 32) / 16) ** 2 < 1
IN_33 = np.count_nonzero(BALL[33])


def painted(*dabs: tuple[int, int, int, int], slices: Sequence[int] = (6, 20, 33)) -> PaintedSlices:
    """Return slices of a ball, with voxels (z, y, x) of a value beside."""
    labels = np.zeros(BALL.shape, np.uint8)
    labels[list(slices)] = BALL[list(slices)]
    for z, y, x, value in dabs:
        labels[z, y, x] = value
    return with_labels(labels)


def with_labels(labels: NDArray[np.uint8], ignore_value: int | None = None) -> PaintedSlices:
    return painted_by_default(Volume(labels, Grid(labels.shape[::-1], np.diag([-1.0, -1, -1, 1]))), 0, ignore_value)


def test_a_single_voxel_between_painted_slices_is_named_with_what_was_expected() -> None:
    (stray,) = stray_labels(painted((26, 10, 10, 1)))
    assert (stray.index, stray.value, stray.voxels) == (26, 1, 1)
    assert IN_33 < stray.expected < np.count_nonzero(BALL[20])


@pytest.mark.parametrize("side_vx", [2, 3])
def test_a_click_of_a_small_brush_is_a_dab_however_near_the_end_of_the_structure(side_vx: int) -> None:
    corners = itertools.product(range(side_vx), repeat=2)
    assert [stray.index for stray in stray_labels(painted(*((26, 30 + y, 30 + x, 1) for y, x in corners)))] == [26]


@pytest.mark.parametrize("place", [(26, 32, 32), (24, 1, 1), (39, 2, 2), (0, 60, 60)], ids=str)
def test_a_dab_is_found_in_the_middle_of_the_structure_and_beyond_its_ends(place: tuple[int, int, int]) -> None:
    assert [stray.index for stray in stray_labels(painted((*place, 1)))] == [place[0]]


def test_dabs_in_neighbouring_slices_do_not_hide_each_other() -> None:
    dabs = [(z, 10, 10, 1) for z in (25, 26, 27)] + [(26, 11, 10, 1)]
    assert [(stray.index, stray.voxels) for stray in stray_labels(painted(*dabs))] == [(25, 1), (26, 2), (27, 1)]


def test_a_dab_of_another_class_in_a_painted_slice_is_found() -> None:
    assert [(stray.index, stray.value) for stray in stray_labels(painted((20, 10, 10, 2)))] == [(20, 2)]


def test_a_class_painted_in_one_slice_only_is_meant() -> None:
    assert stray_labels(painted(*((20, y, 10, 2) for y in range(10, 15)))) == ()


@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_the_tips_of_a_structure_are_meant(step: int) -> None:
    assert stray_labels(painted(slices=range(step, 40, step))) == ()


def test_slices_annotated_in_part_are_not_meant_to_be_complete() -> None:
    labels = np.array(painted((26, 10, 10, 1)).labels.array)
    labels[26][labels[26] == 0] = 9
    assert stray_labels(with_labels(labels, ignore_value=9)) == ()


def test_the_sentence_names_the_slice_as_given() -> None:
    sentence = StrayLabel(26, 2, 1, 700).sentence("slice 13, counted from 0 in liver")
    assert "In slice 13, counted from 0 in liver, 1 voxel of label 2 makes it count" in sentence
