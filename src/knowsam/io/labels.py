"""Reads and writes label values in all formats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from knowsam.errors import InputError, OutputError
from knowsam.io.atomic import check_place, output_written
from knowsam.io.class_names import foreground
from knowsam.io.dicom.files import is_dicom
from knowsam.io.dicom.seg_reader import read_dicom_seg
from knowsam.io.image_file import MASK_SUFFIXES, image_stem, images_in, kind_of
from knowsam.io.label_values import as_label_values, labels_in_file_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from knowsam.data.annotation import LabelClass
    from knowsam.data.volume import Grid, Volume


def read_labels(path: Path, *, missing_as_background: bool = False) -> Volume:
    """Read label values into the smallest of uint8, uint16 and int32, with names and colours of their classes, if any.

    A DICOM segmentation is recognised by its content, every other kind of file by its name.

    Parameters
    ----------
    missing_as_background : give voxels that are NaN or infinite the label 0, with a notice.

    Raises
    ------
    MissingValuesError
        If voxels are NaN or infinite, and must not become background.
    InputError
        If the file cannot be read, or holds several images or values that are no labels.
    """
    if is_dicom(path):
        return read_dicom_seg(path)
    images = images_in(path)
    if len(images) > 1:
        raise InputError(
            f"{path.name} holds {len(images)} images, but one is needed. "
            "Save the labels of one image as their own file."
        )
    # As float64, since float32 does not hold the largest label.
    volume = images[0](np.float64, "zero" if missing_as_background else "refused")
    return replace(volume, array=as_label_values(path.name, volume.array), name=image_stem(path.name))


def check_labels_writable(path: Path, *, overwrite: bool = False) -> None:
    """Check before anything is computed that labels can be written to `path`.

    Raises
    ------
    OutputError
        If its name ends in none of the known suffixes, the folder is missing or not writable, the file exists and must
        be kept, other programs would read another file for it, or its kind needs a package that is not installed.
    """
    # With a suffix such as .Nii, nibabel would write and read another file, and ITK would refuse it.
    if not path.name.endswith((*MASK_SUFFIXES, *(suffix.upper() for suffix in MASK_SUFFIXES))):
        endings = f"{', '.join(MASK_SUFFIXES[:-1])} or {MASK_SUFFIXES[-1]}"
        raise OutputError(f"The result is to be called {path.name}, but must end in {endings}. Change the name.")
    kind_of(path).require_package(OutputError)
    check_place(path, overwrite=overwrite)
    _check_twin(path)


def _check_twin(path: Path) -> None:
    # nifti_findimgname of NIfTI's C library, which ITK uses, looks for the voxels in the uncompressed file first.
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    twin = plain if plain != path else path.with_name(f"{path.name}.gz")
    if plain.suffix.lower() == ".nii" and twin.exists():
        raise OutputError(
            f"{twin.name} lies in the folder in which {path.name} is to be written, and programs built on ITK, such as "
            f"3D Slicer and ITK-SNAP, would read the voxels of {plain.name} for both. Choose another name, or move "
            "that file away."
        )


def write_labels(
    path: Path,
    labels_zyx: npt.NDArray[np.integer],
    grid: Grid,
    classes: Sequence[LabelClass] = (),
    *,
    overwrite: bool = False,
) -> None:
    """Write label values on the grid of the file they belong to, in the smallest type, whole or not at all.

    Parameters
    ----------
    labels_zyx : (Z, Y, X) in the working orientation, non-negative.
    classes : their names and colours are written into the file.
    overwrite : replace an existing file.

    Raises
    ------
    OutputError
        If the file cannot be written.
    ValueError
        If the labels do not fit the grid, or are no whole numbers from 0 that int32 holds.
    """
    check_labels_writable(path, overwrite=overwrite)
    stored = labels_in_file_order(labels_zyx, grid)
    with output_written(path, overwrite=overwrite) as complete:
        kind_of(path).write(complete, stored, grid, foreground(classes))
