"""An image in whatever form a user has it: a NIfTI file or a folder with a DICOM series."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from knowsam.errors import InputError
from knowsam.io.dicom import read_dicom_series
from knowsam.io.image_file import IMAGE_SUFFIXES, is_image_name, read_image_file

if TYPE_CHECKING:
    from knowsam.data.volume import Volume


def read_image(path: Path) -> Volume:
    """Read an image that is to be segmented: a NIfTI file or the DICOM series in a folder.

    Raises
    ------
    InputError
        If it is neither, cannot be read, has fewer than two slices along an axis or is of one grey value throughout.
    """
    volume = read_volume(path)
    if min(volume.shape) < 2:
        raise InputError(
            f"{volume.name} has shape {volume.grid.shape}, but at least two slices along every axis are needed. "
            "Give a whole volume."
        )
    if volume.array.min() == volume.array.max():
        raise InputError(
            f"All voxels of {volume.name} have the value {volume.array.min()}, so there is nothing to segment. "
            "Give the image, not an empty mask."
        )
    return volume


def read_volume(path: Path) -> Volume:
    """Read a NIfTI file or the DICOM series in a folder, whatever its voxels hold.

    Raises
    ------
    InputError
        If it is neither or cannot be read.
    """
    if path.is_dir():
        return read_dicom_series(path)
    if path.exists() and not is_image_name(path):
        raise InputError(
            f"{path.name} is no image file by its name. "
            f"Give a {', '.join(IMAGE_SUFFIXES)} file, or the folder that holds all slices of a DICOM series."
        )
    return read_image_file(path)
