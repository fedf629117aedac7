"""Save label values on the grid of the file they belong to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from napari.utils.notifications import show_warning

from knowsam.data.annotation import BACKGROUND_CLASS, labelled_classes
from knowsam.data.volume import Volume
from knowsam.errors import InputError
from knowsam.io.dicom.rtstruct_writer import is_rtstruct_name, write_rtstruct
from knowsam.io.dicom.seg_writer import (
    check_dicom_seg_writable,
    is_dicom_seg_name,
    write_dicom_seg,
)
from knowsam.io.image_file import with_mask_suffix
from knowsam.io.labels import write_labels as write_label_file
from knowsam.io.source_file import refuse_source_file
from knowsam.io.surface_file import is_surface_name, write_surfaces
from napari_knowsam.volume_layers import BACKGROUND_BRUSH_KEY, CLASSES_KEY, grid_of, has_known_orientation, identity_of

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelClass
    from knowsam.data.segment_terms import SegmentTerm

AskTerms = Callable[[tuple["LabelClass", ...]], Mapping[int, "SegmentTerm"] | None]


def write_labels(path: str, data: npt.NDArray[np.integer], meta: dict[str, Any]) -> list[str]:
    """Save a labels layer from napari's own save dialog, which has asked before it replaces a file.

    Parameters
    ----------
    data : (Z, Y, X).
    meta : the attributes of the layer, as napari gives them.

    Raises
    ------
    KnowSAMError
        If the layer is no volume of labels or the file cannot be written.
    """
    layer = Labels(data, **meta)
    target = with_mask_suffix(Path(path))
    labels = labels_of(layer)
    save_labels(target, labels.array, labels, overwrite=True)
    if not has_known_orientation(layer):
        show_warning(
            f"The labels {layer.name} do not say which image they belong to, so {target.name} was given the place they "
            "have on the screen. If the image was tilted in the scanner, the file will not lie on it. "
            "Choose File > IO Utilities > Export labels while the image is open."
        )
    return [str(target)]


def save_labels(path: Path, values_zyx: npt.NDArray[np.integer], volume: Volume, *, overwrite: bool = False) -> None:
    """Write label values in the shape, axis order and place of the file that a volume comes from.

    Parameters
    ----------
    values_zyx : (Z, Y, X) in the working orientation.
    volume : labels with their classes, or any other volume on the grid of the image.
    overwrite : replace an existing file.

    Raises
    ------
    InputError
        If a value is no label that a file can hold.
    OutputError
        If the file cannot be written.
    """
    low, high = int(values_zyx.min()), int(values_zyx.max())
    if low < 0 or high > np.iinfo(np.int32).max:
        raise InputError(
            f"The labels hold values from {low} to {high}, but a file holds whole numbers from 0 to "
            f"{np.iinfo(np.int32).max}. Paint with values in this range."
        )
    write_label_file(path, values_zyx, volume.grid, volume.classes, overwrite=overwrite)


def mask_writer(path: Path, mask: Volume, source: Volume, ask_terms: AskTerms) -> Callable[[], object] | None:
    """Return a function that writes a mask, in any thread, as the kind of file in its name, replacing an older one.

    Parameters
    ----------
    mask : with its classes, on the grid of the image.
    source : the image, to whose series a DICOM file refers.
    ask_terms : what each class of a DICOM segmentation stands for; None to write nothing.

    Returns
    -------
    None if the user cancels. The function raises an InputError if the mask cannot be written as this kind of file, and
    an OutputError if the file cannot be written.

    Raises
    ------
    OutputError
        If the file cannot be written, or is one of the image; checked before anything is asked.
    """
    refuse_source_file(path, source)
    if is_surface_name(path):
        return partial(write_surfaces, path, mask, overwrite=True)
    if is_rtstruct_name(path):
        return partial(write_rtstruct, path, mask, source, overwrite=True)
    if not is_dicom_seg_name(path):
        return partial(save_labels, path, mask.array, mask, overwrite=True)
    check_dicom_seg_writable(path, overwrite=True)
    terms = ask_terms(labelled_classes(mask))
    return None if terms is None else partial(write_dicom_seg, path, mask, source, terms, overwrite=True)


def labels_of(layer: Labels) -> Volume:
    """Return the label values of a layer, with the background brush as background.

    Raises
    ------
    InputError
        If the layer is not one 3D volume.
    """
    grid = grid_of(layer)
    values = np.asarray(layer.data).reshape(grid.working_shape)
    brush = layer.metadata.get(BACKGROUND_BRUSH_KEY)
    if brush is not None:
        values = np.where(values == brush, values.dtype.type(BACKGROUND_CLASS.value), values)
    classes = layer.metadata.get(CLASSES_KEY, ())
    return Volume(values, grid, layer.name, classes=classes, identity=identity_of(layer))
