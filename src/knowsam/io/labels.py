"""Label values in whatever form a user has them, in and out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from knowsam.errors import OutputError
from knowsam.io.atomic import check_place
from knowsam.io.dicom.files import is_dicom
from knowsam.io.dicom.seg_reader import read_dicom_seg
from knowsam.io.image_file import MASK_SUFFIXES, kind_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from knowsam.data.annotation import LabelClass
    from knowsam.data.volume import Grid, Volume


def read_labels(path: Path) -> Volume:
    """Read label values, with the names and colours of their classes where the file holds any.

    A DICOM segmentation is known by its content, every other kind of file by its name.

    Raises
    ------
    InputError
        If the file cannot be read or holds no labels.
    """
    return read_dicom_seg(path) if is_dicom(path) else kind_of(path).read_labels(path)


def check_labels_writable(path: Path, *, overwrite: bool = False) -> None:
    """Check before anything is computed that labels can be written to `path`.

    Raises
    ------
    OutputError
        If its name ends in none of the known suffixes, the folder is missing or not writable, the file exists and is to
        be kept, or its kind needs a package that is not installed.
    """
    if not path.name.lower().endswith(MASK_SUFFIXES):
        endings = f"{', '.join(MASK_SUFFIXES[:-1])} or {MASK_SUFFIXES[-1]}"
        raise OutputError(f"The result is to be called {path.name}, but must end in {endings}. Change the name.")
    kind_of(path).require_package(OutputError)
    check_place(path, overwrite=overwrite)


def write_labels(
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
    classes : their names and colours go into the file.
    overwrite : replace an existing file.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    check_labels_writable(path, overwrite=overwrite)
    kind_of(path).write_labels(path, labels_zyx, grid, classes, overwrite=overwrite)
