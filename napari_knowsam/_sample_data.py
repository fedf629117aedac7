"""The sample: an invented abdomen, alone or with three of its slices painted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass, default_classes
from knowsam.data.orientation import working_axis, working_index
from knowsam.data.volume import Volume
from knowsam.io.image import read_volume
from knowsam.io.labels import read_labels
from knowsam.io.sample import sample_folder
from napari_knowsam.volume_layers import LayerData, image_layer_data, labels_layer_data

_FILE_AXIS = 2
_PAINTED = (9, 16, 21)
"""Slices along that axis of the file; between them they show every structure and cut the lesion once."""

_NAMES = ("liver", "kidneys", "lesion")


def phantom() -> list[LayerData]:
    """Return the image of the sample."""
    # Without the folder, since masks do not belong where the sample is installed.
    return [image_layer_data(replace(read_volume(sample_folder() / "phantom.nii.gz"), folder=None))]


def painted_phantom() -> list[LayerData]:
    """Return the image of the sample and a labels layer in which three slices are painted."""
    truth = read_labels(sample_folder() / "phantom_labels.nii.gz")
    painted = Volume(_painted_slices(truth), truth.grid, "phantom labels")
    return [*phantom(), labels_layer_data(painted, _classes())]


def _painted_slices(truth: Volume) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    axis = working_axis(truth.grid, _FILE_AXIS)
    painted = np.zeros(truth.shape[axis], dtype=bool)
    painted[[working_index(truth.grid, _FILE_AXIS, index) for index in _PAINTED]] = True
    return np.where(np.expand_dims(painted, [other for other in range(3) if other != axis]), truth.array, np.uint8(0))


def _classes() -> tuple[LabelClass, ...]:
    numbered = default_classes(range(1, len(_NAMES) + 1))[1:]
    named = (LabelClass(c.value, name, c.color) for c, name in zip(numbered, _NAMES, strict=True))
    return (BACKGROUND_CLASS, *named)
