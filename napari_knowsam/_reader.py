"""Open image files and folders with a DICOM series."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from pydicom.misc import is_dicom

from knowsam.errors import InputError
from knowsam.io.image import read_volume
from knowsam.io.image_file import is_image_name
from knowsam.io.labels import read_labels
from napari_knowsam.error_messages import errors_shown, told
from napari_knowsam.volume_layers import LayerData, image_layer_data, labels_layer_data

Paths = str | Sequence[str]
Reader = Callable[[Paths], Sequence[tuple[Any, ...]]]

_NOTHING_TO_SHOW = [(None,)]
"""Tells napari that the files were dealt with and no layer comes of them."""

_MASK_WORDS = {"dseg", "label", "labelmap", "labels", "mask", "masks", "roi", "rois", "seg", "segmentation", "segs"}
_FILES_LOOKED_AT = 100


def get_reader(path: Paths) -> Reader | None:
    """Return the function that opens these paths, or None if one is no image file and no DICOM folder."""
    return read_paths if all(_is_readable(given) for given in _listed(path)) else None


def read_paths(path: Paths) -> Sequence[tuple[Any, ...]]:
    """Read each path into one layer; a problem is shown as a sentence and opens nothing.

    napari would show an exception of a reader as "tried to read, but it gave an error", without its sentence.
    """
    with errors_shown():
        return [read_layer_data(given) for given in _listed(path)]
    return _NOTHING_TO_SHOW


def read_layer_data(path: Path) -> LayerData:
    """Read an image, or label values if the file is called a mask and holds what could be one.

    Raises
    ------
    InputError
        If the path cannot be read.
    """
    if is_image_name(path) and _is_called_mask(path):
        try:
            return labels_layer_data(told(read_labels(path)))
        except InputError:
            # Not label values, whatever its name says; what is wrong with a damaged file shows below.
            pass
    return image_layer_data(told(read_volume(path)))


def _listed(path: Paths) -> list[Path]:
    return [Path(path)] if isinstance(path, str) else [Path(given) for given in path]


def _is_readable(path: Path) -> bool:
    return _holds_dicom(path) if path.is_dir() else is_image_name(path)


def _holds_dicom(folder: Path) -> bool:
    files = (path for path in folder.iterdir() if path.is_file())
    return any(is_dicom(path) for path in islice(files, _FILES_LOOKED_AT))


def _is_called_mask(path: Path) -> bool:
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", path.name)
    return not _MASK_WORDS.isdisjoint(word.lower() for word in words)
