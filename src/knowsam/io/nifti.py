"""NIfTI files: reads images and labels, writes labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.spatialimages import HeaderDataError

from knowsam.damage import damage_error
from knowsam.io.class_names import classes_as_text, classes_from_text
from knowsam.io.nifti_header import COMMENT_CODE, HEADER_FIELDS, read_nifti_header
from knowsam.io.stored_image import ReadImage, StoredImage
from knowsam.io.voxels import READING_ERRORS

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelClass
    from knowsam.data.volume import Grid


def nifti_images(path: Path) -> tuple[ReadImage, ...]:
    """Return a reader of each 3D image of a file.

    Raises
    ------
    InputError
        If the file is damaged, not NIfTI, too small for the voxels it claims, or its images have no usable geometry.
    """
    try:
        header = read_nifti_header(path)
        grid, notices, shown = header.grid(), header.notices(), header.display_range
        classes = next(filter(None, map(classes_from_text, header.comments)), ())
        encodings = (header.encoding(frame) for frame in range(header.frames))
        images = (StoredImage(path, grid, one, None, notices, classes, shown) for one in encodings)
        return tuple(image.read for image in images)
    except (*READING_ERRORS, HeaderDataError, ValueError, OverflowError) as error:
        sentence = f"{path.name} is not a readable NIfTI file ({error}). Give a .nii or .nii.gz file."
        raise damage_error(sentence, error) from error


def write_nifti(path: Path, labels_ijk: npt.NDArray[np.integer], grid: Grid, classes: Sequence[LabelClass]) -> None:
    """Write label values; the header gets a comment with the names and colours of their classes.

    Parameters
    ----------
    grid : its header geometry is written unchanged; without one (DICOM) both forms get its affine.
    """
    image = _label_image(labels_ijk, grid)
    if classes:
        comment = classes_as_text(classes).encode(errors="replace")
        image.header.extensions.append(nib.nifti1.Nifti1Extension(COMMENT_CODE, comment))
    image.to_filename(path)


def _label_image(labels_ijk: npt.NDArray[np.integer], grid: Grid) -> nib.Nifti1Image:
    if grid.header is None:
        image = nib.Nifti1Image(labels_ijk, grid.affine)
        image.set_sform(grid.affine, code=1)
        image.set_qform(grid.affine, code=1)
        image.header.set_xyzt_units("mm")
        return image
    # Without an affine, nibabel leaves the geometry fields as set here.
    image = nib.Nifti2Image(labels_ijk, None) if grid.header.version == 2 else nib.Nifti1Image(labels_ijk, None)
    for name in HEADER_FIELDS:
        np.atleast_1d(image.header[name])[:4] = getattr(grid.header, name)
    return image
