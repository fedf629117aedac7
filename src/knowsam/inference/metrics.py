"""How well a mask agrees with a reference: overlap, surface distances, volume and diameter of each class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray
from scipy import ndimage

from knowsam.data.class_boxes import class_boxes, joined
from knowsam.data.measurements import largest_diameter_mm, volume_ml


@dataclass(frozen=True)
class ClassScores:
    """Agreement of one class of a mask with a reference.

    Where neither mask holds the class, they agree: Dice 1, distances 0. Where only one of them does, Dice is 0 and the
    distances do not exist: they are NaN, so that no average hides it.

    Parameters
    ----------
    value : class value in the masks.
    dice : Dice similarity coefficient, 0 to 1.
    hd95_mm : 95th percentile of the surface distances, the larger of both directions.
    assd_mm : average symmetric surface distance, over the surface voxels of both masks.
    volume_ml, reference_volume_ml : volume of the class in the mask and in the reference.
    diameter_mm, reference_diameter_mm : their largest diameters, see `knowsam.data.measurements`.
    """

    value: int
    dice: float
    hd95_mm: float
    assd_mm: float
    volume_ml: float
    reference_volume_ml: float
    diameter_mm: float
    reference_diameter_mm: float


def evaluate_masks(
    prediction_zyx: NDArray[Any],
    reference_zyx: NDArray[Any],
    affine: NDArray[np.float64],
    values: Sequence[int],
) -> tuple[ClassScores, ...]:
    """Compare a mask with a reference, class by class.

    Parameters
    ----------
    prediction_zyx, reference_zyx : (Z, Y, X) integer class values.
    affine : (4, 4), from (z, y, x) to mm; distances are measured as if its axes were upright.
    values : the class values to compare.

    Raises
    ------
    ValueError
        If the two masks differ in shape.
    """
    _check_same_shape(prediction_zyx, reference_zyx)
    boxes = [class_boxes(mask, values) for mask in (prediction_zyx, reference_zyx)]
    scores = []
    for value in values:
        # Distances inside the box are those of the whole volume: what lies outside counts as background.
        box = joined([own[value] for own in boxes if value in own])
        scores.append(_class_scores(prediction_zyx[box] == value, reference_zyx[box] == value, affine, value))
    return tuple(scores)


def dice_score(prediction: NDArray[Any], reference: NDArray[Any], value: int) -> float:
    """Return the Dice similarity coefficient of one class; 1 where neither mask holds it.

    Parameters
    ----------
    prediction, reference : class values, of any one shape.
    value : the class value to compare.

    Raises
    ------
    ValueError
        If the two masks differ in shape.

    >>> dice_score(np.array([0, 1, 1, 2]), np.array([0, 1, 0, 2]), 1)
    0.6666666666666666
    """
    _check_same_shape(prediction, reference)
    return _dice(prediction == value, reference == value)


def _check_same_shape(prediction: NDArray[Any], reference: NDArray[Any]) -> None:
    if prediction.shape != reference.shape:
        raise ValueError(f"The masks have the shapes {prediction.shape} and {reference.shape}, but must have the same.")


def _class_scores(
    predicted: NDArray[np.bool_], expected: NDArray[np.bool_], affine: NDArray[np.float64], value: int
) -> ClassScores:
    hd95_mm, assd_mm = _surface_distances_mm(predicted, expected, tuple(voxel_sizes(affine)))
    return ClassScores(
        value=value,
        dice=_dice(predicted, expected),
        hd95_mm=hd95_mm,
        assd_mm=assd_mm,
        volume_ml=volume_ml(predicted, affine),
        reference_volume_ml=volume_ml(expected, affine),
        diameter_mm=largest_diameter_mm(predicted, affine),
        reference_diameter_mm=largest_diameter_mm(expected, affine),
    )


def _dice(predicted: NDArray[np.bool_], expected: NDArray[np.bool_]) -> float:
    total = int(np.count_nonzero(predicted)) + int(np.count_nonzero(expected))
    return 2 * int(np.count_nonzero(predicted & expected)) / total if total else 1.0


def _surface_distances_mm(
    predicted: NDArray[np.bool_], expected: NDArray[np.bool_], spacing_mm: tuple[float, ...]
) -> tuple[float, float]:
    """Return HD95 and ASSD of two (Z, Y, X) masks of one class, which touch the sides of the array."""
    if not predicted.any() and not expected.any():
        return 0.0, 0.0
    if not predicted.any() or not expected.any():
        return math.nan, math.nan
    surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in (predicted, expected)]
    to_predicted, to_expected = (ndimage.distance_transform_edt(~surface, sampling=spacing_mm) for surface in surfaces)
    there_mm, back_mm = to_expected[surfaces[0]], to_predicted[surfaces[1]]
    hd95_mm = max(np.percentile(distances_mm, 95) for distances_mm in (there_mm, back_mm))
    return float(hd95_mm), float(np.concatenate([there_mm, back_mm]).mean())
