"""Reads images of all formats: single files, and folders of DICOM with several images to pick from."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from knowsam.errors import InputError
from knowsam.io.choice import ImageChoice, chosen
from knowsam.io.dicom.files import is_dicom
from knowsam.io.dicom.seg_reader import is_dicom_seg, read_dicom_seg
from knowsam.io.dicom.series import dicom_choices
from knowsam.io.image_file import IMAGE_SUFFIXES, image_stem, images_in, is_image_name

if TYPE_CHECKING:
    from knowsam.data.volume import Volume
    from knowsam.io.dicom.folder import Tracked
    from knowsam.io.missing_values import MissingAs
    from knowsam.io.stored_image import ReadImage


def read_image(path: Path, pick: int | str | None = None, *, missing_as_background: bool = False) -> Volume:
    """Read an image to segment.

    Parameters
    ----------
    pick : selects one of several: its number among `image_choices`, counted from 1, or a part of its description that
        fits no other.
    missing_as_background : give voxels that are NaN or infinite the smallest of all other values, with a notice.

    Raises
    ------
    MissingValuesError
        If voxels are NaN or infinite, and must not become background.
    InputError
        If there is none or no single one is selected, it cannot be read, has fewer than two slices along an axis or has
        one grey value throughout.
    """
    volume = read_volume(path, pick, missing_as_background=missing_as_background)
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


def read_volume(path: Path, pick: int | str | None = None, *, missing_as_background: bool = False) -> Volume:
    """Read an image, even one of few slices or of one grey value; parameters as those of `read_image`.

    Raises
    ------
    InputError
        If there is none, no single one is selected, or it cannot be read.
    """
    return chosen(image_choices(path), pick).volume(missing_as_background=missing_as_background)


def image_choices(path: Path, tracked: Tracked = iter) -> tuple[ImageChoice, ...]:
    """Return the images in an image file, a DICOM file or a folder of these, without reading their voxels.

    Parameters
    ----------
    tracked : sees each file of a folder before it is read, for a progress bar.

    Raises
    ------
    InputError
        If the path is none of these.
    """
    if is_dicom_seg(path):
        return (ImageChoice("the segmentation", "", 0, partial(read_dicom_seg, path)),)
    if path.is_dir() or (not is_image_name(path) and is_dicom(path)):
        return dicom_choices(path, tracked)
    if path.exists() and not is_image_name(path):
        raise InputError(
            f"{path.name} is no image file by its name. "
            f"Give a {', '.join(IMAGE_SUFFIXES)} file, or the folder that holds all slices of a DICOM series."
        )
    images = images_in(path)
    names = ["the image"] if len(images) == 1 else [f"frame {n} of {len(images)}" for n in range(1, len(images) + 1)]
    return tuple(
        ImageChoice(name, "", 0, partial(_read, path, read), partial(_read, path, read, "smallest"))
        for name, read in zip(names, images, strict=True)
    )


def _read(path: Path, read: ReadImage, missing_as: MissingAs = "refused") -> Volume:
    volume, file = read(np.float32, missing_as), path.absolute()
    return replace(volume, name=image_stem(path.name), file=file, folder=file.parent)
