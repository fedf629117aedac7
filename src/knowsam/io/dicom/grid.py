"""The places of the slices of a stack: their order, and the affine of their file grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from knowsam.data.orientation import RAS_FROM_LPS
from knowsam.errors import InputError
from knowsam.io.dicom.spacing import Distances, refuse_uneven

if TYPE_CHECKING:
    from knowsam.data.orientation import Affine
    from knowsam.io.dicom.frames import Frame
    from knowsam.io.dicom.header import Vectors


def distances_mm(frames: Sequence[Frame]) -> Distances:
    """Return the position of each frame along the normal of the first."""
    return np.array([frame.position_mm for frame in frames]) @ frames[0].normal


def in_order(frames: Sequence[Frame]) -> list[Frame]:
    """Return frames in the order of their positions along the normal, or in that of their file if they have none."""
    if not frames[0].is_placed:
        return sorted(frames, key=lambda frame: frame.index)
    return [frames[index] for index in np.argsort(distances_mm(frames), kind="stable")]


def affine_of(frames: Sequence[Frame]) -> Affine:
    """Return the affine (4, 4) of frames in order, from (column, row, frame) to RAS+ mm (DICOM PS3.3, C.7.6.2.1.1).

    Raises
    ------
    InputError
        If they do not lie evenly spaced and straight above each other, or their pixels have no size.
    """
    first = frames[0]
    _refuse_spacing(first.spacing_mm)
    _refuse_skewed(first.directions)
    positions_mm = np.array([frame.position_mm for frame in frames])
    refuse_uneven(positions_mm @ first.normal)
    _refuse_sheared(positions_mm, first.normal, float(first.spacing_mm.min()))
    row_spacing_mm, column_spacing_mm = first.spacing_mm
    lps = np.eye(4)
    lps[:3, 0] = first.directions[:3] * column_spacing_mm
    lps[:3, 1] = first.directions[3:] * row_spacing_mm
    lps[:3, 2] = (positions_mm[-1] - positions_mm[0]) / (len(positions_mm) - 1)
    lps[:3, 3] = positions_mm[0]
    return RAS_FROM_LPS @ lps


def assumed_affine(first: Frame) -> tuple[Affine, str]:
    """Return an affine for frames without positions, and a notice of it.

    It assumes that columns run to the left, rows to posterior and frames to superior.
    """
    row_mm, column_mm, known = _pixel_spacing(first)
    apart_mm = first.number("SpacingBetweenSlices", 0) or first.number("SliceThickness", 0) or 1.0
    spacing_mm = np.abs([column_mm, row_mm, apart_mm])
    source = "of their pixels is known" if known else "of their pixels is assumed"
    sentence = (
        "The file does not say where its frames lie in the patient, so that left, front and head may be wrong. "
        f"They are taken as slices in the order of the file, {spacing_mm[2]:g} mm apart; the spacing {source}: "
        f"{spacing_mm[1]:.4g} x {spacing_mm[0]:.4g} mm."
    )
    return RAS_FROM_LPS @ np.diag([*spacing_mm, 1.0]), sentence


def _pixel_spacing(first: Frame) -> tuple[float, float, bool]:
    """Return the distances in mm of rows and of columns, and whether they are those of the file."""
    if first.spacing_mm.size == 2 and (first.spacing_mm > 0).all():
        return float(first.spacing_mm[0]), float(first.spacing_mm[1]), True
    for region in first.value("SequenceOfUltrasoundRegions") or []:
        centimetres = 3
        if region.get("PhysicalUnitsXDirection") == region.get("PhysicalUnitsYDirection") == centimetres:
            return float(region.PhysicalDeltaY) * 10, float(region.PhysicalDeltaX) * 10, True
    return 1.0, 1.0, False


def _refuse_spacing(spacing_mm: Vectors) -> None:
    if not ((spacing_mm > 0) & np.isfinite(spacing_mm)).all():
        raise InputError(
            f"The pixel spacing is {spacing_mm.tolist()} mm, but the distances of rows and of columns must be above 0. "
            "Export the series again, or convert it to NIfTI."
        )


def _refuse_skewed(directions: Vectors) -> None:
    axes = directions.reshape(2, 3)
    if not np.allclose(axes @ axes.T, np.eye(2), atol=1e-3):
        raise InputError(
            f"The image orientation is {directions.tolist()}, but two perpendicular unit vectors are needed. "
            "Export the series again, or convert it to NIfTI."
        )


def _refuse_sheared(positions_mm: npt.NDArray[np.float64], normal: Vectors, pixel_mm: float) -> None:
    """Check that no slice lies more than half a pixel beside the normal through the first."""
    offsets_mm = positions_mm - positions_mm[0]
    sideways_mm = np.linalg.norm(offsets_mm - np.outer(offsets_mm @ normal, normal), axis=1).max()
    if sideways_mm > pixel_mm / 2:
        raise InputError(
            f"The slices are shifted sideways by up to {sideways_mm:.2f} mm, as by a tilted gantry, but must lie "
            "straight above each other. Resample the series to an upright grid first."
        )
