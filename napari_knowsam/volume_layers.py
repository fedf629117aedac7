"""Between volumes and layers: an axis-aligned layer in mm for every volume, and the volume behind every usable layer.

World positions on the screen are (z, y, x) in mm growing to inferior, posterior and left, so that they are the negated
RAS+ positions in reverse order. The axes of an oblique file are shown upright, turned about the origin of the world, so
that files with the same axes lie on each other as they do in the body; the true directions stay in the grid of the
volume, which every layer of the plugin carries.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from knowsam.data.annotation import LabelClass, default_classes
from knowsam.data.identity import NOBODY, Identity, require_same_identity
from knowsam.data.intensity import shown_range
from knowsam.data.volume import Grid, Volume, require_same_grid
from knowsam.errors import InputError
from napari_knowsam.class_looks import class_looks

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer

LayerData = tuple[npt.NDArray[Any], dict[str, Any], Literal["image", "labels"]]
"""What napari calls a layer data tuple: the array, the keyword arguments of the layer and its kind."""

VOLUME_KEY = "knowsam"
"""Under this key of its metadata, a layer carries the `Volume` whose grid it lies on."""

CLASSES_KEY = "knowsam_classes"
"""Under this key of its metadata, a labels layer carries its tuple of `LabelClass`."""

BACKGROUND_BRUSH_KEY = "knowsam_background_brush"
"""Under this key of its metadata, a labels layer carries the value that stands for known background."""

AXIS_LABELS = ("z", "y", "x")

_TOLERANCE_VX = 1e-3

_EXACT_BITS = 26
"""Lengths of a layer are rounded to such a part of its spacing, 1.5e-8, so that napari's sums of them are exact.

