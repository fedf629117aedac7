"""NIfTI files: images and labels in, labels out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import numpy.typing as npt

from knowsam.data.volume import Grid, Volume
from knowsam.errors import InputError
from knowsam.io.atomic import mask_written
from knowsam.io.class_names import classes_as_text, classes_from_text
from knowsam.io.label_values import as_label_values, labels_in_file_order
from knowsam.io.nifti_header import COMMENT_CODE, HEADER_FIELDS, NiftiHeader, read_nifti_header
from knowsam.io.voxels import opened_plain, read_voxels

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelClass

NIFTI_SUFFIXES = (".nii", ".nii.gz")


def is_nifti_name(path: Path) -> bool:
    """Tell by its name whether a file is a NIfTI file."""
    return path.name.lower().endswith(NIFTI_SUFFIXES)


def nifti_frames(path: Path) -> int:
    """Return how many 3D images a file holds, from its header alone.

    Raises
    ------
    InputError
        If the file is missing, not NIfTI, damaged, too small for the voxels it claims or holds no 3D image.
    """
    return read_nifti_header(path).frames


def read_nifti(path: Path, frame: int | None = None) -> Volume:
    """Read an image: integers keep their type where the file scales nothing, all else becomes float32.

    Parameters
    ----------
    frame : which 3D image, counted from 1, of a file that holds several.

    Raises
    ------
    InputError
        If the file is missing, damaged, not NIfTI, no image of real numbers in 3D, without usable geometry, if
        voxels are NaN or infinite, or if there are several frames and none of them is chosen.
    """
    header = read_nifti_header(path)
    if frame is None and header.frames > 1:
        raise InputError(
            f"{path.name} holds {header.frames} images of shape {header.shape}, but one is needed. "
            f"Choose it, from 1 to {header.frames}, with --pick NUMBER on the command line."
        )
    number = 1 if frame is None else frame
    if not 1 <= number <= header.frames:
        raise InputError(
            f"{path.name} holds {header.frames} images, but number {number} was asked for. "
            f"Choose a number from 1 to {header.frames}."
        )
    return _volume(header, number, np.float32)


def read_nifti_labels(path: Path) -> Volume:
    """Read label values, stored as any type, into the smallest of uint8, uint16 and int32.

    Raises
    ------
    InputError
        As `read_nifti`, and if a value is negative, not whole or beyond int32.
    """
    header = read_nifti_header(path)
    if header.frames > 1:
        raise InputError(
            f"{path.name} holds {header.frames} images of shape {header.shape}, but one is needed. "
            "Save the labels of one image as their own file."
        )
    volume = _volume(header, 1, np.float64)
    return replace(volume, array=as_label_values(path.name, volume.array))


def write_nifti_labels(
    path: Path,
    labels_zyx: npt.NDArray[np.integer],
    grid: Grid,
    classes: Sequence[LabelClass] = (),
    *,
    overwrite: bool = False,
) -> None:
    """Write label values on the grid of the file they belong to, whole or not at all.

    Parameters
    ----------
    labels_zyx : (Z, Y, X) in the working orientation, non-negative.
    grid : gives shape, axis order and the exact header geometry; without one (DICOM) both forms hold its affine.
    classes : their names and colours become a comment in the header.
    overwrite : replace an existing file.

    Raises
    ------
    OutputError
        If the file cannot be written.
    ValueError
        If the labels do not fit the grid or are negative.
    """
    image = _label_image(labels_in_file_order(labels_zyx, grid), grid)
    comment = classes_as_text(classes)
    if comment:
        content = comment.encode(errors="replace")
        image.header.extensions.append(nib.nifti1.Nifti1Extension(COMMENT_CODE, content))
    with mask_written(path, overwrite=overwrite) as complete:
        image.to_filename(complete)


def _volume(header: NiftiHeader, frame: int, real: npt.DTypeLike) -> Volume:
    grid, path = header.grid(), header.path
    with opened_plain(path) as opened:
        array = read_voxels(path.name, opened, grid, header.encoding(frame), real)
    classes = next(filter(None, map(classes_from_text, header.comments)), ())
    return Volume(array, grid, _stem(path), header.notices(), classes, display_range=header.display_range)


def _label_image(labels_ijk: npt.NDArray[np.integer], grid: Grid) -> nib.Nifti1Image:
    if grid.header is None:
        image = nib.Nifti1Image(labels_ijk, grid.affine)
        image.set_sform(grid.affine, code=1)
        image.set_qform(grid.affine, code=1)
        image.header.set_xyzt_units("mm")
        return image
    # Without an affine nibabel leaves the geometry fields as they are set here.
    image = nib.Nifti2Image(labels_ijk, None) if grid.header.version == 2 else nib.Nifti1Image(labels_ijk, None)
    for name in HEADER_FIELDS:
        np.atleast_1d(image.header[name])[:4] = getattr(grid.header, name)
    return image


def _stem(path: Path) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)
