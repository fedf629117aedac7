"""Open image files, and DICOM files and folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import napari

from knowsam.errors import InputError
from knowsam.io.dicom.files import holds_dicom, is_dicom
from knowsam.io.dicom.seg_reader import is_dicom_seg
from knowsam.io.image import image_choices
from knowsam.io.image_file import is_called_mask, is_image_name
from knowsam.io.labels import read_labels
from napari_knowsam.choice_dialog import ask_choice
from napari_knowsam.error_messages import errors_shown, notices_shown
from napari_knowsam.missing_values import labels_or_ask, read_or_ask
from napari_knowsam.opening import OpeningCancelledError, tracked_in_activity
from napari_knowsam.volume_layers import VOLUME_KEY, LayerData, image_layer_data, labels_layer_data

Paths = str | Sequence[str]
Reader = Callable[[Paths], Sequence[tuple[Any, ...]]]

_NOTHING_TO_SHOW = [(None,)]
"""Tells napari that the files were handled and give no layer."""


def get_reader(path: Paths) -> Reader | None:
    """Return the function that opens these paths, or None if one of them is neither an image file nor DICOM."""
    return read_paths if all(_is_readable(given) for given in _listed(path)) else None


def read_paths(path: Paths) -> Sequence[tuple[Any, ...]]:
    """Read each path into one layer; a problem is shown as a sentence and opens nothing.

    napari would show an exception of a reader as "tried to read, but it gave an error", without its sentence.
    """
    layers: list[LayerData] = []
    with errors_shown(), suppress(OpeningCancelledError):
        for given in _listed(path):
            if not _is_open(given, layers):
                layers += filter(None, [read_layer_data(given)])
        return layers or _NOTHING_TO_SHOW
    return _NOTHING_TO_SHOW


def read_layer_data(path: Path) -> LayerData | None:
    """Read an image, or label values from a DICOM segmentation or from a file with the name and the values of a mask.

    None if there are several images and none of them was chosen, or voxels have no value and are not background.

    Raises
    ------
    InputError
        If the path cannot be read.
    """
    if is_dicom_seg(path):
        return labels_layer_data(notices_shown(read_labels(path)))
    if is_image_name(path) and is_called_mask(path):
        try:
            labels = labels_or_ask(path)
            return None if labels is None else labels_layer_data(notices_shown(labels))
        except InputError:
            # Not label values, whatever its name says; what is wrong with a damaged file shows below.
            pass
    choice = ask_choice(image_choices(path, tracked_in_activity))
    volume = None if choice is None else read_or_ask(choice.read, choice.read_filled)
    return None if volume is None else image_layer_data(notices_shown(volume))


def _listed(path: Paths) -> list[Path]:
    return [Path(path)] if isinstance(path, str) else [Path(given) for given in path]


def _is_open(path: Path, layers: Sequence[LayerData]) -> bool:
    """Tell whether a file is a slice of a series that is shown already, as when all its files are dropped at once."""
    viewer = napari.current_viewer()
    on_screen = [layer.metadata for layer in viewer.layers] if viewer else []
    volumes = [metadata.get(VOLUME_KEY) for metadata in [kwargs["metadata"] for _, kwargs, _ in layers] + on_screen]
    return any(path in volume.dicom_files for volume in volumes if volume is not None)


def _is_readable(path: Path) -> bool:
    if not path.is_dir():
        return is_image_name(path) or is_dicom(path)
    try:
        return holds_dicom(path)
    except InputError:
        # A folder beyond all bounds is turned away with its sentence when it is read.
        return True
