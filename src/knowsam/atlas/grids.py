"""Volumes as images of SimpleITK, on grids that registration is fast on."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from knowsam.config import PlaneConfig
from knowsam.data.intensity import unit_scale
from knowsam.data.orientation import RAS_FROM_LPS
from knowsam.errors import ConfigError

if TYPE_CHECKING:
    from knowsam.data.orientation import Affine
    from knowsam.data.volume import Volume

Image = Any
"""A `SimpleITK.Image`."""

_BLUR_PER_STEP = 0.5


def simpleitk() -> Any:
    """Return the package, which is needed for nothing else.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    try:
        return import_module("SimpleITK")
    except ImportError as error:
        raise ConfigError(
            "Masks of finished volumes are brought to others by SimpleITK, which is not installed. Install it with "
            'pip install "napari-knowsam[atlas]".'
        ) from error


def image_of(array: npt.NDArray[Any], affine: Affine) -> Image:
    """Return an image of an array (Z, Y, X) in the coordinates of SimpleITK.

    Parameters
    ----------
    affine : (4, 4), from (z, y, x) to RAS+ mm.
    """
    image = simpleitk().GetImageFromArray(np.ascontiguousarray(array))
    lps = RAS_FROM_LPS @ affine
    columns = lps[:3, 2::-1]
    spacing = np.linalg.norm(columns, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((columns / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def grey_image(volume: Volume, most_voxels: int) -> Image:
    """Return a volume in [0, 1], with at most so many voxels along its longest side, blurred as much as it is thinned.

    Thick slices stay as they are.
    """
    sitk = simpleitk()
    scale = unit_scale(volume.array, PlaneConfig().clip_percent, volume.padding)
    image = image_of(scale(volume.array), volume.affine)
    grid = coarse_grid(image, most_voxels)
    sigmas = [
        _BLUR_PER_STEP * np.sqrt(new**2 - old**2) if new > 1.01 * old else 0.0
        for new, old in zip(grid.GetSpacing(), image.GetSpacing(), strict=True)
    ]
    for axis, sigma in enumerate(sigmas):
        # Fewer than four voxels cannot be blurred.
        if sigma and image.GetSize()[axis] >= 4:
            image = sitk.RecursiveGaussian(image, sigma, False, sitk.RecursiveGaussianImageFilter.ZeroOrder, axis)
    return sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)


def coarse_grid(image: Image, most_voxels: int) -> Image:
    """Return an empty image that covers the same place, with at most so many voxels along its longest side."""
    sitk = simpleitk()
    size, spacing = np.array(image.GetSize()), np.array(image.GetSpacing())
    extent = size * spacing
    wanted = np.maximum(spacing, extent.max() / most_voxels)
    count = np.maximum(np.round(extent / wanted), 1).astype(int)
    grid = sitk.Image(count.tolist(), sitk.sitkUInt8)
    new = extent / count
    grid.SetSpacing(new.tolist())
    grid.SetDirection(image.GetDirection())
    # The corner of the first voxel stays where it is, not its middle.
    grid.SetOrigin(image.TransformContinuousIndexToPhysicalPoint((0.5 * (new / spacing - 1)).tolist()))
    return grid
