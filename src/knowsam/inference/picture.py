"""Pictures of a result: slices of a volume with its classes in colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from knowsam.data.intensity import intensity_range
from knowsam.errors import OutputError

Color = tuple[int, int, int]
Pixels = NDArray[np.uint8]

COLUMNS = 4
TILE_PX = 320
GAP_PX = 8
CAPTION_PX = 22
FONT_PX = 14
CLIP_PERCENT = 0.5
FILL_OPACITY = 0.3
CONTOUR_PX = 3
REFERENCE_PX = 1
WHITE: Color = (255, 255, 255)


def montage(
    image_zyx: NDArray[Any],
    labels_zyx: NDArray[Any],
    *,
    axis: int,
    indices: Sequence[int],
    spacing_mm: tuple[float, float, float],
    colors: Mapping[int, Color],
    reference: NDArray[Any] | None = None,
    captions: Sequence[str] | None = None,
) -> Image.Image:
    """Return a picture of some slices: classes filled and outlined in colour, a reference outlined in white.

    Parameters
    ----------
    image_zyx : (Z, Y, X) intensities; all tiles share one window.
    labels_zyx : (Z, Y, X) class values.
    axis : the axis across which the volume is sliced: 0, 1 or 2 for z, y or x.
    indices : the slices to show, in this order.
    spacing_mm : voxel spacing in (z, y, x); gives the tiles their aspect.
    colors : red, green and blue (0 to 255) of each class; a class without a colour is not drawn.
    reference : (Z, Y, X) class values to compare with.
    captions : one line under each tile; by default axis and index of its slice.

    Raises
    ------
    ValueError
        If there is no slice to show, or not one caption for each slice.
    """
    captions = [f"{'zyx'[axis]} = {index}" for index in indices] if captions is None else captions
    if not indices or len(captions) != len(indices):
        raise ValueError(f"There are {len(captions)} captions for {len(indices)} slices; each slice needs one.")
    low, high = intensity_range(image_zyx, CLIP_PERCENT)
    size_px = _tile_size_px(np.delete(image_zyx.shape, axis), np.delete(spacing_mm, axis))
    tiles = []
    for index in indices:
        tile = _tile(image_zyx, labels_zyx, axis, index, (low, high), size_px, colors)
        if reference is not None:
            _outline_classes(tile, np.take(reference, index, axis), colors)
        tiles.append(tile)
    return _arranged(tiles, captions)


def thumbnail(
    image_zyx: NDArray[Any],
    labels_zyx: NDArray[Any],
    *,
    axis: int,
    spacing_mm: tuple[float, float, float],
    colors: Mapping[int, Color],
    side_px: int,
) -> Image.Image:
    """Return a small picture of the slice with most labels, or of the middle one where there are none.

    Parameters
    ----------
    image_zyx, labels_zyx, axis, spacing_mm, colors : as of `montage`.
    side_px : of the longer side.
    """
    areas_px = np.count_nonzero(np.moveaxis(labels_zyx, axis, 0), axis=(1, 2))
    index = int(areas_px.argmax()) if areas_px.any() else image_zyx.shape[axis] // 2
    slices = (slice(None),) * axis + (slice(index, index + 1),)
    low, high = intensity_range(image_zyx[slices], CLIP_PERCENT)
    size_px = _tile_size_px(np.delete(image_zyx.shape, axis), np.delete(spacing_mm, axis))
    picture = Image.fromarray(_tile(image_zyx, labels_zyx, axis, index, (low, high), size_px, colors))
    picture.thumbnail((side_px, side_px))
    return picture


def png(picture: Image.Image) -> bytes:
    """Return a picture as the content of a PNG file."""
    content = BytesIO()
    picture.save(content, format="PNG")
    return content.getvalue()


def write_png(path: Path, picture: Image.Image) -> None:
    """Write a picture as a PNG file; an existing one is replaced.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    try:
        path.write_bytes(png(picture))
    except OSError as error:
        raise OutputError(f"The picture {path} cannot be written: {error.strerror}. Choose another place.") from error


def _tile(
    image_zyx: NDArray[Any],
    labels_zyx: NDArray[Any],
    axis: int,
    index: int,
    window: tuple[float, float],
    size_px: tuple[int, int],
    colors: Mapping[int, Color],
) -> Pixels:
    """Return one slice, (H, W, 3), with its classes in colour."""
    grey = _enlarged(_windowed(np.take(image_zyx, index, axis), *window), size_px)
    tile = np.repeat(grey[..., None], 3, axis=-1)
    _paint_classes(tile, np.take(labels_zyx, index, axis), colors)
    return tile


def _windowed(plane: NDArray[Any], low: float, high: float) -> Pixels:
    return np.asarray(np.interp(plane, (low, high), (0, 255)), dtype=np.uint8)


def _tile_size_px(shape: NDArray[np.integer[Any]], spacing_mm: NDArray[np.floating[Any]]) -> tuple[int, int]:
    """Return height and width of a tile whose longer side has `TILE_PX`, in the proportions of the body."""
    extent_mm = shape * spacing_mm
    height, width = np.rint(extent_mm * TILE_PX / extent_mm.max()).astype(int).clip(min=1)
    return int(height), int(width)


def _enlarged(plane: Pixels, size_px: tuple[int, int]) -> Pixels:
    height, width = size_px
    return np.array(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC))


def _enlarged_mask(mask: NDArray[np.bool_], size_px: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask with a smooth border: where the interpolated mask is more in than out."""
    return np.greater(_enlarged(mask.astype(np.uint8) * 255, size_px), 127)


def _paint_classes(tile: Pixels, labels: NDArray[Any], colors: Mapping[int, Color]) -> None:
    for value in np.intersect1d(labels, list(colors)):
        mask, color = _enlarged_mask(labels == value, tile.shape[:2]), colors[int(value)]
        tile[mask] = (1 - FILL_OPACITY) * tile[mask] + FILL_OPACITY * np.array(color)
        tile[_contour(mask, CONTOUR_PX)] = color


def _outline_classes(tile: Pixels, labels: NDArray[Any], colors: Mapping[int, Color]) -> None:
    for value in np.intersect1d(labels, list(colors)):
        tile[_contour(_enlarged_mask(labels == value, tile.shape[:2]), REFERENCE_PX)] = WHITE


def _contour(mask: NDArray[np.bool_], width_px: int) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = ndimage.binary_erosion(mask, iterations=width_px)
    return mask & ~inside


def _arranged(tiles: Sequence[Pixels], captions: Sequence[str]) -> Image.Image:
    """Return the tiles in rows of `COLUMNS` on black, each with its caption below."""
    height, width = tiles[0].shape[:2]
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    montage = Image.new("RGB", (columns * (width + GAP_PX) - GAP_PX, rows * (height + CAPTION_PX)))
    draw = ImageDraw.Draw(montage)
    font = ImageFont.load_default(FONT_PX)
    for position, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        row, column = divmod(position, columns)
        left, top = column * (width + GAP_PX), row * (height + CAPTION_PX)
        montage.paste(Image.fromarray(tile), (left, top))
        draw.text((left + width / 2, top + height + CAPTION_PX / 2), caption, fill=WHITE, font=font, anchor="mm")
    return montage
