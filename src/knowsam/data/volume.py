"""An image or a label map in the working orientation, and where its voxels lie in its file and in the world."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine, voxel_sizes

from knowsam.data.identity import NOBODY, Identity
from knowsam.data.orientation import Affine, corners, file_axis, working_affine
from knowsam.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from knowsam.data.annotation import LabelClass
    from knowsam.data.sparse_slices import SparseSlices

Quadruple = tuple[float, float, float, float]

_TOLERANCE_VX = 1e-3
"""Voxels this close to each other lie in one place; far above the rounding of affines kept in 32 bits."""


@dataclass(frozen=True)
class NiftiGeometry:
    """The geometry fields of a NIfTI header, by their names in it; none of them can name a patient.

    Parameters
    ----------
    version : 1 holds these numbers in 32 bits, 2 in 64.
    pixdim : the first four: qfac and the spacings of the three axes.
    """

    version: Literal[1, 2]
    pixdim: Quadruple
    xyzt_units: int
    qform_code: int
    quatern_b: float
    quatern_c: float
    quatern_d: float
    qoffset_x: float
    qoffset_y: float
    qoffset_z: float
    sform_code: int
    srow_x: Quadruple
    srow_y: Quadruple
    srow_z: Quadruple


@dataclass(frozen=True, eq=False)
class Grid:
    """The grid of the voxels of a file, in the file's own axis order (i, j, k).

    Parameters
    ----------
    shape : (I, J, K).
    affine : (4, 4), from (i, j, k) to RAS+ mm. Copied and made read-only.
    header : the geometry as it stands in the NIfTI header; none for other files.
    """

    shape: tuple[int, int, int]
    affine: Affine
    header: NiftiGeometry | None = None

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels along (i, j, k)."""
        i, j, k = (float(mm) for mm in voxel_sizes(self.affine))
        return i, j, k

    @property
    def working_shape(self) -> tuple[int, int, int]:
        """(Z, Y, X) of a working array on this grid."""
        z, y, x = (self.shape[file_axis(self, axis)] for axis in range(3))
        return z, y, x

    @property
    def working_affine(self) -> Affine:
        """(4, 4), from working indices (z, y, x) to RAS+ mm."""
        return working_affine(self.affine, self.shape)


@dataclass(frozen=True, eq=False)
class Volume:
    """A 3D array in the working orientation.

    Parameters
    ----------
    array : (Z, Y, X), intensities or label values, of any real type. Kept as a read-only view, not copied.
    grid : the grid of the file it came from, unless it was reformatted.
    name : short name for messages, without path.
    notices : sentences on how the file was read, for the person who gave it.
    classes : of the label values, where a file of labels names them.
    display_range : grey values between which the file asks to be shown.
    padding : lowest and highest of the values that the file declares as not measured.
    dicom_files : of the series it was read from, in the order of its slices (k ascending).
    identity : patient and study, as far as its file names them.
    sparse : places of the slices of labels, if their file places them one by one.
    reformatted_from : grid of the file of an image that was resampled to painted planes.
    file : that it was read from, unless that is a DICOM series.
    folder : of its file or its DICOM series, where that is known; its name may be that of the patient.

    Raises
    ------
    ValueError
        If array and grid do not fit.
    """

    array: npt.NDArray[Any]
    grid: Grid
    name: str = ""
    notices: tuple[str, ...] = ()
    classes: tuple[LabelClass, ...] = ()
    display_range: tuple[float, float] | None = None
    padding: tuple[float, float] | None = None
    dicom_files: tuple[Path, ...] = ()
    identity: Identity = NOBODY
    sparse: SparseSlices | None = None
    reformatted_from: Grid | None = None
    file: Path | None = field(default=None, repr=False)
    folder: Path | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.array.shape != self.grid.working_shape:
            raise ValueError(f"The array has shape {self.array.shape}, its grid {self.grid.working_shape}.")
        array = self.array.view()
        array.setflags(write=False)
        object.__setattr__(self, "array", array)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X)."""
        z, y, x = self.array.shape
        return z, y, x

    @property
    def affine(self) -> Affine:
        """(4, 4), from indices (z, y, x) to RAS+ mm."""
        return self.grid.working_affine

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels along (z, y, x)."""
        z, y, x = (float(mm) for mm in voxel_sizes(self.affine))
        return z, y, x

    def plane_spacing_mm(self, axis: int) -> tuple[float, float]:
        """Return the spacing of rows and columns of a slice across an axis."""
        first, second = (mm for other, mm in enumerate(self.spacing_mm) if other != axis)
        return first, second

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000


def grid_difference(found: Grid, expected: Grid) -> str | None:
    """Return a sentence on how two grids differ, or None if working arrays on them match voxel for voxel.

    They match if no corner voxel of one lies more than a thousandth of a voxel away from that of the other. Files that
    store the same voxels in another axis order therefore agree.
    """
    if found.working_shape != expected.working_shape:
        return f"The shape in (z, y, x) is {found.working_shape}, but {expected.working_shape} was expected."
    corner_vx = corners(found.working_shape)
    found_mm = apply_affine(found.working_affine, corner_vx)
    found_vx = apply_affine(np.linalg.inv(expected.working_affine), found_mm)
    if np.abs(found_vx - corner_vx).max() <= _TOLERANCE_VX:
        return None
    distance_mm = np.linalg.norm(found_mm - apply_affine(expected.working_affine, corner_vx), axis=1).max()
    return f"The voxels lie up to {distance_mm:.3g} mm away from where they were expected."


def require_same_grid(image: Volume, labels: Volume) -> None:
    """Check that labels belong to an image, voxel for voxel.

    Raises
    ------
    InputError
        If they lie on another grid.
    """
    difference = grid_difference(labels.grid, image.grid)
    if difference is not None:
        raise InputError(
            f"The labels {labels.name} do not lie on the grid of the image {image.name}. {difference} "
            "Load the labels that belong to this image."
        )


def require_grey_values(image: Volume) -> None:
    """Check that the voxels of an image are real numbers, as a reader does with those of a file.

    Raises
    ------
    InputError
        If they are of another type, or some are NaN or infinite.
    """
    if image.array.dtype.kind not in "biuf":
        raise InputError(
            f"The image {image.name} holds {image.array.dtype} voxels, but real numbers are needed. Convert it to grey "
            "values."
        )
    # Plane by plane, since comparing a whole volume at once would take much memory.
    missing = sum(plane.size - int(np.count_nonzero(np.isfinite(plane))) for plane in image.array)
    if missing:
        raise InputError(
            f"{missing} of {image.array.size} voxels of the image {image.name} are NaN or infinite, but numbers are "
            "needed everywhere. Give them a value, such as the smallest of all others where they are background."
        )