It cuts the number of slices, (last - first) / spacing, to a whole number, and would often leave out the last slice.
"""


def layer_kwargs(volume: Volume) -> dict[str, Any]:
    """Return name, place and metadata of a layer that shows an array on the grid of this volume.

    `scale` is the spacing and `translate` the position of the first voxel along the axes of the volume, both (z, y, x)
    in mm.
    """
    directions = volume.affine[:3, :3] / volume.spacing_mm
    unit_mm = 2.0 ** (math.floor(math.log2(min(volume.spacing_mm))) - _EXACT_BITS)
    return {
        "name": volume.name or "image",
        "scale": _rounded(volume.spacing_mm, unit_mm),
        "translate": _rounded(np.linalg.solve(directions, volume.affine[:3, 3]), unit_mm),
        "units": ("mm",) * 3,
        "axis_labels": AXIS_LABELS,
        "metadata": {VOLUME_KEY: volume},
    }


def _rounded(lengths_mm: npt.ArrayLike, unit_mm: float) -> tuple[float, ...]:
    return tuple((np.rint(np.asarray(lengths_mm) / unit_mm) * unit_mm).tolist())


def image_layer_data(volume: Volume) -> LayerData:
    """Return a volume of grey values as layer data; the array is shared."""
    # napari takes three or four columns for colours.
    return volume.array, layer_kwargs(volume) | {"contrast_limits": shown_range(volume), "rgb": False}, "image"


def labels_layer_data(volume: Volume, classes: tuple[LabelClass, ...] | None = None) -> LayerData:
    """Return a volume of label values as layer data; the array is copied, since it will be painted on.

    Classes that are given or stand in the file have their colours and names on the layer.

    Raises
    ------
    InputError
        If no classes are given and the volume holds more values than there can be classes.
    """
    kwargs = layer_kwargs(volume)
    has_looks = bool(classes or volume.classes)
    if classes is None:
        classes = default_classes((int(value) for value in np.unique(volume.array)), known=volume.classes)
    if has_looks:
        kwargs |= class_looks(classes)
    kwargs["metadata"] |= {CLASSES_KEY: classes}
    return volume.array.copy(), kwargs, "labels"


def empty_labels_layer_data(volume: Volume) -> LayerData:
    """Return a labels layer (Z, Y, X) of uint8 on the grid of an image, with nothing painted."""
    name = f"{volume.name or 'image'} labels"
    # Not `zeros`, whose memory comes when it is first written: accepting a large volume would wait for it.
    return np.full(volume.shape, 0, dtype=np.uint8), layer_kwargs(volume) | {"name": name}, "labels"


def volume_of(layer: Image) -> Volume:
    """Return the volume that an image layer shows.

    A layer of this plugin knows the grid of its file. For any other one the grid is made from scale, translate and
    units, and its array is taken to lie in the working orientation.

    Raises
    ------
    InputError
        If the layer is no 3D image of finite grey values with at least two slices along each axis.
    """
    _refuse_kind(layer)
    grid = grid_of(layer)
    array = np.asarray(layer.data).reshape(grid.working_shape)
    _refuse_voxels(layer.name, array)
    own = own_volume(layer)
    if own is not None and np.shares_memory(own.array, array):
        return own
    return Volume(array.astype(np.uint8) if array.dtype == bool else array, grid, layer.name)


def has_known_orientation(layer: Layer) -> bool:
    """Tell whether the file of an image layer said where left, front and head are."""
    return own_volume(layer) is not None


def grid_of(layer: Layer) -> Grid:
    """Return the grid on which the array of an image or labels layer lies.

    Raises
    ------
    InputError
        If the layer is not 3D, or is rotated, sheared or mirrored.
    """
    if getattr(layer, "multiscale", False):
        raise InputError(
            f"The layer {layer.name} holds the image at several resolutions, but one resolution is needed. "
            "Open the image as a NIfTI file or as a DICOM folder."
        )
    own = own_volume(layer)
    if own is not None:
        return own.grid
    shape = _spatial_shape(layer.name, layer.data.shape)
    _refuse_transform(layer)
    mm_per_unit = [_mm_per_unit(unit) for unit in layer.units[-3:]]
    return screen_grid(shape, layer.scale[-3:] * mm_per_unit, layer.translate[-3:] * mm_per_unit)


def screen_grid(shape: Sequence[int], scale_mm: npt.ArrayLike, translate_mm: npt.ArrayLike) -> Grid:
    """Return the grid on which a layer's array (Z, Y, X) is a working array as it stands.

    Parameters
    ----------
    scale_mm, translate_mm : of the layer, (z, y, x).
    """
    affine = np.diag(np.append(-np.asarray(scale_mm, dtype=float)[::-1], 1.0))
    affine[:3, 3] = -np.asarray(translate_mm, dtype=float)[::-1]
    z, y, x = shape
    return Grid((x, y, z), affine)


def require_layers_match(image_layer: Image, labels_layer: Labels) -> None:
    """Check that a labels layer lies on the voxels of an image layer.

    Raises
    ------
    InputError
        If it has another shape, lies elsewhere, or belongs to another patient or study.
    """
    image, labels = own_volume(image_layer), own_volume(labels_layer)
    if image is not None and labels is not None:
        # The volume behind a labels layer may be an image, whose name would be no help in a message.
        image, labels = replace(image, name=image_layer.name), replace(labels, name=labels_layer.name)
        require_same_identity(image, labels)
        require_same_grid(image, labels)
        return
    _require_same_place(image_layer, labels_layer)


def lies_on(labels_layer: Labels, image_layer: Image) -> bool:
    """Tell whether a labels layer lies on the voxels of an image layer, as far as both are usable."""
    try:
        require_layers_match(image_layer, labels_layer)
    except InputError:
        return False
    return True


def _require_same_place(image_layer: Image, labels_layer: Labels) -> None:
    found, expected = (_place_on_screen(layer) for layer in (labels_layer, image_layer))
    names = f"labels {labels_layer.name}", f"image {image_layer.name}"
    if found.working_shape != expected.working_shape:
        _refuse_labels(names, "shape (z, y, x)", found.working_shape, expected.working_shape)
    tolerance_mm = _TOLERANCE_VX * np.array(expected.spacing_mm)
    if (np.abs(np.subtract(found.spacing_mm, expected.spacing_mm)) > tolerance_mm / found.shape).any():
        _refuse_labels(names, "voxel size in mm (z, y, x)", found.spacing_mm[::-1], expected.spacing_mm[::-1])
    if (np.abs(found.affine[:3, 3] - expected.affine[:3, 3]) > tolerance_mm).any():
        _refuse_labels(names, "position in mm (z, y, x)", -found.affine[2::-1, 3], -expected.affine[2::-1, 3])


def _refuse_labels(names: tuple[str, str], what: str, found: Iterable[float], expected: Iterable[float]) -> None:
    labels, image = names
    raise InputError(
        f"The {labels} have the {what} {_listed(found)}, but the {image} has {_listed(expected)}. "
        "Choose the labels that belong to this image, or make new ones."
    )


def _listed(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:.6g}" for number in numbers)


def _place_on_screen(layer: Layer) -> Grid:
    own = own_volume(layer)
    if own is None:
        return grid_of(layer)
    place = layer_kwargs(own)
    return screen_grid(own.shape, place["scale"], place["translate"])


def own_volume(layer: Layer) -> Volume | None:
    """Return the volume a layer of this plugin carries, unless its array has been replaced by one of another shape."""
    volume = layer.metadata.get(VOLUME_KEY)
    fits = isinstance(volume, Volume) and volume.shape == tuple(layer.data.shape)
    return volume if fits else None


def identity_of(layer: Layer) -> Identity:
    """Return the identity in the file of a layer."""
    own = own_volume(layer)
    return NOBODY if own is None else own.identity


def _refuse_kind(layer: Image) -> None:
    if layer.rgb:
        raise InputError(
            f"The layer {layer.name} is a colour image, but grey values are needed. "
            "Open the grey image, or split the colours into layers (Layers > Data > Split RGB)."
        )
    if np.dtype(layer.dtype).kind not in "biuf":
        raise InputError(
            f"The layer {layer.name} holds {layer.dtype} voxels, but real numbers are needed. Open the magnitude image."
        )


def _spatial_shape(name: str, shape: Sequence[int]) -> tuple[int, int, int]:
    *frames, z, y, x = (1, 1, *shape) if len(shape) < 3 else shape
    if len(shape) < 3 or any(count > 1 for count in frames):
        raise InputError(
            f"The layer {name} has the shape {tuple(shape)}, but a single 3D volume is needed. "
            "Open a whole volume; save one time point of several as its own file."
        )
    return z, y, x


def _refuse_transform(layer: Layer) -> None:
    upright = np.allclose(layer.rotate, np.eye(layer.ndim)) and not np.any(layer.shear)
    if upright and np.allclose(layer.affine.affine_matrix, np.eye(layer.ndim + 1)) and (layer.scale > 0).all():
        return
    raise InputError(
        f"The layer {layer.name} is rotated, sheared, mirrored or moved by a matrix, but a volume along the axes of "
        "the screen is needed. Open its file with KnowSAM."
    )


def _mm_per_unit(unit: Any) -> float:
    # A layer that names no length, which napari calls pixels, is taken to be in mm.
    return float((1 * unit).to("mm").magnitude) if unit.is_compatible_with("mm") else 1.0


def _refuse_voxels(name: str, array: npt.NDArray[Any]) -> None:
    if min(array.shape) < 2:
        raise InputError(
            f"The layer {name} has the shape {array.shape}, but at least two slices along every axis are needed. "
            "Open a whole volume."
        )
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(
            f"The layer {name} contains NaN or infinite values, but grey values are needed. "
            "Open its file with KnowSAM, which can take them for background."
        )
    if low == high:
        raise InputError(
            f"All voxels of the layer {name} have the value {low}, so there is nothing to segment. Choose the image."
        )
