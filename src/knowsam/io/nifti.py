"""NIfTI files: images and labels in, labels out."""

from __future__ import annotations

import math
import os
import re
import zlib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError

from knowsam.data.orientation import from_working, to_working
from knowsam.data.volume import Grid, NiftiGeometry, Volume
from knowsam.errors import InputError, OutputError
from knowsam.io.atomic import written_whole

NIFTI_SUFFIXES = (".nii", ".nii.gz")

_MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}
"""By the code of the header: metre, millimetre, micrometre; files that name no unit are in millimetres."""

_HEADER_FIELDS = tuple(field.name for field in fields(NiftiGeometry) if field.name != "version")


def is_nifti_name(path: Path) -> bool:
    """Tell by its name whether a file is a NIfTI file."""
    return path.name.lower().endswith(NIFTI_SUFFIXES)


def with_nifti_suffix(path: Path) -> Path:
    """Return the path as a NIfTI file name; a dot in a name is no suffix.

    >>> with_nifti_suffix(Path("liver.v2")).name, with_nifti_suffix(Path("liver.nii")).name
    ('liver.v2.nii.gz', 'liver.nii')
    """
    return path if is_nifti_name(path) else path.with_name(path.name + ".nii.gz")


def nifti_frames(path: Path) -> int:
    """Return how many 3D images a file holds, from its header alone.

    Raises
    ------
    InputError
        If the file is missing, not NIfTI or holds no 3D image.
    """
    return _frame_count(path, _open(path).shape)


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
    image = _open(path)
    grid = _grid(path, image)
    array = _voxels(path, image, grid.shape, frame)
    if np.issubdtype(array.dtype, np.floating):
        with np.errstate(over="ignore"):
            array = array.astype(np.float32, copy=False)
    _refuse_non_finite(path, array)
    return Volume(to_working(array, grid.affine), grid, _stem(path))


def read_nifti_labels(path: Path) -> Volume:
    """Read label values, stored as any type, into the smallest of uint8, uint16 and int32.

    Raises
    ------
    InputError
        As `read_nifti`, and if a value is negative, not whole or beyond int32.
    """
    image = _open(path)
    grid = _grid(path, image)
    array = _voxels(path, image, grid.shape, None)
    _refuse_non_finite(path, array)
    _refuse_non_labels(path, array)
    labels = array.astype(_label_type(int(array.max())))
    return Volume(to_working(labels, grid.affine), grid, _stem(path))


def check_writable(path: Path, *, overwrite: bool = False) -> None:
    """Check before anything is computed that labels can be written to `path`.

    Raises
    ------
    OutputError
        If the name is no NIfTI name, the folder is missing or not writable or the file exists and is to be kept.
    """
    if not is_nifti_name(path):
        raise OutputError(f"The result is to be called {path.name}, but must end in .nii or .nii.gz. Change the name.")
    if not path.parent.is_dir():
        raise OutputError(f"The folder {path.parent} does not exist. Make it, or choose another one.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"The folder {path.parent} is not writable. Change its permissions, or choose another one.")
    if path.is_dir():
        raise OutputError(f"{path} is a folder, but the result is one file. Choose another name.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already and is kept. Choose another name, or add --overwrite.")


def write_nifti_labels(path: Path, labels_zyx: npt.NDArray[np.integer], grid: Grid, *, overwrite: bool = False) -> None:
    """Write label values on the grid of the file they belong to, whole or not at all.

    Parameters
    ----------
    labels_zyx : (Z, Y, X) in the working orientation, non-negative.
    grid : gives shape, axis order and the exact header geometry; without one (DICOM) both forms hold its affine.
    overwrite : replace an existing file.

    Raises
    ------
    OutputError
        If the file cannot be written.
    ValueError
        If the labels do not fit the grid or are negative.
    """
    check_writable(path, overwrite=overwrite)
    if labels_zyx.shape != grid.working_shape or labels_zyx.min() < 0:
        raise ValueError(f"Labels of shape {labels_zyx.shape} from {labels_zyx.min()} do not fit {grid.working_shape}.")
    image = _label_image(from_working(labels_zyx, grid), grid)
    try:
        with written_whole(path) as complete:
            image.to_filename(complete)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error}. Free space there, or choose another folder.") from error


def _open(path: Path) -> nib.Nifti1Image:
    if not path.is_file():
        raise InputError(f"There is no file {path}. Check the path.")
    try:
        image = nib.load(path, mmap=False)
    except (ImageFileError, HeaderDataError, OSError, EOFError, zlib.error, ValueError) as error:
        raise InputError(f"{path.name} is not a readable NIfTI file ({error}). Give a .nii or .nii.gz file.") from error
    if not isinstance(image, nib.Nifti1Image):
        raise InputError(f"{path.name} is {type(image).__name__}, not NIfTI. Give a .nii or .nii.gz file.")
    return image


