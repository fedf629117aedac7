"""The kinds of files that hold an image or label values, NIfTI, NRRD and MetaImage, by their suffixes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from knowsam.errors import InputError
from knowsam.io import metaimage, nifti, nrrd

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from knowsam.data.annotation import LabelClass
    from knowsam.data.volume import Grid, Volume
    from knowsam.errors import KnowSAMError
    from knowsam.io.stored_image import ReadImage


class FileKind(NamedTuple):
    """A kind of file: how to read images and labels, and how to write labels.

    Parameters
    ----------
    images : returns a reader of each image of a file.
    write : writes label values (I, J, K) and their classes.
    require_package : raises the given error if a package for it is not installed.
    """

    images: Callable[[Path], Sequence[ReadImage]]
    write: Callable[[Path, npt.NDArray[np.integer], Grid, Sequence[LabelClass]], None]
    require_package: Callable[[type[KnowSAMError]], object] = lambda _: None


_NIFTI = FileKind(nifti.nifti_images, nifti.write_nifti)
_NRRD = FileKind(nrrd.nrrd_images, nrrd.write_nrrd, nrrd.pynrrd)
_METAIMAGE = FileKind(metaimage.metaimage_images, metaimage.write_metaimage)
_KINDS = {".nii.gz": _NIFTI, ".nii": _NIFTI, ".nrrd": _NRRD, ".mha": _METAIMAGE, ".mhd": _METAIMAGE}

IMAGE_SUFFIXES = tuple(_KINDS)
"""Endings of the files that can be read."""

MASK_SUFFIXES = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".mha")
"""Endings of the files that masks can be written to."""

_ENDINGS = {*IMAGE_SUFFIXES, *MASK_SUFFIXES}
_MASK_WORDS = {
    *("dseg", "seg", "segs", "segmentation", "label", "labels", "labelmap"),
    *("mask", "masks", "roi", "rois", "scribble", "scribbles", "painted", "annotation", "annotations"),
    *("gt", "truth", "groundtruth"),
}


def is_image_name(path: Path) -> bool:
    """Return whether a file holds a readable image or label values, by its name."""
    return path.name.lower().endswith(IMAGE_SUFFIXES)


def is_called_mask(path: Path) -> bool:
    """Return whether a file bears the name of a mask, whatever it holds.

    >>> is_called_mask(Path("liver_mask.nii.gz")), is_called_mask(Path("masked_liver.nii.gz"))
    (True, False)
    >>> is_called_mask(Path("patient001_frame01_gt.nii.gz"))
    True
    """
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", path.name)
    return not _MASK_WORDS.isdisjoint(word.lower() for word in words)


def image_stem(name: str) -> str:
    """Return the name of a file without the ending that tells what it is.

    >>> image_stem("liver.v2.nii.gz"), image_stem("scan_dicom")
    ('liver.v2', 'scan_dicom')
    """
    suffix = next((suffix for suffix in sorted(_ENDINGS, key=len, reverse=True) if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


def mask_name(image: Path) -> str:
    """Return the name of the mask of an image, in a folder for many masks."""
    # A folder may be given as ".", which has no name of its own.
    return f"{image_stem(os.path.basename(os.path.abspath(image)))}_mask.nii.gz"


def with_mask_suffix(path: Path) -> Path:
    """Return the path as the name of a mask, NIfTI if it names no other kind; a dot in a name is no suffix.

    >>> with_mask_suffix(Path("liver.v2")).name, with_mask_suffix(Path("liver.nrrd")).name
    ('liver.v2.nii.gz', 'liver.nrrd')
    """
    return path if path.name.lower().endswith(MASK_SUFFIXES) else path.with_name(path.name + MASK_SUFFIXES[0])


def kind_of(path: Path) -> FileKind:
    """Return the kind of a file, by its name."""
    # A file of any other name may still be NIfTI; its reader raises if it is not.
    return next((kind for suffix, kind in _KINDS.items() if path.name.lower().endswith(suffix)), _NIFTI)


def images_in(path: Path) -> Sequence[ReadImage]:
    """Return a reader of each image of a file; the header is read at once.

    Raises
    ------
    InputError
        If the file is missing, damaged, not of the kind in its name, or of an unknown kind.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder, but a file is needed. Give the file in it.")
    if not path.is_file():
        raise InputError(f"There is no file {path}. Check the path.")
    try:
        return kind_of(path).images(path)
    except InputError as error:
        # Of a NIfTI header beside its voxels, the reader knows a better remedy.
        if is_image_name(path) or path.suffix.lower() == ".hdr":
            raise
        raise InputError(
            f"{path.name} is none of {', '.join(IMAGE_SUFFIXES)}, the files that can be read. Save it as one of these."
        ) from error


def suggested_path(name: str, source: Volume, ending: str = ".nii.gz") -> Path:
    """Suggest a path for a result: in the folder of its image, if that is known.

    Parameters
    ----------
    ending : of the file; by default that of a mask.
    """
    # A DICOM series or a layer may have a name that no file may have.
    path = Path(file_name(f"{name}{ending}"))
    return path if source.folder is None else source.folder / path


def file_name(words: str) -> str:
    """Return words as a valid name of a file.

    >>> file_name('T1 "post": 1/2')
    'T1 _post__ 1_2'
    """
    return re.sub(r'[/\\:*?"<>|]', "_", words)
