"""An image or label values in one file: NIfTI, NRRD or MetaImage, as its name says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from knowsam.errors import OutputError
from knowsam.io import metaimage, nifti, nrrd
from knowsam.io.atomic import check_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from knowsam.data.annotation import LabelClass
    from knowsam.data.volume import Grid, Volume


class _Kind(NamedTuple):
    read_image: Callable[[Path], Volume]
    read_labels: Callable[[Path], Volume]
    write_labels: Callable[..., None]


_NIFTI = _Kind(nifti.read_nifti, nifti.read_nifti_labels, nifti.write_nifti_labels)
_NRRD = _Kind(nrrd.read_nrrd, nrrd.read_nrrd_labels, nrrd.write_nrrd_labels)
_METAIMAGE = _Kind(metaimage.read_metaimage, metaimage.read_metaimage_labels, metaimage.write_metaimage_labels)
_KINDS = {".nii.gz": _NIFTI, ".nii": _NIFTI, ".nrrd": _NRRD, ".mha": _METAIMAGE, ".mhd": _METAIMAGE}

IMAGE_SUFFIXES = tuple(_KINDS)
"""Endings of the files that can be read."""

MASK_SUFFIXES = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".mha")
"""Endings of the files that masks can be written to."""

_ENDINGS = {*IMAGE_SUFFIXES, *MASK_SUFFIXES}


def is_image_name(path: Path) -> bool:
    """Tell by its name whether a file holds an image or label values that can be read."""
    return path.name.lower().endswith(IMAGE_SUFFIXES)


def image_stem(name: str) -> str:
    """Return the name of a file without the ending that tells what it is.

    >>> image_stem("liver.v2.nii.gz"), image_stem("scan_dicom")
    ('liver.v2', 'scan_dicom')
    """
    suffix = next((suffix for suffix in sorted(_ENDINGS, key=len, reverse=True) if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


def with_mask_suffix(path: Path) -> Path:
    """Return the path as the name of a mask, NIfTI if it names no other kind; a dot in a name is no suffix.

    >>> with_mask_suffix(Path("liver.v2")).name, with_mask_suffix(Path("liver.nrrd")).name
    ('liver.v2.nii.gz', 'liver.nrrd')
    """
    return path if path.name.lower().endswith(MASK_SUFFIXES) else path.with_name(path.name + MASK_SUFFIXES[0])


def read_image_file(path: Path) -> Volume:
    """Read an image.

    Raises
    ------
    InputError
        If the file cannot be read or holds no single 3D image.
    """
    return _kind(path).read_image(path)


def read_label_file(path: Path) -> Volume:
    """Read label values, with the names and colours of their classes where the file holds any.

    Raises
    ------
    InputError
        If the file cannot be read or holds no labels.
    """
    return _kind(path).read_labels(path)


def check_label_file_writable(path: Path, *, overwrite: bool = False) -> None:
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
    if _kind(path) is _NRRD:
        nrrd.pynrrd(OutputError)
    check_place(path, overwrite=overwrite)


def write_label_file(
    path: Path,
    labels_zyx: npt.NDArray[np.integer],
    grid: Grid,
    classes: Sequence[LabelClass] = (),
    *,
    overwrite: bool = False,
) -> None:
    """Write label values on the grid of the file they belong to, whole or not at all.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    check_label_file_writable(path, overwrite=overwrite)
    _kind(path).write_labels(path, labels_zyx, grid, classes, overwrite=overwrite)


def _kind(path: Path) -> _Kind:
    # A file of any other name may still be NIfTI, and its reader says so if it is not.
    return next((kind for suffix, kind in _KINDS.items() if path.name.lower().endswith(suffix)), _NIFTI)