def _grid(path: Path, image: nib.Nifti1Image) -> Grid:
    shape = _spatial_shape(path, image.shape)
    # nibabel repairs what it loads; the mask is to get back the header as it stands in the file.
    with ImageOpener(str(path)) as opened:
        header = type(image.header).from_fileobj(opened, check=False)
    spacing = header["pixdim"][1:4]
    if header["sform_code"] <= 0 and not (np.isfinite(spacing).all() and spacing.all()):
        raise InputError(
            f"The spacing in {path.name} is {spacing.tolist()}, but must be finite and not zero. "
            "Repair the header, for example by converting the image again from DICOM."
        )
    # The low three bits are the unit of space, the others that of time.
    mm = _MM_PER_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)
    affine = np.diag([mm, mm, mm, 1.0]) @ image.affine
    return Grid(shape, affine, _geometry(header))


def _spatial_shape(path: Path, shape: Sequence[int]) -> tuple[int, int, int]:
    if len(shape) < 3 or 0 in shape:
        raise InputError(f"{path.name} has shape {tuple(shape)}, but a 3D image is needed. Give a whole volume.")
    i, j, k, *_ = shape
    return int(i), int(j), int(k)


def _frame_count(path: Path, shape: Sequence[int]) -> int:
    return math.prod(shape) // math.prod(_spatial_shape(path, shape))


def _frame_index(path: Path, shape: Sequence[int], frame: int | None) -> tuple[int, ...]:
    count = _frame_count(path, shape)
    if frame is None and count > 1:
        raise InputError(
            f"{path.name} holds {count} images of shape {tuple(shape[:3])}, but one is needed. "
            f"Choose it, from 1 to {count}, with --pick NUMBER on the command line, or save it as its own file."
        )
    number = 1 if frame is None else frame
    if not 1 <= number <= count:
        raise InputError(f"{path.name} holds {count} images, but number {number} was asked for. Choose 1 to {count}.")
    return tuple(int(index) for index in np.unravel_index(number - 1, tuple(shape[3:]), order="F"))


def _geometry(header: nib.Nifti1Header) -> NiftiGeometry:
    # The first four numbers of a field are all of it, except in pixdim, where times and the like follow.
    values = {name: np.atleast_1d(header[name])[:4].tolist() for name in _HEADER_FIELDS}
    geometry: dict[str, Any] = {name: value[0] if len(value) == 1 else tuple(value) for name, value in values.items()}
    return NiftiGeometry(version=2 if isinstance(header, nib.Nifti2Header) else 1, **geometry)


def _voxels(path: Path, image: nib.Nifti1Image, shape: tuple[int, int, int], frame: int | None) -> npt.NDArray[Any]:
    index = _frame_index(path, image.shape, frame)
    stored = image.get_data_dtype()
    if stored.kind not in "iuf":
        raise InputError(f"{path.name} holds {stored} voxels, but real numbers are needed. Convert it to grey values.")
    try:
        array = np.asanyarray(image.dataobj[(..., *index)]).reshape(shape)
    except MemoryError as error:
        raise InputError(f"{path.name}, of shape {shape}, does not fit into memory. Crop it or reduce it.") from error
    except (OSError, EOFError, zlib.error, ValueError, OverflowError) as error:
        raise InputError(f"{path.name} is damaged or cut off ({error}). Copy or export the file again.") from error
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _refuse_non_finite(path: Path, array: npt.NDArray[Any]) -> None:
    count = array.size - np.count_nonzero(np.isfinite(array))
    if count:
        raise InputError(
            f"{path.name} contains {count} voxels that are NaN or infinite, but numbers are needed everywhere. "
            "Replace them, for example by the value of the background."
        )


def _refuse_non_labels(path: Path, array: npt.NDArray[Any]) -> None:
    wrong = np.unique(array[(array < 0) | (array != np.floor(array)) | (array > np.iinfo(np.int32).max)])
    if wrong.size:
        raise InputError(
            f"{path.name} holds {wrong.size} values that are no labels, such as {wrong[0]:g}, but labels are whole "
            "numbers from 0. Give a label file, not an image or a probability map."
        )


def _label_type(largest: int) -> npt.DTypeLike:
    smallest = np.min_scalar_type(largest)
    return smallest if smallest in (np.uint8, np.uint16) else np.int32


def _label_image(labels_ijk: npt.NDArray[np.integer], grid: Grid) -> nib.Nifti1Image:
    stored = labels_ijk.astype(_label_type(int(labels_ijk.max())))
    if grid.header is None:
        image = nib.Nifti1Image(stored, grid.affine)
        image.set_sform(grid.affine, code=1)
        image.set_qform(grid.affine, code=1)
        image.header.set_xyzt_units("mm")
        return image
    # Without an affine nibabel leaves the geometry fields as they are set here.
    image = nib.Nifti2Image(stored, None) if grid.header.version == 2 else nib.Nifti1Image(stored, None)
    for name in _HEADER_FIELDS:
        np.atleast_1d(image.header[name])[:4] = getattr(grid.header, name)
    return image


def _stem(path: Path) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)
