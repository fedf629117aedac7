"""What the menus of napari offer beside the KnowSAM widget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from napari.utils.notifications import show_info
from qtpy.QtWidgets import QApplication, QFileDialog

from knowsam.data.annotation import BACKGROUND_CLASS, default_classes
from knowsam.data.volume import Volume
from knowsam.errors import InputError
from knowsam.io.image import image_choices
from knowsam.io.labels import read_labels
from knowsam.io.nifti import with_nifti_suffix
from napari_knowsam._writer import labels_of, save_labels
from napari_knowsam.choice_dialog import read_chosen
from napari_knowsam.error_messages import errors_shown, told
from napari_knowsam.volume_layers import (
    CLASSES_KEY,
    empty_labels_layer_data,
    grid_of,
    has_known_orientation,
    image_layer_data,
    labels_layer_data,
    require_layers_match,
    volume_of,
)
from napari_knowsam.volumes_dialog import VolumesDialog

if TYPE_CHECKING:
    import napari

    from knowsam.data.annotation import LabelClass
    from knowsam.data.volume import Grid

_NIFTI_FILTER = "NIfTI (*.nii.gz *.nii)"


def new_labels(viewer: napari.viewer.Viewer) -> None:
    """Add an empty labels layer on the grid of the selected image."""
    with errors_shown():
        data, kwargs, _ = empty_labels_layer_data(volume_of(_selected_image(viewer)))
        viewer.add_labels(data, **kwargs)


def show_volumes(viewer: napari.viewer.Viewer) -> None:
    """Show how many millilitres each class of the selected labels fills."""
    with errors_shown():
        layer = _selected_labels(viewer)
        labels = labels_of(layer)
        classes = layer.metadata.get(CLASSES_KEY, (BACKGROUND_CLASS,))
        VolumesDialog(labels, volumes_ml(labels, classes), QApplication.activeWindow()).exec()


def open_image(viewer: napari.viewer.Viewer) -> None:
    """Ask for a NIfTI file and open it as an image, whatever its name; napari's own dialog asks which reader to use."""
    chosen, _ = QFileDialog.getOpenFileName(QApplication.activeWindow(), "Open NIfTI image", "", _NIFTI_FILTER)
    if chosen:
        _open_image(viewer, Path(chosen))


def open_dicom(viewer: napari.viewer.Viewer) -> None:
    """Ask for a folder and open the DICOM series in it, or the one of several that is chosen."""
    chosen = QFileDialog.getExistingDirectory(QApplication.activeWindow(), "Open DICOM series")
    if chosen:
        _open_image(viewer, Path(chosen))


def open_mask(viewer: napari.viewer.Viewer) -> None:
    """Ask for a NIfTI file and open it as labels, whatever its name and type."""
    chosen, _ = QFileDialog.getOpenFileName(QApplication.activeWindow(), "Open mask as labels", "", _NIFTI_FILTER)
    if chosen:
        with errors_shown():
            data, kwargs, _ = labels_layer_data(told(read_labels(Path(chosen))))
            viewer.add_labels(data, **kwargs)


def export_labels(viewer: napari.viewer.Viewer) -> None:
    """Ask for a name and save the selected labels as NIfTI, on the grid of the image they lie on."""
    with errors_shown():
        layer = _selected_labels(viewer)
        labels = Volume(labels_of(layer).array, _file_grid(layer, viewer))
        suggested = str(with_nifti_suffix(Path(layer.name)))
        title = "Export labels as NIfTI"
        chosen, _ = QFileDialog.getSaveFileName(QApplication.activeWindow(), title, suggested, _NIFTI_FILTER)
        if chosen:
            target = with_nifti_suffix(Path(chosen))
            # The dialog has asked about the name it knew.
            save_labels(target, labels.array, labels, overwrite=str(target) == chosen)
            show_info(f"Saved {target.name}.")


def volumes_ml(labels: Volume, classes: tuple[LabelClass, ...]) -> list[tuple[LabelClass, float]]:
    """Return the volume that each class but the background fills; values without a class get a default name.

    Parameters
    ----------
    classes : background first.
    """
    found, voxels = np.unique(labels.array, return_counts=True)
    counts = dict(zip(found.tolist(), voxels.tolist(), strict=True))
    unnamed = default_classes(counts.keys() - {label_class.value for label_class in classes})
    return [(c, counts.get(c.value, 0) * labels.voxel_volume_ml) for c in (*classes[1:], *unnamed[1:])]


def _open_image(viewer: napari.viewer.Viewer, path: Path) -> None:
    with errors_shown():
        volume = read_chosen(image_choices(path))
        if volume is not None:
            data, kwargs, _ = image_layer_data(told(volume))
            viewer.add_image(data, **kwargs)


def _selected_image(viewer: napari.viewer.Viewer) -> Image:
    images = [layer for layer in viewer.layers if isinstance(layer, Image)]
    active = viewer.layers.selection.active
    if isinstance(active, Image):
        return active
    if len(images) != 1:
        raise InputError(
            f"{len(images)} images are open and none is selected, but the new labels need the voxels of one. "
            "Select the image in the list of layers."
        )
    return images[0]


def _selected_labels(viewer: napari.viewer.Viewer) -> Labels:
    active = viewer.layers.selection.active
    if isinstance(active, Labels):
        return active
    raise InputError("No labels are selected, but one labels layer is needed. Select it in the list of layers.")


def _file_grid(labels: Labels, viewer: napari.viewer.Viewer) -> Grid:
    """Return the grid of labels that know it, else that of the image they lie on, else their place on the screen."""
    if not has_known_orientation(labels):
        for image in viewer.layers:
            if isinstance(image, Image) and has_known_orientation(image) and _match(image, labels):
                return grid_of(image)
    return grid_of(labels)


def _match(image: Image, labels: Labels) -> bool:
    try:
        require_layers_match(image, labels)
    except InputError:
        return False
    return True
