"""The menu commands of the plugin, besides the KnowSAM widget."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from napari.utils.notifications import show_info
from qtpy.QtWidgets import QApplication, QFileDialog

from knowsam.data.annotation import BACKGROUND_CLASS, default_classes
from knowsam.data.identity import belonging
from knowsam.data.measurements import measured
from knowsam.errors import InputError
from knowsam.io.dicom.seg_writer import is_dicom_seg_name
from knowsam.io.image_file import IMAGE_SUFFIXES, suggested_path
from napari_knowsam._writer import labels_of, mask_writer
from napari_knowsam.choice_dialog import main_window
from napari_knowsam.error_messages import errors_shown, notices_shown
from napari_knowsam.exporting import may_replace_surfaces
from napari_knowsam.missing_values import labels_or_ask
from napari_knowsam.new_layers import ROLE_KEY
from napari_knowsam.opening import Opening
from napari_knowsam.painted_layer import labels_on_image
from napari_knowsam.panels.export_dialog import ask_mask_path
from napari_knowsam.panels.terms_dialog import ask_terms
from napari_knowsam.volume_layers import (
    CLASSES_KEY,
    empty_labels_layer_data,
    has_known_orientation,
    image_layer_data,
    lies_on,
    own_volume,
    volume_of,
)
from napari_knowsam.volumes_dialog import VolumesDialog

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari

    from knowsam.data.annotation import LabelClass
    from knowsam.data.measurements import Measurement
    from knowsam.data.volume import Volume

_FILES = f"({' '.join(f'*{suffix}' for suffix in (*IMAGE_SUFFIXES, '.dcm'))});;All files (*)"
_IMAGE_FILTER, _MASK_FILTER = f"Images {_FILES}", f"Masks {_FILES}"


def new_labels(viewer: napari.viewer.Viewer) -> None:
    """Add an empty labels layer on the grid of the selected image."""
    with errors_shown():
        data, kwargs, _ = empty_labels_layer_data(volume_of(_selected_image(viewer)))
        viewer.add_labels(data, **kwargs)


def show_volumes(viewer: napari.viewer.Viewer) -> None:
    """Show how large each class of the selected labels is, and its grey values in the image they lie on."""
    with errors_shown():
        layer = _selected_labels(viewer)
        labels = labels_of(layer)
        classes = layer.metadata.get(CLASSES_KEY, (BACKGROUND_CLASS,))
        image = next(iter(_sources(layer, viewer)), None)
        VolumesDialog(labels, measurements(labels, classes, image), QApplication.activeWindow()).exec()


def open_image(viewer: napari.viewer.Viewer) -> None:
    """Ask for a file and open it as an image, whatever its name; napari's own dialog asks which reader to use."""
    chosen, _ = QFileDialog.getOpenFileName(QApplication.activeWindow(), "Open image", "", _IMAGE_FILTER)
    if chosen:
        _open_image(viewer, Path(chosen))


def open_dicom(viewer: napari.viewer.Viewer) -> None:
    """Ask for a folder and open the DICOM series in it, or the one of several that is chosen."""
    chosen = QFileDialog.getExistingDirectory(QApplication.activeWindow(), "Open DICOM series")
    if chosen:
        _open_image(viewer, Path(chosen))


def open_mask(viewer: napari.viewer.Viewer) -> None:
    """Ask for a mask and open it as labels, on the voxels of the selected or only image if there is one."""
    chosen, _ = QFileDialog.getOpenFileName(QApplication.activeWindow(), "Open mask as labels", "", _MASK_FILTER)
    if chosen:
        with errors_shown():
            labels, image = labels_or_ask(Path(chosen)), _image_below(viewer)
            if labels is None:
                return
            if image is not None:
                labels = belonging(labels, image)
            (data, kwargs, _), notices = labels_on_image(labels, labels.grid if image is None else image.grid)
            notices_shown(replace(labels, notices=notices))
            viewer.add_labels(data, **kwargs)


def export_labels(viewer: napari.viewer.Viewer) -> None:
    """Ask for a name and save the selected labels on the grid of the image they lie on."""
    with errors_shown():
        layer, window = _selected_labels(viewer), QApplication.activeWindow()
        labels, sources = labels_of(layer), _sources(layer, viewer)
        source = sources[0] if sources else labels
        if not has_known_orientation(layer):
            labels = replace(labels, grid=source.grid)
        path = ask_mask_path(window, str(suggested_path(layer.name, source)), dicom=bool(source.dicom_files))
        if path is not None and is_dicom_seg_name(path):
            _require_one_patient(layer.name, sources)
        if path is None or not may_replace_surfaces(path, labels, window):
            return
        write = mask_writer(path, labels, source, partial(ask_terms, window))
        if write is not None:
            write()
            show_info(f"Saved {path.name}.")


def measurements(
    labels: Volume, classes: tuple[LabelClass, ...], image: Volume | None
) -> list[tuple[LabelClass, Measurement]]:
    """Return the measures of each class but the background; values without a class get a default name.

    Parameters
    ----------
    classes : background first.
    image : on the grid of the labels.
    """
    found = {int(value) for value in np.unique(labels.array)}
    unnamed = default_classes(found - {label_class.value for label_class in classes})
    shown, grey = (*classes[1:], *unnamed[1:]), None if image is None else image.array
    rows = measured(labels.array, labels.affine, [one.value for one in shown], grey)
    return list(zip(shown, rows, strict=True))


def _open_image(viewer: napari.viewer.Viewer, path: Path) -> None:
    def show(volume: Volume, _description: str) -> None:
        data, kwargs, _ = image_layer_data(notices_shown(volume))
        viewer.add_image(data, **kwargs)

    Opening(path, show, main_window())


def _selected_image(viewer: napari.viewer.Viewer) -> Image:
    images = _images(viewer)
    active = viewer.layers.selection.active
    if isinstance(active, Image):
        return active
    if len(images) != 1:
        raise InputError(
            f"{len(images)} images are open and none is selected, but the new labels need the voxels of one. "
            "Select the image in the list of layers."
        )
    return images[0]


def _image_below(viewer: napari.viewer.Viewer) -> Volume | None:
    """Return the image that labels are opened for: the selected one, else the only one; None if it is not clear."""
    images, active = _images(viewer), viewer.layers.selection.active
    image = active if active in images else (images[0] if len(images) == 1 else None)
    return None if image is None else own_volume(image)


def _images(viewer: napari.viewer.Viewer) -> list[Image]:
    """Return all image layers but those that show results."""
    return [layer for layer in viewer.layers if isinstance(layer, Image) and ROLE_KEY not in layer.metadata]


def _selected_labels(viewer: napari.viewer.Viewer) -> Labels:
    active = viewer.layers.selection.active
    if isinstance(active, Labels):
        return active
    raise InputError("No labels are selected, but one labels layer is needed. Select it in the list of layers.")


def _sources(labels: Labels, viewer: napari.viewer.Viewer) -> list[Volume]:
    """Return the images that labels lie on, as far as their files are known."""
    volumes = [own_volume(image) for image in _images(viewer) if lies_on(labels, image)]
    return [volume for volume in volumes if volume is not None]


def _require_one_patient(name: str, sources: Sequence[Volume]) -> None:
    if any(sources[0].identity.difference(other.identity) for other in sources[1:]):
        raise InputError(
            f"The labels {name} lie on several images, which are not of one patient and place, and do not say to which "
            "they belong. Remove the other images, and export them again."
        )
