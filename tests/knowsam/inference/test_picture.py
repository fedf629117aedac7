from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from knowsam.errors import OutputError
from knowsam.inference.picture import (
    CAPTION_PX,
    CONTOUR_PX,
    FILL_OPACITY,
    GAP_PX,
    TILE_PX,
    WHITE,
    montage,
    thumbnail,
    write_png,
)

RED = (200, 0, 0)


def drawn(folder: Path, **changes: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the pixels of a montage of a 6 x 10 x 10 volume: black, its last slice white, a class in its middle."""
    image = np.zeros((6, 10, 10))
    image[5] = 1.0
    labels = np.zeros(image.shape, dtype=np.uint8)
    labels[2:4, 3:7, 3:7] = 1
    options = {"axis": 0, "indices": [2], "spacing_mm": (2.0, 1.0, 1.0), "colors": {1: RED}} | changes
    write_png(folder / "montage.png", montage(image, labels, **options))
    with Image.open(folder / "montage.png") as picture:
        return np.asarray(picture)


def test_a_class_is_filled_translucent_and_outlined_opaque(tmp_path: Path) -> None:
    pixels = drawn(tmp_path)
    voxel_px = TILE_PX // 10
    middle, edge = TILE_PX // 2, 3 * voxel_px
    assert pixels[middle, middle].tolist() == [int(FILL_OPACITY * 200), 0, 0]
    assert pixels[middle, 2 * voxel_px].tolist() == [0, 0, 0]
    outline = np.flatnonzero((pixels[middle, :middle] == RED).all(axis=-1))
    assert len(outline) == CONTOUR_PX
    assert abs(outline[0] - edge) <= 1


def test_a_reference_is_outlined_in_white(tmp_path: Path) -> None:
    reference = np.zeros((6, 10, 10), dtype=np.uint8)
    reference[2, 1:9, 1:9] = 1
    pixels = drawn(tmp_path, reference=reference)[:TILE_PX]
    rows = np.flatnonzero((pixels == WHITE).all(axis=-1).any(axis=1))
    assert abs(rows[0] - TILE_PX / 10) <= 2
    assert abs(rows[-1] - 9 * TILE_PX / 10) <= 2
    assert not (drawn(tmp_path)[:TILE_PX] == WHITE).all(axis=-1).any()


@pytest.mark.parametrize(
    ("axis", "spacing_mm", "height_px", "width_px"),
    [
        (0, (9.0, 1.0, 2.0), TILE_PX // 2, TILE_PX),
        (1, (2.0, 9.0, 1.0), TILE_PX, TILE_PX * 10 // 12),
        (2, (1.0, 1.2, 9.0), TILE_PX // 2, TILE_PX),
    ],
)
def test_tiles_have_the_proportions_of_the_body(
    tmp_path: Path, axis: int, spacing_mm: tuple[float, float, float], height_px: int, width_px: int
) -> None:
    pixels = drawn(tmp_path, axis=axis, spacing_mm=spacing_mm)
    assert abs(pixels.shape[0] - CAPTION_PX - height_px) <= 1
    assert abs(pixels.shape[1] - width_px) <= 1


def test_tiles_stand_in_rows_of_four(tmp_path: Path) -> None:
    pixels = drawn(tmp_path, indices=[0, 1, 2, 3, 4])
    assert pixels.shape == (2 * (TILE_PX + CAPTION_PX), 4 * TILE_PX + 3 * GAP_PX, 3)
    third_tile = pixels[:TILE_PX, 2 * (TILE_PX + GAP_PX) :][:, :TILE_PX]
    fifth_tile = pixels[TILE_PX + CAPTION_PX :, :TILE_PX][:TILE_PX]
    assert third_tile.any()
    assert not fifth_tile.any()


def test_each_tile_carries_its_caption(tmp_path: Path) -> None:
    plain, named = drawn(tmp_path), drawn(tmp_path, captions=["a lesion"])
    assert plain[TILE_PX:].any()
    assert (plain[TILE_PX:] != named[TILE_PX:]).any()
    np.testing.assert_array_equal(plain[:TILE_PX], named[:TILE_PX])


def test_all_tiles_share_one_window() -> None:
    image = np.zeros((2, 10, 10))
    image[1] = 100.0
    picture = montage(image, np.zeros(image.shape), axis=0, indices=[0, 1], spacing_mm=(1, 1, 1), colors={})
    pixels = np.asarray(picture)[:TILE_PX]
    assert pixels[:, :TILE_PX].max() == 0
    assert pixels[:, -TILE_PX:].min() == 255


@pytest.mark.parametrize(("indices", "captions"), [([], None), ([1, 2], ["only one"])])
def test_slices_and_captions_must_match(tmp_path: Path, indices: list[int], captions: list[str] | None) -> None:
    with pytest.raises(ValueError, match="each slice needs one"):
        drawn(tmp_path, indices=indices, captions=captions)


def test_a_place_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file or directory"):
        drawn(tmp_path / "missing")


@pytest.mark.parametrize(("has_labels", "brightest"), [(True, 4), (False, 3)])
def test_a_thumbnail_shows_the_slice_with_most_labels_or_the_middle_one(has_labels: bool, brightest: int) -> None:
    image = np.random.default_rng(0).random((6, 10, 20))
    image[brightest, :, 10:] += 9
    labels = np.zeros(image.shape, np.uint8)
    labels[1, :2, :2] = labels[4, :5, :5] = has_labels
    picture = thumbnail(image, labels, axis=0, spacing_mm=(5.0, 1.0, 1.0), colors={1: RED}, side_px=48)
    pixels = np.asarray(picture)
    assert pixels.shape == (24, 48, 3)
    assert pixels[:, 30:].mean() > pixels[12:, :20].mean() + 100
    assert (pixels[5, 5, 0] > pixels[5, 5, 1]) == has_labels
