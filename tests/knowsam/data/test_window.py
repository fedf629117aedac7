"""The way from a slice to the network plane and back."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from knowsam.config import PlaneConfig
from knowsam.data.annotation import (
    BACKGROUND,
    BACKGROUND_CLASS,
    IGNORE,
    Annotation,
    LabelClass,
    LabelSlice,
    default_classes,
)
from knowsam.data.window import (
    PLANE_MULTIPLE,
    Window,
    annotated_box,
    pixel_size_mm,
    pixels_to_see,
    plane_for,
    whole_slice_window,
    window_at,
    with_margin,
)

SLICE_SHAPE = (9, 11)
INSIDE = Window((2, 3), (7, 10), (16, 16))
OVER_THE_CORNER = Window((-2, 6), (4, 14), (16, 16))
AROUND = Window((-3, -1), (12, 13), (16, 16))


def planes() -> np.ndarray:
    return np.arange(2 * 9 * 11, dtype=np.float32).reshape(2, *SLICE_SHAPE)


@pytest.mark.parametrize("window", [INSIDE, OVER_THE_CORNER, AROUND], ids=["inside", "corner", "around"])
def test_what_was_cropped_is_pasted_where_it_came_from(window: Window) -> None:
    pasted = np.full((2, *SLICE_SHAPE), -1, dtype=np.float32)
    window.paste(window.crop(planes()), into=pasted)
    inside = np.zeros(SLICE_SHAPE, dtype=bool)
    for y, x in product(range(9), range(11)):
        inside[y, x] = window.start[0] <= y < window.stop[0] and window.start[1] <= x < window.stop[1]
    np.testing.assert_array_equal(pasted, np.where(inside, planes(), -1))


@pytest.mark.parametrize("window", [INSIDE, OVER_THE_CORNER, AROUND], ids=["inside", "corner", "around"])
def test_a_crop_has_the_extent_of_the_window(window: Window) -> None:
    assert window.crop(planes()).shape == (2, *window.extent)
    assert window.crop(planes()[0], fill=0).shape == window.extent


def test_outside_the_slice_the_edge_goes_on() -> None:
    crop = OVER_THE_CORNER.crop(planes())
    np.testing.assert_array_equal(crop[:, :2], np.repeat(crop[:, 2:3], 2, axis=1))
    np.testing.assert_array_equal(crop[:, :, 5:], np.repeat(crop[:, :, 4:5], 3, axis=2))
    assert crop[0, 2, 4] == planes()[0, 0, 10]


def test_outside_the_slice_a_fill_value_stands_if_one_is_given() -> None:
    crop = OVER_THE_CORNER.crop(np.ones(SLICE_SHAPE, dtype=np.uint8), fill=IGNORE)
    assert (crop[:2] == IGNORE).all()
    assert (crop[:, 5:] == IGNORE).all()
    assert (crop[2:, :5] == 1).all()


def annotation_with(*painted: tuple[int, slice, slice]) -> Annotation:
    annotation = Annotation((5, *SLICE_SHAPE), 0, (BACKGROUND_CLASS, LabelClass(1, "organ", (9, 9, 9))))
    for index, rows, columns in painted:
        labels = np.full(SLICE_SHAPE, BACKGROUND if index % 2 else IGNORE, dtype=np.uint8)
        labels[rows, columns] = 1
        annotation = annotation.with_slice(LabelSlice(0, index, labels))
    return annotation


def test_the_annotated_box_holds_what_was_painted_in_any_slice_and_no_more() -> None:
    annotation = annotation_with((0, slice(2, 4), slice(5, 6)), (3, slice(3, 7), slice(1, 3)))
    assert annotated_box(annotation) == ((2, 1), (7, 6))


def test_without_a_painted_pixel_the_box_is_the_whole_slice() -> None:
    assert annotated_box(annotation_with((1, slice(0), slice(0)))) == ((0, 0), SLICE_SHAPE)


def test_the_margin_is_a_share_of_the_box() -> None:
    config = PlaneConfig(margin=0.25, min_margin_px=2)
    assert with_margin(((100, 100), (140, 108)), (512, 512), config) == ((90, 98), (150, 110))


def test_the_margin_ends_at_the_slice() -> None:
    config = PlaneConfig(margin=0.0, min_margin_px=8)
    assert with_margin(((3, 0), (60, 30)), (64, 32), config) == ((0, 0), (64, 32))


@pytest.mark.parametrize(
    ("extent_mm", "spacing_mm", "expected_mm"),
    [((60.0, 40.0), (1.0, 1.0), 1.0), ((60.0, 40.0), (2.0, 0.5), 0.5), ((256.0, 40.0), (1.0, 1.0), 2.0)],
    ids=["the voxel", "the finer spacing", "coarser for a large region"],
)
def test_the_pixel_size(extent_mm: tuple[float, float], spacing_mm: tuple[float, float], expected_mm: float) -> None:
    assert pixel_size_mm(extent_mm, spacing_mm, max_side_px=128) == expected_mm


@pytest.mark.parametrize(
    ("extent_mm", "pixel_mm", "plane"),
    [
        ((32.0, 33.0), 1.0, (32, 48)),
        ((1.0, 0.1), 1.0, (32, 32)),
        ((128.0, 64.0), 0.5, (256, 128)),
        # 48 * 0.4 / 0.4 is a little more than 48 in floating point.
        ((48 * 0.4, 112 * 0.4), 0.4, (48, 112)),
    ],
)
def test_a_plane_is_the_smallest_multiple_of_16_from_32_on_that_holds_the_extent(
    extent_mm: tuple[float, float], pixel_mm: float, plane: tuple[int, int]
) -> None:
    assert plane_for(extent_mm, pixel_mm) == plane


def test_a_window_has_square_pixels_on_voxels_that_are_not_square() -> None:
    window = window_at((50.0, 40.0), (32, 64), pixel_mm=0.5, spacing_mm=(2.0, 0.5))
    assert window == Window((46, 8), (54, 72), (32, 64))


def test_any_box_lies_inside_the_window_made_for_it() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        spacing_mm = float(rng.uniform(0.3, 3)), float(rng.uniform(0.3, 3))
        start, size = rng.integers(0, 40, 2), rng.integers(1, 60, 2)
        extent_mm = float(size[0] * spacing_mm[0]), float(size[1] * spacing_mm[1])
        pixel_mm = pixel_size_mm(extent_mm, spacing_mm, max_side_px=64)
        plane = plane_for(extent_mm, pixel_mm)
        center = float(start[0] + size[0] / 2), float(start[1] + size[1] / 2)
        window = window_at(center, plane, pixel_mm, spacing_mm)
        assert all(side % PLANE_MULTIPLE == 0 and side <= 64 for side in plane)
        assert (np.array(window.start) <= start).all()
        assert (np.array(window.stop) >= start + size).all()


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0), (1.5, 0.4)])
def test_the_window_of_a_whole_slice_covers_it(spacing_mm: tuple[float, float]) -> None:
    window = whole_slice_window((101, 67), spacing_mm, pixel_mm=0.8)
    assert max(window.start) <= 0
    assert window.stop[0] >= 101
    assert window.stop[1] >= 67


def test_a_window_recognises_pixels_outside_and_at_its_edge() -> None:
    mask = np.zeros((2, *SLICE_SHAPE), dtype=bool)
    mask[1, 4, 5] = True
    assert not INSIDE.leaves_out(mask)
    assert not INSIDE.is_touched(mask)
    mask[0, 6, 5] = True
    assert INSIDE.is_touched(mask)
    assert not INSIDE.leaves_out(mask)
    mask[0, 7, 5] = True
    assert INSIDE.leaves_out(mask)


def test_the_edge_of_the_slice_is_no_edge_of_the_window() -> None:
    assert not AROUND.is_touched(np.ones((1, *SLICE_SHAPE), dtype=bool))
    corner = np.zeros((1, *SLICE_SHAPE), dtype=bool)
    corner[0, 0, 10] = True
    assert not OVER_THE_CORNER.is_touched(corner)


def test_of_scribbles_the_background_round_them_is_to_be_seen_too() -> None:
    labels = np.full((200, 200), IGNORE, np.uint8)
    labels[100, 90:100] = 1
    structures = pixels_to_see(LabelSlice(0, 0, labels))
    assert np.count_nonzero(structures) == 10
    labels[75, 90:100] = labels[10] = 0
    seen = pixels_to_see(LabelSlice(0, 0, labels))
    assert seen[75].any()
    assert not seen[10].any()
    assert np.count_nonzero(seen) == 20
    annotation = Annotation((1, 200, 200), 0, default_classes([1])).with_slice(LabelSlice(0, 0, labels))
    assert annotated_box(annotation) == ((75, 90), (101, 100))
