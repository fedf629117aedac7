"""Which axis was painted along: where labels break off, however thin the structure and whatever else was dabbed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from knowsam.data.painted_axis import axis_across_strokes, plausible_axes
from knowsam.data.volume import Grid, Volume

Labels = NDArray[np.uint8]
Z, Y, X = np.indices((60, 40, 40))
CORD = (((Y - 20 - 3 * np.sin(Z / 20)) / 4) ** 2 + ((X - 20) / 5) ** 2 < 1).astype(np.uint8)
BALL = ((Z - 30) ** 2 + (Y - 20) ** 2 + (X - 20) ** 2 < 15**2).astype(np.uint8)
KIDNEYS = sum(((Z - 30) / 15) ** 2 + ((Y - 20) / 8) ** 2 + ((X - x) / 6) ** 2 < 1 for x in (10, 30)).astype(np.uint8)
CUBE = ((abs(Z - 30) < 10) & (abs(Y - 20) < 10) & (abs(X - 20) < 10)).astype(np.uint8)
VESSEL = ((abs(Z - 30) < 2) & (abs(Y - 20) < 2)).astype(np.uint8)
"""3 x 3 voxels, along the last axis."""


def volume(labels: Labels, spacing_mm: tuple[float, float, float] = (1, 1, 1)) -> Volume:
    z, y, x = spacing_mm
    return Volume(labels, Grid(labels.shape[::-1], np.diag([-x, -y, -z, 1.0])))


def painted(structure: Labels, axis: int, indices: Iterable[int]) -> Labels:
    labels = np.zeros_like(structure)
    for index in indices:
        np.moveaxis(labels, axis, 0)[index] = np.moveaxis(structure, axis, 0)[index]
    return labels


def axes_of(*labels: Labels) -> tuple[int, ...]:
    return plausible_axes([volume(one) for one in labels])


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("structure", [CORD, BALL, KIDNEYS], ids=["cord", "ball", "kidneys"])
@pytest.mark.parametrize("indices", [range(0, 40, 2), range(1, 40, 5), [20], [18, 22], [19, 20, 21]], ids=str)
def test_painted_slices_tell_their_axis(axis: int, structure: Labels, indices: Sequence[int]) -> None:
    if axis == 2 and structure is KIDNEYS:
        indices = [*indices, *(index + 10 for index in indices if index < 30)]
    assert axes_of(painted(structure, axis, indices)) == (axis,)


@pytest.mark.parametrize(("axis", "indices"), [(0, [30]), (1, [20]), (2, range(2, 40, 5))], ids=str)
def test_the_axis_of_a_vessel_is_found_along_and_across_it(axis: int, indices: Sequence[int]) -> None:
    assert axes_of(painted(VESSEL, axis, indices)) == (axis,)


def test_stray_voxels_in_other_slices_change_nothing() -> None:
    labels = painted(BALL, 1, range(8, 33, 4))
    labels[tuple(np.random.default_rng(0).integers(0, 40, (3, 30)))] = 1
    assert axes_of(labels) == (1,)


def test_classes_painted_in_different_slices_have_one_axis() -> None:
    assert axes_of(painted(KIDNEYS, 1, [16, 24]) + 2 * painted(BALL, 1, [12, 28])) == (1,)


@pytest.mark.parametrize(("spacing_mm", "axis"), [((1, 1, 1), 0), ((1, 3, 1), 1), ((1, 1, 1.005), 0), ((1, 1, 5), 2)])
@pytest.mark.parametrize("structure", [BALL, CUBE, np.zeros_like(BALL)], ids=["ball", "cube", "empty"])
def test_whole_masks_are_taken_in_the_plane_of_the_best_resolution(
    structure: Labels, spacing_mm: tuple[float, float, float], axis: int
) -> None:
    assert plausible_axes([volume(structure, spacing_mm)]) == (axis,)


def test_labels_that_may_have_been_painted_along_several_axes_are_not_guessed() -> None:
    lesion = np.zeros_like(BALL)
    lesion[29:32, 19:22, 19:22] = 1
    assert sorted(axes_of(lesion)) == [0, 1, 2]
    line = np.zeros_like(BALL)
    line[30, 20, 5:35] = 1
    assert sorted(axes_of(line)) == [0, 1]
    assert sorted(axes_of(painted(BALL, 0, [30]) | painted(BALL, 2, [20]))) == [0, 2]


def test_a_small_box_is_taken_in_the_plane_of_the_best_resolution_if_one_is_much_better() -> None:
    lesion = np.zeros_like(BALL)
    lesion[29:32, 19:24, 19:23] = 1
    assert plausible_axes([volume(lesion, (3, 1, 1))]) == (0,)
    assert len(plausible_axes([volume(lesion, (1, 1, 3))])) > 1


def test_the_axis_comes_from_volumes_that_show_it_and_they_must_agree() -> None:
    coronal, sagittal = painted(BALL, 1, [20]), painted(BALL, 2, [20])
    assert axes_of(BALL, coronal) == (1,)
    assert axes_of(painted(BALL, 0, [30]) | sagittal, sagittal) == (2,)
    assert sorted(axes_of(coronal, sagittal)) == [1, 2]


@pytest.mark.parametrize("axis", range(3))
def test_thin_strokes_in_every_slice_tell_their_axis(axis: int) -> None:
    strokes = np.zeros_like(BALL)
    for index in range(strokes.shape[axis]):
        plane = np.moveaxis(strokes, axis, 0)[index]
        row = 10 + 7 * index % 20
        plane[row, 8:30], plane[8:30, row] = 1, 2
    assert axis_across_strokes([volume(strokes)]) == axis


@pytest.mark.parametrize(
    "structure", [BALL, CUBE, KIDNEYS, np.zeros_like(BALL)], ids=["ball", "cube", "kidneys", "empty"]
)
def test_structures_that_are_no_strokes_tell_nothing_of_it(structure: Labels) -> None:
    assert axis_across_strokes([volume(structure)]) is None
