"""One 3D image in a file, as described by its header, ready to read its voxels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy.typing as npt

from knowsam.data.volume import Grid, Volume
from knowsam.io.missing_values import MissingAs, fill_missing
from knowsam.io.notices import notice_of_shear
from knowsam.io.value_range import notice_of_subtraction
from knowsam.io.voxels import Encoding, notice_of_surplus, read_voxels, require_size

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelClass


class ReadImage(Protocol):
    """Reads the voxels of an image whose header was read before."""

    def __call__(self, real: npt.DTypeLike, missing_as: MissingAs = "refused", /) -> Volume:
        """Return the image: integers keep their type, real and scaled numbers get the given one."""


@dataclass(frozen=True, eq=False)
class StoredImage:
    """One image in a file.

    Parameters
    ----------
    path : the file with the header.
    grid : of its voxels.
    encoding : of its voxels in the file.
    voxels : the file that holds them, if that is another one.
    notices, classes, display_range : as in a `Volume`.

    Raises
    ------
    InputError
        If the file is too small for the voxels it claims.
    """

    path: Path
    grid: Grid
    encoding: Encoding
    voxels: Path | None = None
    notices: tuple[str | None, ...] = ()
    classes: tuple[LabelClass, ...] = ()
    display_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        require_size(self.voxels or self.path, self.grid.shape, self.encoding)

    def read(self, real: npt.DTypeLike, missing_as: MissingAs = "refused", /) -> Volume:
        """Read the image, as `ReadImage`.

        Raises
        ------
        InputError
            If its voxels have no place, are no real numbers, end early, are damaged or do not fit into memory, or if
            some are NaN, infinite or too large for `real`, and `missing_as` is "refused" (MissingValuesError).
        """
        voxels = self.voxels or self.path
        array, found, subtracted = read_voxels(self.path.name, voxels, self.grid, self.encoding, real)
        filled = fill_missing(self.path.name, array, found, missing_as) if found.missing else None
        surplus = notice_of_surplus(voxels, self.grid.shape, self.encoding)
        moved = notice_of_subtraction(subtracted)
        possible = (*self.notices, notice_of_shear(self.grid.affine), surplus, moved, filled and filled.notice)
        notices = tuple(notice for notice in possible if notice)
        padding = (filled.value, filled.value) if filled else None
        shown = self.display_range and (self.display_range[0] - subtracted, self.display_range[1] - subtracted)
        return Volume(array, self.grid, self.path.name, notices, self.classes, shown, padding)
